"""Which shard is worked next, and what becomes of one that failed."""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

from samplers.spec import Shard
from synthgen.errors import RunError


@dataclass(frozen=True, slots=True)
class Task:
    """A shard to work.

    Attributes:
        shard: the shard.
        isolate: whether a sample that raises becomes a reject instead of failing the shard.
    """

    shard: Shard
    isolate: bool


class Schedule:
    """The shards of a run that are still to be worked; each may fail a bounded number of times.

    A shard is tried `max_failures` times as a whole, then `max_failures` times sample by sample.
    """

    def __init__(self, shards: Iterable[Shard], max_failures: int) -> None:
        self._fresh = deque(shards)
        self._again: deque[Task] = deque()
        self._failures: Counter[Shard] = Counter()
        self._max_failures = max_failures

    def next(self) -> Task | None:
        """Return the next task, or None where none is left to hand out at present."""
        if self._again:
            return self._again.popleft()
        return Task(self._fresh.popleft(), isolate=False) if self._fresh else None

    def unfinished(self) -> bool:
        """Return whether any task is waiting to be handed out."""
        return bool(self._again or self._fresh)

    def failed(self, task: Task, error: BaseException) -> None:
        """Put a failed task back.

        Raises:
            RunError: if it failed too often to be tried again.
        """
        self._failures[task.shard] += 1
        failures = self._failures[task.shard]
        if failures >= 2 * self._max_failures:
            name = f"{task.shard.split}-{task.shard.number:05d}"
            raise RunError(
                f"shard {name} failed {failures} times, even sample by sample; "
                f"the last failure: {type(error).__name__}: {error}"
            ) from error
        self._again.append(Task(task.shard, isolate=failures >= self._max_failures))
