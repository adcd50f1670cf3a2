"""The stages of a shard's work: how long each takes, and one that may hang."""

import contextlib
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import TypeVar

_T = TypeVar("_T")
_Calls = SimpleQueue[Callable[[], None] | None]


class StageTimeout(RuntimeError):  # noqa: N818 - as `queue.Empty`: what happened, not a defect
    """A stage of the work hangs: its process is of no more use and has to be replaced."""


class StageBlocked(StageTimeout):
    """A stage hangs in an earlier call, which is to blame."""


class StageTimes:
    """Seconds that the stages of one shard took; several threads may add to it, each its own.

    Args:
        report: called with a stage and its seconds each time that a stage was busy.

    Attributes:
        seconds: stage → seconds: `paint`, `measure` and `encode` are busy, `wait` is not.
    """

    def __init__(self, report: Callable[[str, float], None]) -> None:
        self._report = report
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def busy(self, stage: str) -> Iterator[None]:
        """Count the time until this is left for a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - started
            self.seconds[stage] += spent
            self._report(stage, spent)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time until this is left as waiting: for a turn, or for verdicts."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds["wait"] += time.perf_counter() - started


class BoundedStage:
    """Runs one call at a time, in a thread of its own, for a bounded time.

    The thread is a daemon: one that hangs cannot be ended, and must not keep its process alive.

    Args:
        limit: the longest that a call may take [s].
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._calls: _Calls = SimpleQueue()
        self._turn = threading.Lock()
        self._hung: str | None = None
        # The thread knows the queue alone, so that this object can go; then the thread ends.
        threading.Thread(target=_serve, args=(self._calls,), daemon=True).start()
        weakref.finalize(self, self._calls.put, None)

    def run(self, call: Callable[[], _T], hung: str) -> _T:
        """Run a call when its turn has come, and return or raise what it does.

        Args:
            call: what to run.
            hung: what to say if it takes too long.

        Raises:
            StageTimeout: if it takes longer than the limit.
            StageBlocked: if one before it did.
        """
        result: Future[_T] = Future()
        with self._turn:
            if self._hung is not None:
                raise StageBlocked(self._hung)
            self._calls.put(lambda: _fulfil(result, call))
            wait([result], self._limit)
            if not result.done():
                self._hung = hung
                raise StageTimeout(hung)
        return result.result()


def _serve(calls: _Calls) -> None:
    while (call := calls.get()) is not None:
        call()
        del call  # or what it refers to would live until the next one comes


def _fulfil(result: Future[_T], call: Callable[[], _T]) -> None:
    try:
        result.set_result(call())
    except BaseException as error:  # whoever waits for the result raises it again
        result.set_exception(error)
