import importlib
import math
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("scale_model")


def test_one_gpu_works_equal_shards_one_after_another(model) -> None:
    run = model.Run(gpus=1, shards=6, shard_size=32, batch_seconds=3.0)
    course = model.simulate(run)
    assert course.span == 6 * 2 * 3.0
    assert course.busy == 1.0
    assert course.commits_per_second == 6 / 36
    assert course.twins == 0


def test_judging_and_writing_cost_a_gpu_nothing_but_at_the_end(model) -> None:
    run = model.Run(
        gpus=1, shards=6, shard_size=32, batch_seconds=3.0, judge_seconds=1.0, commit_seconds=0.5
    )
    course = model.simulate(run)
    assert course.span == 36.0 + 1.5
    assert course.busy == 36.0 / 37.5
    assert course.busy_while_full == 1.0


def test_a_shard_that_is_left_over_keeps_one_gpu_of_two(model) -> None:
    course = model.simulate(model.Run(gpus=2, shards=5, shard_size=16, batch_seconds=2.0))
    assert course.span == 6.0
    assert course.busy == 5 / 6


def test_the_driver_s_time_shows_where_gpus_wait_for_it(model) -> None:
    run = model.Run(
        gpus=4,
        shards=400,
        shard_size=16,
        batch_seconds=1.0,
        turn_seconds=0.1,
        settle_seconds=0.3,
        give_seconds=0.3,
    )
    course = model.simulate(run)
    # It can take in and hand out no more than one shard in 0.6 s, and each turn costs 0.1 s more.
    assert 1 / 0.7 <= course.commits_per_second < 1 / 0.6
    assert course.driver == pytest.approx(1.0, abs=0.01)
    assert course.busy == pytest.approx(course.commits_per_second / 4)


def test_rejected_images_are_painted_in_rounds_of_their_own(model) -> None:
    run = model.Run(gpus=1, shards=50, shard_size=64, batch_seconds=1.0, acceptance=0.5)
    rounds = [model.rounds_of(run, shard) for shard in range(50)]
    assert all(first == 4 and more == sorted(more, reverse=True) for first, *more in rounds)
    assert 7 <= sum(map(sum, rounds)) / 50 <= 14
    assert model.simulate(run).span == sum(map(sum, rounds))


def test_what_is_left_of_a_batch_goes_to_further_tries(model) -> None:
    run = model.Run(gpus=1, shards=99, shard_size=2, batch=16, batch_seconds=1.0, acceptance=0.5)
    rounds = [model.rounds_of(run, shard) for shard in range(99)]
    assert all(set(each) == {1} for each in rounds)
    # Eight tries for each of two samples: one shard in 128 needs a second round.
    assert sum(map(len, rounds)) <= 99 + 5


def test_actors_that_load_late_shorten_the_time_in_which_all_work(model) -> None:
    settings = {"gpus": 50, "shards": 500, "shard_size": 16, "batch_seconds": 1.0}
    at_once = model.simulate(model.Run(**settings))
    late = model.simulate(model.Run(**settings, start_seconds=8.0))
    assert at_once.busy == at_once.busy_while_full == 1.0
    assert late.busy < 0.7
    assert late.busy_while_full == pytest.approx(1.0, abs=0.01)


def test_a_straggler_is_worked_a_second_time_by_an_idle_gpu(model) -> None:
    run = model.Run(gpus=10, shards=30, shard_size=8, batch_seconds=2.0, acceptance=0.3)
    courses = [model.simulate(model.Run(**{**_fields(run), "seed": seed})) for seed in range(10)]
    assert any(course.twins for course in courses)
    assert all(0.3 < course.busy <= 1.0 for course in courses)


def test_equal_seeds_give_equal_courses(model) -> None:
    run = model.Run(
        gpus=20,
        shards=200,
        shard_size=32,
        batch_seconds=1.0,
        judge_seconds=0.2,
        acceptance=0.8,
        start_seconds=2.0,
        turn_seconds=0.001,
        seed=11,
    )
    first, again = model.simulate(run), model.simulate(run)
    other = model.simulate(model.Run(**{**_fields(run), "seed": 12}))
    assert first == again != other
    assert not math.isnan(first.busy_while_full)


def _fields(run) -> dict:
    return {name: getattr(run, name) for name in run.__dataclass_fields__}
