import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.schedule import Schedule, Task
from samplers.spec import Shard
from synthgen.errors import RunError

A, B, C, D = (Shard("train", n, 4 * n, 4 * n + 4) for n in range(4))
BROKEN = ValueError("broken")


class Clock:
    """A time that a test sets [s]."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_shards_come_in_order_and_then_no_more():
    schedule = Schedule([A, B], max_failures=2)
    assert [schedule.next(), schedule.next(), schedule.next()] == [
        Task(A, isolate=False),
        Task(B, isolate=False),
        None,
    ]
    assert schedule.waiting == 0
    assert not schedule.done
    assert [schedule.finished(Task(shard, isolate=False)) for shard in (B, A)] == [True, True]
    assert schedule.done


def test_a_failed_shard_comes_again_and_later_sample_by_sample():
    schedule = Schedule([A], max_failures=2)
    seen = []
    for _ in range(3):
        task = schedule.next()
        seen.append(task.isolate)
        schedule.failed(task, BROKEN)
    assert seen == [False, False, True]
    assert schedule.waiting == 1


def test_a_shard_that_fails_even_sample_by_sample_ends_the_run():
    schedule = Schedule([A], max_failures=1)
    schedule.failed(schedule.next(), BROKEN)
    with pytest.raises(RunError) as error:
        schedule.failed(schedule.next(), BROKEN)
    assert str(error.value) == (
        "shard train-00000 failed 2 times, even sample by sample; "
        "the last failure: ValueError: broken"
    )


def test_of_two_shards_under_which_an_actor_died_each_is_tried_alone_before_it_counts():
    schedule = Schedule([A, B, C], max_failures=1)
    schedule.killed([schedule.next(), schedule.next()], BROKEN)
    assert schedule.next(alone=False) == Task(C, isolate=False)
    assert schedule.next(alone=False) is None
    guilty, innocent = schedule.next(), schedule.next()
    assert [guilty, innocent] == [Task(A, False, alone=True), Task(B, False, alone=True)]
    schedule.finished(innocent)
    schedule.killed([guilty], BROKEN)
    isolated = schedule.next()
    assert isolated == Task(A, isolate=True, alone=True)
    with pytest.raises(RunError, match="shard train-00000 failed 2 times"):
        schedule.killed([isolated], BROKEN)


def test_nodes_that_leave_do_not_use_up_a_shards_failures_until_it_is_suspicious():
    schedule = Schedule([A], max_failures=1)
    for _ in range(9):
        schedule.lost(schedule.next(), BROKEN)
    assert not schedule.next().isolate
    schedule.lost(Task(A, isolate=False), BROKEN)
    for _ in range(9):
        schedule.lost(schedule.next(), BROKEN)
    with pytest.raises(RunError, match="shard train-00000 failed 2 times"):
        schedule.lost(schedule.next(), BROKEN)


def test_a_straggler_is_worked_twice_once_nothing_waits(clock):
    schedule = Schedule([A, B, C], max_failures=1, clock=clock)
    tasks = [schedule.next(), schedule.next()]
    clock.now = 100
    schedule.finished(tasks[0])
    clock.now = 1000
    assert schedule.stragglers(5) == []  # C waits
    last = schedule.next()
    clock.now = 1151
    assert schedule.stragglers(0) == []
    assert schedule.stragglers(1) == [tasks[1]]
    assert schedule.stragglers(1) == [last]
    assert schedule.stragglers(1) == []


def test_a_shard_straggles_beyond_one_and_a_half_times_the_median_for_its_size(clock):
    small = Shard("test", 0, 0, 2)
    schedule = Schedule([A, B, small], max_failures=1, clock=clock)
    first, second, third = schedule.next(), schedule.next(), schedule.next()
    clock.now = 40
    schedule.finished(first)  # 10 s a sample
    clock.now = 30
    assert schedule.stragglers(2) == []
    clock.now = 31
    assert schedule.stragglers(2) == [third]
    clock.now = 61
    assert schedule.stragglers(2) == [second]


def test_without_finished_siblings_a_shard_straggles_after_ten_minutes(clock):
    schedule = Schedule([A], max_failures=1, clock=clock)
    task = schedule.next()
    clock.now = 600
    assert schedule.stragglers(1) == []
    clock.now = 601
    assert schedule.stragglers(1) == [task]


def test_the_first_of_two_twins_counts_and_what_becomes_of_the_other_does_not(clock):
    schedule = Schedule([A], max_failures=1, clock=clock)
    task = schedule.next()
    clock.now = 601
    schedule.stragglers(1)
    assert schedule.finished(task)
    assert not schedule.needs(task)
    assert not schedule.finished(task)
    schedule.failed(task, BROKEN)
    schedule.lost(task, BROKEN)
    assert schedule.done
    assert schedule.waiting == 0


def test_a_twin_that_fails_does_not_count_while_the_other_works(clock):
    schedule = Schedule([A], max_failures=1, clock=clock)
    task = schedule.next()
    clock.now = 601
    schedule.stragglers(1)
    schedule.killed([task], BROKEN)
    assert schedule.waiting == 0
    assert schedule.stragglers(1) == [task]
    schedule.failed(task, BROKEN)
    schedule.failed(task, BROKEN)
    assert schedule.next() == Task(A, isolate=True)


def test_what_failed_before_is_not_worked_twice(clock):
    schedule = Schedule([A, B], max_failures=1, clock=clock)
    schedule.killed([schedule.next(), schedule.next()], BROKEN)
    schedule.next()
    schedule.failed(schedule.next(), BROKEN)
    schedule.next()
    clock.now = 10_000
    assert schedule.stragglers(2) == []


OUTCOMES = st.lists(
    st.tuples(st.sampled_from(["finished", "failed", "lost", "killed", "twin"]), st.integers(0, 7)),
    max_size=60,
)


@given(st.integers(1, 12), OUTCOMES)
def test_every_shard_is_finished_once_whatever_happens_on_the_way(count, outcomes):
    clock = Clock()
    shards = [Shard("train", n, 4 * n, 4 * n + 4) for n in range(count)]
    schedule = Schedule(shards, max_failures=100, clock=clock)
    working, finished = [], []
    for outcome, place in [*outcomes, *[("finished", 0)] * 200]:
        clock.now += 700
        if len(working) < 4 and (task := schedule.next()):
            working.append(task)
        if outcome == "twin":
            working += schedule.stragglers(1)
        elif working:
            task = working.pop(place % len(working))
            if outcome == "killed":
                schedule.killed([task, *working], BROKEN)
                working.clear()
            elif outcome == "finished":
                finished += [task.shard] if schedule.finished(task) else []
            else:
                getattr(schedule, outcome)(task, BROKEN)
    assert sorted(finished) == shards
    assert schedule.done
    assert schedule.waiting == 0
