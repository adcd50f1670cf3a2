import importlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from samplers.plan import build_plan

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TINY = ["--shards", "2", "--shard-size", "4", "--batch-seconds", "0.02", "--judge-seconds", "0"]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def test_a_virtual_gpu_s_images_say_what_was_asked_for(load, tmp_path: Path) -> None:
    gpu, scale = load("virtual_gpu"), load("scale")
    plan = build_plan(scale.configuration(1, scale._options().parse_args([]), str(tmp_path)))
    attempts = [plan.attempt(plan.sample(index), 0) for index in range(200)]
    painted: list = []
    images = gpu.WaitingSource(0.0, 0.8, painted).generate(attempts)
    found = gpu.ReadingVerifier(0.0).measure(images)

    kept = found.faces == 1
    asked = np.array([attempt.spec.aus for attempt in attempts])
    assert 0.7 < kept.mean() < 0.9
    assert np.abs(found.aus[kept] - asked[kept]).max() < 0.01
    assert np.isnan(found.aus[~kept]).all()
    assert (painted[0].split, painted[0].position) == ("train", 0)


@pytest.mark.ray
@pytest.mark.slow
def test_virtual_gpus_are_driven_through_a_whole_run(load, tmp_path: Path, capsys) -> None:
    out = tmp_path / "scale.json"
    scale = load("scale")
    scale.main(["--gpus", "1", "3", *TINY, "--per-process", "2", "--out", str(out)])

    one, three = json.loads(out.read_text())["points"]
    assert (one["gpus"], one["processes"], one["shards"]) == (1, 1, 2)
    assert (three["gpus"], three["processes"], three["shards"]) == (3, 2, 6)
    assert 0 < three["busy"] <= 1
    assert three["driver_mb"] > 50
    assert len(capsys.readouterr().out.splitlines()) == 3

    load("scale_beyond").main([str(out), "--gpus", "20", "--shard-sizes", "16", "--shards", "5"])
    constants, *_, last = capsys.readouterr().out.splitlines()
    assert constants.startswith("constants: batch_seconds 0.02, judge_seconds 0, commit_seconds ")
    assert re.fullmatch(r" {4}20 GPUs: (shards of 16 keep|none of .* keeps) 95% of them busy", last)


def test_constants_follow_from_runs_with_two_numbers_of_gpus(load) -> None:
    beyond = load("scale_beyond")
    settings = {"batch_seconds": 5.0, "judge_seconds": 1.0, "acceptance": 0.8}
    costs = {"commit": 1.25, "settle_ms": 0.5, "give_ms": 0.25}
    points = [
        {"gpus": 10, "turn_ms": 1.5, "tick_ms": 1.0, **costs},
        {"gpus": 110, "turn_ms": 2.5, "tick_ms": 22.0, **costs},
    ]
    found = beyond.fit(settings, points)
    assert found.turn_seconds == pytest.approx(1.4e-3)
    assert found.turn_seconds_per_gpu == pytest.approx(1e-5)
    assert found.tick_seconds_per_gpu == pytest.approx(2e-4)
    assert (found.commit_seconds, found.settle_seconds, found.give_seconds) == (
        0.25,
        0.5e-3,
        0.25e-3,
    )

    with pytest.raises(SystemExit, match=r"^the costs for each GPU need runs with two different"):
        beyond.fit(settings, points[:1])
