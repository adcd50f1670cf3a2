"""The benchmark of Arc2Face: both ways compute the same, and every line is printed."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = ["--part", "20", "--levels", "2", "--side", "8", "--batch", "2", "--rounds", "1"]


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("arc2face_speed")


@pytest.fixture(autouse=True)
def _gradients_and_threads_as_before():
    threads = torch.get_num_threads()
    yield
    torch.set_grad_enabled(True)
    torch.set_num_threads(threads)


WORKS = [
    "step, plain Stable Diffusion",
    "step, ours, no reference",
    "step, ours, reference",
    "step, public way, reference",
    "keep, ours",
    "keep, public way",
]


def test_both_ways_agree_and_are_timed(speed, capsys):
    speed.main(SMALL)

    title, *lines = capsys.readouterr().out.splitlines()
    assert title == "batch 2, 1 thread(s), cpu, float32"
    assert [line[2:32].strip() for line in lines] == WORKS


def test_operations_of_a_step_with_a_reference_are_fewer_than_in_the_public_way(speed, capsys):
    speed.main([*SMALL, "--count"])

    title, *lines = capsys.readouterr().out.splitlines()
    assert title == "batch 2"
    ratios = dict(zip(WORKS, (float(line.split()[-1][:-1]) for line in lines), strict=True))
    assert ratios["step, ours, no reference"] == 1
    assert 1 < ratios["step, ours, reference"] < ratios["step, public way, reference"]
    assert ratios["keep, ours"] < ratios["keep, public way"] == 1
