"""Interface of executors to the driver, and the executor without Ray."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any, Protocol, Self

from cluster.batches import StageTimeout
from cluster.fuse import FuseError
from cluster.schedule import Schedule, Task
from cluster.worker import WorkerLoader, load_worker
from samplers.plan import Plan
from synthgen.config import RunConfig
from synthgen.dataset import ShardMarker
from synthgen.errors import RunError, SynthgenError

OnCommit = Callable[[ShardMarker], None]
"""Called with the marker of each shard that was committed."""

OnTick = Callable[[dict[str, int]], None]
"""Called about once a second with the images `judged` and `accepted` so far."""

IN_FLIGHT = 2
"""Shards in flight a worker: painting goes on while the shard before is judged and written."""


class Executor(Protocol):
    """Works the shards of a schedule; a context manager that leaves nothing running."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def fingerprint(self) -> dict[str, Any]:
        """Load what the data is a function of besides the configuration, and return it."""
        ...

    def probe(self) -> int:
        """Find the batch size of a run whose configuration leaves it open, and go on with it.

        Returns:
            Images that are made at once, by every worker from now on.
        """
        ...

    def run(self, schedule: Schedule, on_commit: OnCommit, on_tick: OnTick) -> None:
        """Work every shard, or those before the one that blows the fuse; see `Schedule.blew`.

        Raises:
            SynthgenError: if the run cannot go on; committed shards stay.
        """
        ...


class InlineExecutor:
    """Works the shards in this process.

    What ends comes over a `SimpleQueue`. `concurrent.futures.wait` holds the futures' locks for a
    moment: a Ctrl-C just then leaves them held, and the thread that would end never does.
    """

    def __init__(self, config: RunConfig, plan: Plan, load: WorkerLoader = load_worker) -> None:
        self._worker = load(config, plan)
        self._running: dict[Future[ShardMarker], Task] = {}
        self._ended: SimpleQueue[Future[ShardMarker]] = SimpleQueue()
        self._pool = ThreadPoolExecutor(IN_FLIGHT, "shard")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._worker.stop()
        self._pool.shutdown(cancel_futures=True)

    def fingerprint(self) -> dict[str, Any]:
        """Return the fingerprints of the worker's pipeline, verifier and labels."""
        return self._worker.fingerprint()

    def probe(self) -> int:
        """Let the worker find its batch size; see `Executor.probe`."""
        return self._worker.probe()

    def run(self, schedule: Schedule, on_commit: OnCommit, on_tick: OnTick) -> None:
        """Work every shard; see `Executor.run`."""
        while not schedule.done and self._hand_out(schedule):
            for future in self._ends():
                self._settle(future, schedule, on_commit)
            on_tick(self._worker.counts())

    def _ends(self) -> list[Future[ShardMarker]]:
        try:
            return [self._ended.get(timeout=1.0)]
        except Empty:
            return []

    def _hand_out(self, schedule: Schedule) -> bool:
        while len(self._running) < IN_FLIGHT and (task := schedule.next()):
            future = self._pool.submit(self._worker.work, task.shard, task.isolate)
            self._running[future] = task
            future.add_done_callback(self._ended.put)
        return bool(self._running)

    def _settle(self, future: Future[ShardMarker], schedule: Schedule, on_commit: OnCommit) -> None:
        task = self._running.pop(future)
        error = future.exception()
        if error is None:
            schedule.finished(task)
            on_commit(future.result())
        elif isinstance(error, FuseError):
            schedule.blew(task, error)
        elif isinstance(error, StageTimeout):
            raise RunError(
                f"{error}; a process cannot replace itself: run again to continue, or use the "
                "executor 'ray', which replaces what hangs"
            ) from error
        elif isinstance(error, Exception) and not isinstance(error, SynthgenError):
            schedule.failed(task, error)
        else:
            raise error
