"""Processes that share a training: who computes what, what they tell each other, what they say."""

from pathlib import Path
from typing import NamedTuple

import pytest
import shared_steps
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, multiprocessing

from pipelines.training.processes import ONE, Processes, check_shares, joined, launched, started
from pipelines.training.settings import TrainingSettings
from synthgen.errors import ConfigError


class Part(NamedTuple):
    rows: Tensor
    nothing: None = None


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 3))
def test_each_row_is_computed_once_and_all_shares_are_equal(parts, count, rows):
    settings = TrainingSettings(seed=0, batch_size=parts * count * rows, accumulate=parts)
    check_shares(settings, count)
    batch = [Part(part) for part in torch.arange(settings.batch_size).chunk(parts)]
    shares = [Processes(number, count).own(batch) for number in range(count)]
    computed = torch.cat([part.rows for share in shares for part in share])
    assert sorted(computed.tolist()) == list(range(settings.batch_size))
    pieces = [len(part.rows) for share in shares for part in share]
    assert len(set(pieces)) == 1
    assert len(pieces) == ONE.pieces(parts) * Processes(0, count).pieces(parts) // parts
    assert all(part.nothing is None for share in shares for part in share)


def test_whole_parts_are_shared_out_where_their_number_allows_it():
    batch = [Part(part) for part in torch.arange(12).chunk(3)]
    three = [Processes(number, 3).own(batch) for number in range(3)]
    assert [[part.rows.tolist() for part in share] for share in three] == [
        [[0, 1, 2, 3]], [[4, 5, 6, 7]], [[8, 9, 10, 11]],
    ]  # fmt: skip
    assert ONE.own(batch) == batch
    second = Processes(1, 2).own(batch)
    assert [part.rows.tolist() for part in second] == [[2, 3], [6, 7], [10, 11]]


def test_a_batch_that_cannot_be_shared_evenly_is_refused():
    settings = TrainingSettings(seed=0, batch_size=12, accumulate=3)
    with pytest.raises(ConfigError) as caught:
        check_shares(settings, 8)
    assert str(caught.value) == (
        "batch_size is 12; with accumulate 3 and 8 processes it must be a multiple of 24: it "
        "counts the examples of a step in all processes together"
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="tells of a machine without GPUs")
@pytest.mark.parametrize(
    ("device", "said"),
    [
        (
            "cuda",
            "process 3 of this machine has no GPU of its own: there are 0; start torchrun with "
            "--nproc-per-node 1, or set device=cpu",
        ),
        (
            "cuda:1",
            "device is 'cuda:1'; with several processes it must be auto, cpu or cuda: each takes a "
            "GPU of its own",
        ),
    ],
)
def test_a_process_without_a_gpu_of_its_own_is_refused(monkeypatch, device, said):
    monkeypatch.setenv("LOCAL_RANK", "3")
    settings = TrainingSettings(seed=0, batch_size=16, device=device)
    with pytest.raises(ConfigError) as caught:
        joined(Processes(3, 4), settings)
    assert str(caught.value) == said


def test_another_machine_that_does_not_see_the_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "node7")
    with pytest.raises(ConfigError) as caught:
        Processes(1, 2).check_sees(tmp_path / "out")
    assert str(caught.value) == (
        f"process 1 of 2, on node7, does not see {tmp_path / 'out'}, where process 0 writes: all "
        "processes need a folder that they all see"
    )


def test_without_a_launcher_there_is_one_process(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert started() == (0, 1)
    with launched() as processes:
        assert processes is ONE
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert started() == (1, 2)
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    said = "^WORLD_SIZE is 2, but the processes cannot meet: .*; start them by torchrun$"
    with pytest.raises(ConfigError, match=said), launched():
        pass


def run_two(work, folder: Path) -> list[int]:
    """Run two processes and return their exit codes."""
    context = multiprocessing.start_processes(
        work, (2, shared_steps.free_port(), str(folder)), 2, join=False, start_method="fork"
    )
    assert context is not None
    for process in context.processes:
        process.join(120)
    return [process.exitcode for process in context.processes]


def test_two_processes_learn_what_one_does(tmp_path):
    """Gradients of two parts are added in the same order: equal bits; of others to 1e-5."""
    alone = {f"curve {parts}": shared_steps.curve(parts, ONE) for parts in (1, 2, 4)}
    assert run_two(shared_steps.work, tmp_path) == [0, 0]
    found = [torch.load(tmp_path / f"{number}.pt") for number in range(2)]
    for name, curve in alone.items():
        assert found[0][name] == found[1][name]
        for one, two in zip(curve, found[0][name], strict=True):
            assert two == pytest.approx(one, rel=1e-5)
    assert found[0]["curve 2"] == alone["curve 2"]
    assert [each["before"] for each in found] == [False, True]
    assert [each["any"] for each in found] == [[True, False]] * 2


@pytest.mark.slow
def test_a_process_whose_fellow_ends_says_so(tmp_path):
    assert run_two(shared_steps.fail, tmp_path)[1] == 9
    said = (tmp_path / "said").read_text()
    assert said.startswith("process 0 of 2 lost the others (")
    assert said.endswith(
        "): one of them has ended; the last checkpoint stays, and the same command continues "
        "from it"
    )
