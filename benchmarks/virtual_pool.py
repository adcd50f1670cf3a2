"""The executor of a run on Ray, with many virtual GPUs in each actor's process.

What is overridden is how an actor begins and ends. A virtual GPU is a whole `WorkerActor`, and the
driver sees a handle of its own for each; but the handles of up to `per_process` of them lead to one
Ray actor, which works their calls in threads.
"""

import itertools
import os
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from virtual_gpu import PAINTED, Batch

from cluster.actors import RayExecutor, WorkerActor
from cluster.executors import IN_FLIGHT, OnCommit, OnTick
from cluster.pool import ActorState
from cluster.schedule import Schedule, Task
from cluster.worker import WorkerLoader
from samplers.spec import Shard
from synthgen.config import RunConfig
from synthgen.dataset import ShardMarker

METHODS = ("where", "load", "probe", "work", "counts")
"""Methods of a `WorkerActor` that the driver calls."""


@dataclass(frozen=True, slots=True)
class Work:
    """A shard that a virtual GPU has finished: whose, and when [s, monotonic]."""

    shard: Shard
    started: float
    stopped: float


@dataclass(frozen=True, slots=True)
class Ledger:
    """Events of one process.

    Attributes:
        painted: the batches of each of its virtual GPUs.
        works: the shards that they finished.
        cpu_seconds: CPU time since the first shard began.
    """

    painted: list[list[Batch]]
    works: list[Work]
    cpu_seconds: float


@dataclass(slots=True)
class Observed:
    """Observations of a run.

    Attributes:
        ledgers: one for each process.
        commits: when the driver learned of each committed shard [s, monotonic].
        dry: when the last shard was handed out [s, monotonic].
        seconds: part of the driver's loop → CPU time of its main thread in it [s].
        times: part of the loop → how often it was done.
        cpu_seconds: CPU time of the driver's process, all threads, in the loop.
    """

    ledgers: list[Ledger] = field(default_factory=list)
    commits: list[float] = field(default_factory=list)
    dry: float = 0.0
    seconds: Counter[str] = field(default_factory=Counter)
    times: Counter[str] = field(default_factory=Counter)
    cpu_seconds: float = 0.0


class Host:
    """Many workers in one process; each has a number."""

    def __init__(self, config: RunConfig, load: WorkerLoader) -> None:
        self._new = lambda: WorkerActor(config, load)
        self._actors: dict[int, WorkerActor] = {}
        self._works: list[Work] = []
        self._began: float | None = None
        self._lock = threading.Lock()

    def call(self, number: int, method: str, *arguments: Any) -> Any:
        """Call a method of a worker; the first call makes the worker."""
        with self._lock:
            actor = self._actors.get(number) or self._actors.setdefault(number, self._new())
        return getattr(actor, method)(*arguments)

    def work(self, number: int, shard: Shard, isolate: bool) -> ShardMarker:
        """Let a worker make a shard, and write down when."""
        if self._began is None:
            self._began = time.process_time()
        started = time.monotonic()
        marker = self.call(number, "work", shard, isolate)
        self._works.append(Work(shard, started, time.monotonic()))
        return marker

    def ledger(self) -> Ledger:
        """Return what happened so far."""
        began = time.process_time() if self._began is None else self._began
        return Ledger(PAINTED, self._works, time.process_time() - began)


class Seat:
    """A virtual GPU, as the driver sees an actor."""

    def __init__(self, host: Any, number: int) -> None:
        for method in METHODS:
            setattr(self, method, _Method(host, number, method))


@dataclass(frozen=True, slots=True)
class _Method:
    host: Any
    number: int
    name: str

    def remote(self, *arguments: Any) -> ray.ObjectRef:
        """Call it."""
        if self.name == "work":
            return self.host.work.remote(self.number, *arguments)
        return self.host.call.remote(self.number, self.name, *arguments)


class VirtualExecutor(RayExecutor):
    """A `RayExecutor` whose actors share processes, and which writes down what it does."""

    def __init__(
        self, config: RunConfig, load: WorkerLoader, per_process: int, observed: Observed
    ) -> None:
        """Begin as a `RayExecutor` does.

        Args:
            config: the run; `cluster.actors` is the number of virtual GPUs.
            load: loads each worker.
            per_process: virtual GPUs in an actor's process.
            observed: where everything is written down.
        """
        super().__init__(config, load)
        self._per_process, self._observed = per_process, observed
        self._hosts: list[Any] = []
        self._numbers = itertools.count()

    def run(self, schedule: Schedule, on_commit: OnCommit, on_tick: OnTick) -> None:
        """Work every shard; see `Executor.run`."""

        def commit(marker: ShardMarker) -> None:
            on_commit(marker)
            self._observed.commits.append(time.monotonic())

        began = time.process_time()
        super().run(schedule, commit, on_tick)
        self._observed.cpu_seconds = time.process_time() - began
        self._observed.ledgers = ray.get([host.ledger.remote() for host in self._hosts])

    def _start_actor(self, avoids: Mapping[str, str]) -> Seat:
        number = next(self._numbers)
        if number % self._per_process == 0:
            self._hosts.append(self._start_host())
        return Seat(self._hosts[-1], number)

    def _start_host(self) -> Any:
        options: dict[str, Any] = {
            "num_cpus": 0,
            "max_restarts": 0,
            "max_concurrency": self._per_process * (IN_FLIGHT + 1) + 2,
            "runtime_env": {"env_vars": {"PYTHONPATH": _with_this_folder()}},
        }
        return ray.remote(Host).options(**options).remote(self._config, self._load)

    def _end_actor(self, handle: Seat) -> None:
        """Leave it: its process, which others share, ends with the run."""

    def _wait(self) -> list[ray.ObjectRef]:
        return self._timed("turn", super()._wait)

    def _hand_out(self, schedule: Schedule) -> None:
        waiting, given = schedule.waiting, self._observed.seconds["give"]
        self._timed("look", super()._hand_out, schedule)
        self._observed.seconds["look"] -= self._observed.seconds["give"] - given
        if waiting and not schedule.waiting:
            self._observed.dry = time.monotonic()

    def _give(self, member: ActorState, task: Task) -> None:
        self._timed("give", super()._give, member, task)

    def _settle(self, ref: ray.ObjectRef, schedule: Schedule, on_commit: OnCommit) -> None:
        self._timed("settle", super()._settle, ref, schedule, on_commit)

    def _tick(self, schedule: Schedule, on_tick: OnTick) -> None:
        def tick(counts: dict[str, int]) -> None:
            self._observed.times["tick"] += 1
            on_tick(counts)

        self._timed("ticks", super()._tick, schedule, tick)

    def _timed(self, part: str, work: Any, *arguments: Any) -> Any:
        began = time.thread_time()
        try:
            return work(*arguments)
        finally:
            self._observed.seconds[part] += time.thread_time() - began
            self._observed.times[part] += 1


def _with_this_folder() -> str:
    """Return where Python looks for modules, these among them."""
    folders = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(filter(None, folders))
