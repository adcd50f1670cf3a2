import importlib
from collections import Counter
from pathlib import Path

import pytest

from samplers.spec import Shard

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    names = ("virtual_gpu", "virtual_pool", "scale_point")
    return tuple(importlib.import_module(name) for name in names)


@pytest.fixture
def observed(modules):
    """Two GPUs, batches of a second, shards of ten samples; the second shard was worked twice."""
    gpu, pool, _ = modules
    painted = [
        [gpu.Batch("train", 0, 0.0, 1.0), gpu.Batch("train", 4, 1.0, 2.0)],
        [gpu.Batch("train", 10, 1.0, 2.2), gpu.Batch("train", 10, 2.5, 3.5)],
        [gpu.Batch("train", 10, 3.0, 4.0)],
    ]
    works = [
        pool.Work(Shard("train", 0, 0, 10), 0.0, 2.5),
        pool.Work(Shard("train", 1, 10, 20), 1.0, 3.75),
    ]
    return pool.Observed(
        ledgers=[
            pool.Ledger(painted[:1], works[:1], 0.5),
            pool.Ledger(painted[1:], works[1:], 0.5),
        ],
        commits=[2.6, 4.0],
        dry=3.5,
        seconds=Counter({"turn": 0.004, "look": 0.002, "settle": 0.002, "give": 0.003}),
        times=Counter({"turn": 3, "settle": 2, "give": 3}),
        cpu_seconds=0.4,
    )


def test_a_run_s_figures_follow_from_its_batches_and_commits(modules, observed) -> None:
    point = modules[2].make_point(observed, 3, 10, batch_seconds=1.0, driver_mb=300.0)
    assert (point.gpus, point.processes, point.shards) == (3, 2, 2)
    assert point.span == 4.0
    assert point.batches == 4
    assert point.busy == 4 * 1.0 / (3 * 4.0)
    assert point.start == 3.0
    assert point.busy_while_full == pytest.approx((0.5 + 0.5) / 0.5 / 3)
    assert point.commits_per_second == 0.5
    assert point.late == pytest.approx(0.2 / 5)
    assert point.commit == pytest.approx((0.5 + 0.25) / 2)
    assert (point.turn_ms, point.settle_ms, point.give_ms, point.tick_ms) == (2.0, 1.0, 1.0, 0.0)
    assert (point.driver_cpu, point.driver_mb) == (0.1, 300.0)
    assert (point.worker_cpu, point.row_ms) == (0.25, 50.0)
