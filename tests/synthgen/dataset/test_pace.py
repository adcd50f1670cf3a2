from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tiny_markers import marker_of

from synthgen.dataset.pace import Speed, describe_stages, measure_pace

BEGIN = datetime(2026, 11, 21, 9, tzinfo=UTC)


def _marker(number, start, finish, worker="node-1:1", attempts=20, **seconds):
    return marker_of(
        number=number,
        attempts=attempts,
        started=(BEGIN + timedelta(seconds=start)).isoformat(),
        finished=(BEGIN + timedelta(seconds=finish)).isoformat(),
        worker=worker,
        seconds=seconds,
    )


def test_markers_without_times_have_no_pace():
    assert measure_pace([]) is None
    assert measure_pace([marker_of(number=0, started="", finished="", worker="")]) is None


def test_two_shards_at_a_time_in_two_workers():
    markers = [
        _marker(0, 0, 10, "a", paint=9.0, measure=2.0),
        _marker(1, 5, 15, "a", paint=5.5, measure=2.0),
        _marker(2, 0, 15, "b", paint=14.5, measure=2.0),
    ]
    pace = measure_pace(markers)
    assert pace is not None
    assert pace.overall == pace.recent == Speed(images=4.0, samples=0.8)
    assert (pace.workers, pace.worker_seconds) == (2, 30.0)
    assert pace.stages == pytest.approx({"paint": 29 / 30, "measure": 0.2})
    assert pace.last == BEGIN + timedelta(seconds=15)
    assert describe_stages(pace) == (
        "bottleneck: generate (busy: generate 97%, measure 20% of the workers' time)"
    )


def test_images_that_only_filled_batches_up_are_told_where_markers_know():
    known = replace(_marker(0, 0, 10, paint=9.0), painted=25)
    pace = measure_pace([known, _marker(1, 10, 20, paint=9.0)])
    assert pace is not None
    assert pace.spare == pytest.approx(0.2)
    assert describe_stages(pace) == (
        "bottleneck: generate (busy: generate 90% of the workers' time; "
        "20% of the images only filled batches up)"
    )


def test_time_in_which_nothing_was_made_does_not_count():
    pace = measure_pace([_marker(0, 0, 10), _marker(1, 86_400, 86_410)])
    assert pace is not None
    assert pace.overall == Speed(images=2.0, samples=0.4)
    assert pace.worker_seconds == 20.0


def test_a_worker_that_left_long_ago_is_not_there():
    markers = [_marker(0, 0, 10, "a"), *(_marker(n, 1000 * n, 1000 * n + 10) for n in (1, 2))]
    pace = measure_pace(markers)
    assert pace is not None
    assert pace.workers == 1


def test_the_last_shards_tell_how_fast_it_goes_now():
    slow = [_marker(n, 100 * n, 100 * n + 100) for n in range(30)]
    fast = [_marker(30 + n, 3000 + 10 * n, 3010 + 10 * n) for n in range(30)]
    pace = measure_pace([*slow, *fast])
    assert pace is not None
    assert pace.recent == Speed(images=2.0, samples=0.4)
    assert pace.overall.images == pytest.approx(1200 / 3300)


def test_workers_that_finish_together_do_not_seem_faster_than_they_are():
    workers = [f"node:{n}" for n in range(4)]
    markers = [
        _marker(10 * turn + n, 10 * turn, 10 * turn + 10, worker)
        for turn in range(8)
        for n, worker in enumerate(workers)
    ]
    pace = measure_pace(markers)
    assert pace is not None
    assert pace.recent.images == pytest.approx(8.0)


def test_no_stage_is_blamed_where_the_workers_waited():
    pace = measure_pace([_marker(0, 0, 10, paint=4.0, write=0.1, wait=9.0)])
    assert pace is not None
    assert pace.held_back_by is None
    assert describe_stages(pace) == (
        "bottleneck: none of the stages, the workers waited "
        "(busy: generate 40%, write 1% of the workers' time)"
    )


def test_stages_that_were_not_timed_are_not_known():
    pace = measure_pace([_marker(0, 0, 10)])
    assert pace is not None
    assert describe_stages(pace) == "bottleneck: not known, no stage was timed"


def test_a_clock_that_was_set_back_makes_no_time_negative():
    pace = measure_pace([_marker(0, 20, 10), _marker(1, 0, 10)])
    assert pace is not None
    assert pace.worker_seconds == 10.0
