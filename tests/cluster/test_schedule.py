import pytest

from cluster.schedule import Schedule, Task
from samplers.spec import Shard
from synthgen.errors import RunError

A, B = Shard("train", 0, 0, 4), Shard("train", 1, 4, 8)


def test_shards_come_in_order_and_then_no_more():
    schedule = Schedule([A, B], max_failures=2)
    assert [schedule.next(), schedule.next(), schedule.next()] == [
        Task(A, isolate=False),
        Task(B, isolate=False),
        None,
    ]
    assert not schedule.unfinished()


def test_a_failed_shard_comes_again_and_later_sample_by_sample():
    schedule = Schedule([A], max_failures=2)
    seen = []
    for _ in range(3):
        task = schedule.next()
        seen.append(task.isolate)
        schedule.failed(task, ValueError("broken"))
    assert seen == [False, False, True]
    assert schedule.unfinished()


def test_a_shard_that_fails_even_sample_by_sample_ends_the_run():
    schedule = Schedule([A], max_failures=1)
    schedule.failed(schedule.next(), ValueError("broken"))
    with pytest.raises(RunError) as error:
        schedule.failed(schedule.next(), ValueError("broken"))
    assert str(error.value) == (
        "shard train-00000 failed 2 times, even sample by sample; "
        "the last failure: ValueError: broken"
    )
