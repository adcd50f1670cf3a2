"""The benchmark of Arc2Face: both ways compute the same, and every line is printed."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = ["--part", "20", "--side", "8", "--batch", "2", "--rounds", "1", "--device", "cpu"]


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


def test_both_ways_agree_and_are_timed(speed, capsys):
    speed.main(SMALL)

    title, *lines = capsys.readouterr().out.splitlines()
    assert title == "batch 2, 1 thread(s), cpu, float32"
    assert [line[2:36].strip() for line in lines] == [
        "keep, ours",
        "keep, public way",
        "step, ours, no reference",
        "step, ours, reference",
        "step, plain Stable Diffusion",
        "step, public way, reference",
    ]
