"""The executor without Ray: two shards in flight in this process."""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from cluster.schedule import Schedule, Task
from cluster.worker import Worker
from synthgen.dataset import ShardMarker
from synthgen.errors import SynthgenError

_IN_FLIGHT = 2
"""So that painting goes on while the shard before is judged and written."""


def run_inline(
    worker: Worker,
    schedule: Schedule,
    on_commit: Callable[[ShardMarker], None],
    on_tick: Callable[[dict[str, int]], None],
) -> None:
    """Work every shard of a schedule in this process.

    Args:
        worker: the loaded worker.
        schedule: the shards.
        on_commit: called with each shard's marker.
        on_tick: called about once a second with the counts of images so far.

    Raises:
        SynthgenError: if the run cannot go on; committed shards stay.
    """
    running: dict[Future[ShardMarker], Task] = {}
    with ThreadPoolExecutor(_IN_FLIGHT, "shard") as pool:
        try:
            while _fill(pool, running, worker, schedule):
                done, _ = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
                for future in done:
                    _settle(future, running.pop(future), schedule, on_commit)
                on_tick(worker.counts())
        except BaseException:
            worker.stop()
            raise


def _fill(
    pool: ThreadPoolExecutor,
    running: dict[Future[ShardMarker], Task],
    worker: Worker,
    schedule: Schedule,
) -> bool:
    while len(running) < _IN_FLIGHT and (task := schedule.next()):
        running[pool.submit(worker.work, task.shard, task.isolate)] = task
    return bool(running)


def _settle(
    future: Future[ShardMarker],
    task: Task,
    schedule: Schedule,
    on_commit: Callable[[ShardMarker], None],
) -> None:
    error = future.exception()
    if error is None:
        on_commit(future.result())
    elif isinstance(error, SynthgenError) or not isinstance(error, Exception):
        raise error
    else:
        schedule.failed(task, error)
