"""Schedule of shards: the next one to work, and those that failed, were lost, or straggle.

Knows no Ray and no executor; time is injected.
"""

import logging
import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cluster.fuse import FuseError
from samplers.spec import Shard
from synthgen.errors import RunError

_log = logging.getLogger(__name__)

_LOSSES_PER_FAILURE = 10
"""Losses of a shard that count as one failure of it: a shard may bring whole nodes down."""

_NOTABLY = 1.5
"""A shard straggles when it has been in work this many times the median of the finished ones."""

_WITHOUT_SIBLINGS = 600.0
"""A shard straggles after this time where no other has finished to compare it with [s]."""


@dataclass(frozen=True, slots=True)
class Task:
    """A shard to work.

    Attributes:
        shard: the shard.
        isolate: whether a sample that raises becomes a reject instead of failing the shard.
        alone: whether its actor must work nothing else meanwhile, because actors died under it and
            the next death shall say whether it was this shard's.
    """

    shard: Shard
    isolate: bool
    alone: bool = False

    @property
    def name(self) -> str:
        """Split and number of the shard, as its files are named."""
        return f"{self.shard.split}-{self.shard.number:05d}"


@dataclass(slots=True)
class _InWork:
    """A shard that is worked, perhaps twice."""

    task: Task
    since: float
    copies: int = 1


class Schedule:
    """The shards of a run that are still to be worked; each may fail a bounded number of times.

    A shard is tried `max_failures` times as a whole, then `max_failures` times sample by sample.
    An actor's death counts against a shard that it worked alone; of several, each is tried again
    alone first. What went with its node counts a tenth.
    """

    def __init__(
        self,
        shards: Iterable[Shard],
        max_failures: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Plan the work.

        Args:
            shards: the shards to work, in the order in which they are handed out.
            max_failures: failures of a shard before it is worked sample by sample.
            clock: the time [s].

        Attributes:
            blown: why the run ends before all shards are finished; None where it does not.
        """
        self._fresh = deque(shards)
        self._places = {shard: place for place, shard in enumerate(self._fresh)}
        self.blown: FuseError | None = None
        self._end = len(self._places)
        self._open = len(self._fresh)
        self._again: deque[Task] = deque()
        self._in_work: dict[Shard, _InWork] = {}
        self._paces: list[float] = []
        self._failures: Counter[Shard] = Counter()
        self._losses: Counter[Shard] = Counter()
        self._max_failures = max_failures
        self._clock = clock

    @property
    def waiting(self) -> int:
        """Tasks that nobody works."""
        return len(self._again) + len(self._fresh)

    @property
    def done(self) -> bool:
        """True once every shard is finished, or every one before that which blew the fuse."""
        return self._open == 0 or (
            self.blown is not None
            and not self.waiting
            and not any(self._wanted(shard) for shard in self._in_work)
        )

    def next(self, alone: bool = True) -> Task | None:
        """Return the next task, or None where there is none at present.

        Args:
            alone: whether the actor that asks has nothing else in work.
        """
        if self._again and (alone or not self._again[0].alone):
            task = self._again.popleft()
        elif self._fresh:
            task = Task(self._fresh.popleft(), isolate=False)
        else:
            return None
        self._in_work[task.shard] = _InWork(task, self._clock())
        return task

    def stragglers(self, most: int) -> list[Task]:
        """Return tasks to be worked a second time elsewhere, the longest in work first.

        There are none before the last shard has been handed out. A shard straggles when it has
        been in work notably longer, for its number of samples, than the median of the finished
        ones, or for long where none has finished. None is worked more than twice at a time, and
        none that failed before: such a shard is slow for a reason.

        Args:
            most: how many actors have nothing to do.
        """
        if self.waiting or most < 1:
            return []
        wanted = [work for shard, work in self._in_work.items() if self._wanted(shard)]
        slow = [work for work in wanted if self._straggles(work)]
        slow.sort(key=lambda work: (work.since, work.task.shard))
        for work in slow[:most]:
            work.copies = 2
        return [work.task for work in slow[:most]]

    def finished(self, task: Task) -> bool:
        """Take in that a task is done; return whether it is the first of its shard to be."""
        work = self._in_work.pop(task.shard, None)
        if work is None:
            return False
        self._paces.append((self._clock() - work.since) / _samples(task.shard))
        self._open -= 1
        return True

    def needs(self, task: Task) -> bool:
        """Return whether a task's shard is unfinished."""
        return task.shard in self._in_work

    def blew(self, task: Task, error: FuseError) -> None:
        """Take in that a shard blew the fuse: the run ends when all before it are finished.

        Those after it are no longer worked. So it is always the first of its kind that ends the
        run, whoever works how fast.
        """
        if self._in_work.pop(task.shard, None) is None or not self._wanted(task.shard):
            return
        self.blown, self._end = error, self._places[task.shard]
        self._fresh = deque(shard for shard in self._fresh if self._wanted(shard))
        self._again = deque(task for task in self._again if self._wanted(task.shard))

    def failed(self, task: Task, error: BaseException) -> None:
        """Take in that a task raised or killed its actor, and put its shard back.

        It does not count where the shard is finished, or still in work elsewhere.

        Raises:
            RunError: if the shard failed too often to be tried again.
        """
        if self._last_copy(task):
            self._count(task, error)
            self._put_back(task, alone=task.alone)

    def lost(self, task: Task, error: BaseException) -> None:
        """Take in that a task went with its node, or with another task's actor.

        Raises:
            RunError: if the shard was lost so often that it must be the cause.
        """
        if not self._last_copy(task):
            return
        self._losses[task.shard] += 1
        if self._losses[task.shard] % _LOSSES_PER_FAILURE == 0:
            self._count(task, error)
        self._put_back(task, alone=task.alone)

    def killed(self, tasks: Sequence[Task], error: BaseException) -> None:
        """Take in that an actor died with these tasks, by the doing of one of them, if any.

        Raises:
            RunError: if the only one failed too often to be tried again.
        """
        for task in tasks:
            if len(tasks) == 1:
                self.failed(task, error)
            elif self._last_copy(task):
                self._put_back(task, alone=True)

    def _wanted(self, shard: Shard) -> bool:
        """Tell whether a shard comes before the one that blew the fuse, if any did."""
        return self._places[shard] < self._end

    def _straggles(self, work: _InWork) -> bool:
        if work.copies > 1 or work.task.isolate or work.task.alone:
            return False
        allowed = _WITHOUT_SIBLINGS
        if self._paces:
            allowed = _NOTABLY * statistics.median(self._paces) * _samples(work.task.shard)
        return self._clock() - work.since > allowed

    def _last_copy(self, task: Task) -> bool:
        """Take a copy of a task out of work; return whether its shard is now without any."""
        work = self._in_work.get(task.shard)
        if work is None:
            return False
        work.copies -= 1
        if work.copies:
            return False
        del self._in_work[task.shard]
        return True

    def _count(self, task: Task, error: BaseException) -> None:
        self._failures[task.shard] += 1
        failures = self._failures[task.shard]
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        if failures >= 2 * self._max_failures:
            raise RunError(
                f"shard {task.name} failed {failures} times, even sample by sample; "
                f"the last failure: {text}"
            ) from error
        _log.warning(
            "shard %s failed (%d) and is tried again: %s",
            task.name,
            failures,
            text,
            extra={"event": "shard_failed", "shard": task.name, "failures": failures},
        )

    def _put_back(self, task: Task, alone: bool) -> None:
        if not self._wanted(task.shard):
            return
        isolate = self._failures[task.shard] >= self._max_failures
        self._again.append(Task(task.shard, isolate, alone))


def _samples(shard: Shard) -> int:
    return shard.stop - shard.start
