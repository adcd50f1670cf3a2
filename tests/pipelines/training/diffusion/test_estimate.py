"""What a training is said to take before it begins."""

import sys
from pathlib import Path

import pytest
import torch
from tiny_fineface import make_sd

from pipelines.training.diffusion.base import load_base
from pipelines.training.diffusion.estimate import LivePeak
from pipelines.training.fineface.learner import untrained_adapter
from pipelines.training.methods import estimate_by_method
from synthgen.cli import commands
from synthgen.errors import ConfigError, WeightsError

CONFIG = """
seed: 3
cycles: [{{steps: 90}}, {{steps: 10, painted: 0.5}}]
batch_size: 12
accumulate: 3
examples: 10
rank: 2
device: cpu
base: {base}
reading: {{weight: 0.1, reader: {{seed: 5}}}}
data: {{source: procedural, size: 64, expressions: [{{share: 1, rate: 0.4}}]}}
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make_sd(tmp_path_factory.mktemp("base"), size=64, levels=3)


@pytest.fixture
def config(base: Path, tmp_path: Path) -> Path:
    path = tmp_path / "fineface.yaml"
    path.write_text(CONFIG.format(base=base))
    return path


def test_it_follows_what_is_made_and_what_goes() -> None:
    there = torch.zeros(1000)
    with LivePeak() as followed:
        view = there[:10].t()  # of what was there: nothing new
        there.add_(1)
        first = torch.ones(100)  # 400 bytes
        second = first + first  # 800
        del first
        third = second.view(10, 10) * 2  # 800 again
        third.mul_(2)
    assert followed.peak == 800
    assert view.shape == (10,)


def test_what_autograd_keeps_counts_until_it_goes() -> None:
    weight = torch.ones(100, requires_grad=True)
    with LivePeak() as followed:
        found = (weight * 2).exp().exp().sum()  # each exp keeps what it made, 400 bytes
        kept = followed._now
        found.backward()
        weight.grad = None
        del found
    assert kept == 400 + 400 + 4
    assert followed.peak > kept
    assert followed._now == 0


def test_each_figure_says_whether_it_is_measured(
    config: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    arguments = ["synthgen", "train", "fineface", str(config), "--to", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", [*arguments, "--dry-run"])
    with pytest.raises(SystemExit) as ended:
        commands.main()
    lines = capsys.readouterr().out.splitlines()
    assert ended.value.code == 0
    loaded = load_base(base, torch.device("cpu"), torch.float32, "sdpa")
    adapter = untrained_adapter(loaded.unet, "res_mlp64", 2, 3)
    learned = sum(each.numel() for each in adapter.parameters() if each.requires_grad)
    assert lines[0] == "steps: 100 of 12; each of 1 process(es) computes 3 part(s) of 4"
    assert lines[1] == f"learns: {learned:,} parameters"
    assert lines[2].startswith("memory of a process: ")
    assert "(both reckoned from shapes)" in lines[2]
    assert lines[2].endswith("of activations (measured on one part, float32 on cpu)")
    assert lines[3].endswith("images/s in one process (measured, on cpu)")
    assert lines[5:] == [
        "latents: 10 × 2 kB = 0.00 GB on the disk (reckoned)",
        "the reader's loss and painted steps are not counted",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fineface.yaml"]


def test_of_several_processes_the_first_alone_estimates(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "6")
    monkeypatch.setenv("RANK", "1")
    assert estimate_by_method(config) == []
    monkeypatch.setenv("RANK", "0")
    first, *_, speed, _time, _latents, _reader = estimate_by_method(config)
    assert first == "steps: 100 of 12; each of 6 process(es) computes 1 part(s) of 2"
    assert speed.endswith("(reckoned: as many times)")
    monkeypatch.setenv("WORLD_SIZE", "5")
    with pytest.raises(ConfigError, match="it must be a multiple of 15"):
        estimate_by_method(config)


def test_recomputed_blocks_need_less_memory(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def passing(*more: str) -> float:
        line = estimate_by_method(config, ["data.size=128", *more])[2]
        return float(line.split(" MB of activations")[0].split()[-1])

    assert passing("gradient_checkpointing=true") < 0.8 * passing()


def test_a_base_that_is_not_here_is_not_fetched(config: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        estimate_by_method(config, ["base=nobody/no-such-base"])
    assert "nobody/no-such-base" in str(caught.value)
    assert "in the Hub's cache" in str(caught.value)
