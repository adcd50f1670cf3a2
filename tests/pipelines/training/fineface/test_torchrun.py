"""FineFace trained by processes that torchrun starts, as a user types it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_fineface import make_sd

from pipelines.training.methods import train_by_method

pytestmark = pytest.mark.slow

CONFIG = """
seed: 3
cycles: [{{steps: {steps}, learning_rate: 0.01}}]
batch_size: 4
examples: 10
rank: 2
workers: 0
device: cpu
checkpoint_every: 2
log_every: 1
sample_every: 1000
base: {base}
latents: {latents}
data: {{source: procedural, size: 64, expressions: [{{share: 1, rate: 0.4}}]}}
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make_sd(tmp_path_factory.mktemp("base"), size=64, levels=3)


def write(folder: Path, base: Path, steps: int = 6) -> Path:
    path = folder / "fineface.yaml"
    path.write_text(CONFIG.format(base=base, latents=folder / "latents", steps=steps))
    return path


def command(config: Path, to: Path, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
        *("-m", "synthgen.cli", "train", "fineface", str(config), "--to", str(to), *more),
    ]  # fmt: skip


def run(config: Path, to: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(config, to, *more), capture_output=True, text=True)


def history(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    files = sorted((folder / "fineface").glob("*.safetensors"))
    return {name: value for file in files for name, value in load_file(file).items()}


def test_two_processes_give_the_curve_of_one_and_go_on_to_the_bit(base: Path, tmp_path: Path):
    config = write(tmp_path, base)
    two, parts, one = (tmp_path / name for name in ("two", "parts", "one"))
    ended = run(config, two)
    assert (ended.returncode, ended.stdout) == (0, f"{two / 'fineface'}\n")
    train_by_method(config, one)
    for alone, shared in zip(history(one), history(two), strict=True):
        assert shared == pytest.approx(alone, rel=1e-4)
    stopped = run(config, parts, "--stop-at", "3")
    assert stopped.stdout == f"{parts}: to be continued by the same command\n"
    assert run(config, parts).returncode == 0
    assert history(parts) == history(two)
    whole = weights(two)
    assert all(torch.equal(whole[name], value) for name, value in weights(parts).items())
    card = json.loads((two / "fineface" / "card.json").read_text())
    assert card["processes"] == 2


def test_another_number_of_processes_goes_on_and_says_so(base: Path, tmp_path: Path, capsys):
    config = write(tmp_path, base)
    assert run(config, tmp_path / "out", "--stop-at", "3").returncode == 0
    train_by_method(config, tmp_path / "out")
    assert "was written by 2 process(es), now there are 1: batches and noise" in (
        capsys.readouterr().err + capsys.readouterr().out
    )
    train_by_method(config, tmp_path / "one")
    for alone, shared in zip(history(tmp_path / "one"), history(tmp_path / "out"), strict=True):
        assert shared == pytest.approx(alone, rel=1e-4)


def test_a_signal_to_one_process_ends_all_after_the_same_step(base: Path, tmp_path: Path):
    config, out = write(tmp_path, base, steps=4000), tmp_path / "out"
    with subprocess.Popen(
        command(config, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as started:
        wait_for(out / "history.jsonl", started)
        os.kill(child_of(started.pid, "RANK=1"), signal.SIGTERM)
        said = started.communicate()[1]
    assert said.count("stopped; the same command continues from") == 1
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    assert state["processes"] == 2
    assert len(history(out)) == state["state"]["step"] < 4000


def test_where_one_is_killed_the_others_end_and_the_checkpoint_stays(base: Path, tmp_path: Path):
    config, out = write(tmp_path, base, steps=4000), tmp_path / "out"
    with subprocess.Popen(
        command(config, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as started:
        wait_for(out / "history.jsonl", started, lines=4)
        os.kill(child_of(started.pid, "RANK=1"), signal.SIGKILL)
        started.communicate(timeout=120)
    assert started.returncode != 0
    step = torch.load(out / "checkpoint.pt", weights_only=True)["state"]["step"]
    assert run(config, out, "--stop-at", str(step + 1)).returncode == 0
    assert run(config, tmp_path / "undisturbed", "--stop-at", str(step + 1)).returncode == 0
    assert history(out) == history(tmp_path / "undisturbed")


def test_what_several_processes_refuse_is_said_once(base: Path, tmp_path: Path):
    config = write(tmp_path, base)
    for more, said in (
        (("--set", "rank=0"), "error: --set rank=0: rank is 0; it must be 1 or more\n"),
        (
            ("--set", "batch_size=3"),
            "error: batch_size is 3; with accumulate 1 and 2 processes it must be a multiple of "
            "2: it counts the examples of a step in all processes together\n",
        ),
    ):
        ended = run(config, tmp_path / "out", *more)
        assert ended.returncode != 0
        assert ended.stderr.count("error: ") == 1
        assert said in ended.stderr
    assert not (tmp_path / "out").exists()


def wait_for(path: Path, process: subprocess.Popen[str], lines: int = 1) -> None:
    while not path.exists() or len(path.read_text().splitlines()) < lines:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def child_of(parent: int, variable: str) -> int:
    """Return the process below another whose environment has a variable."""
    for folder in Path("/proc").iterdir():
        below = folder.name.isdigit() and _parent(folder) == parent
        if below and variable.encode() in (folder / "environ").read_bytes().split(b"\0"):
            return int(folder.name)
    raise AssertionError(f"no process below {parent} has {variable}")


def _parent(folder: Path) -> int:
    try:
        return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
