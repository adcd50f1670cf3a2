"""Ray: actors that hold a loaded worker, and the executor that feeds them.

Ray Core actors, a `ray.wait` loop with bounded work in flight, finite retries. The pool follows
the resources there are: an actor gets work once it is up, and one that the cluster has no room for
holds nothing back.
"""

import contextlib
import os
import sys
from dataclasses import dataclass, field
from typing import Any, Self

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayTaskError
from tqdm import tqdm

from cluster.executors import IN_FLIGHT, OnCommit, OnTick
from cluster.loading import WorkerLoader, load_worker
from cluster.schedule import Schedule, Task
from cluster.worker import Worker
from samplers.plan import build_plan
from samplers.spec import Shard
from synthgen.config import RunConfig
from synthgen.dataset import ShardMarker
from synthgen.errors import ConfigError, RunError, SynthgenError

_PATIENCE = 60.0
"""Time to the first loaded actor after which the user is told what is waited for [s]."""


class WorkerActor:
    """A worker in a process of its own; `load` comes first."""

    def __init__(self, config: RunConfig, load: WorkerLoader) -> None:
        self._config = config
        self._load = load
        self._worker: Worker | None = None

    def load(self) -> dict[str, Any]:
        """Load the worker and return its fingerprint; a method, so that its errors keep type."""
        self._worker = self._load(self._config, build_plan(self._config))
        return self._worker.fingerprint()

    def work(self, shard: Shard, isolate: bool) -> ShardMarker:
        """Make a shard whole and commit it; see `Worker.work`."""
        return self._loaded().work(shard, isolate)

    def counts(self) -> dict[str, int]:
        """Return the images judged and accepted so far."""
        return self._loaded().counts()

    def _loaded(self) -> Worker:
        if self._worker is None:
            raise RuntimeError("the actor was asked for work before it was loaded")
        return self._worker


@dataclass(slots=True)
class _Member:
    """An actor of the pool, with the tasks that it holds."""

    handle: ActorHandle
    ready: bool = False
    tasks: dict[ray.ObjectRef, Task] = field(default_factory=dict)
    counting: ray.ObjectRef | None = None
    counts: dict[str, int] = field(default_factory=dict)


class RayExecutor:
    """Works the shards on a Ray cluster, or on a local one that it starts."""

    def __init__(self, config: RunConfig, load: WorkerLoader = load_worker) -> None:
        self._config = config
        self._load = load
        self._started = _connect(config)
        self._options = _actor_options(config)
        self._members: list[_Member] = []
        self._loading: dict[ray.ObjectRef, _Member] = {}
        self._lost_counts: list[dict[str, int]] = []
        self._failed_loads = 0
        self._fingerprint: dict[str, Any] | None = None

    def __enter__(self) -> Self:
        for _ in range(_pool_size(self._config)):
            self._hire()
        return self

    def __exit__(self, *error: object) -> None:
        for member in self._members:
            ray.kill(member.handle)
        if self._started:
            ray.shutdown()

    def fingerprint(self) -> dict[str, Any]:
        """Wait for the first actor to be loaded, and return its fingerprint."""
        patience: float | None = _PATIENCE
        while self._fingerprint is None:
            done, _ = ray.wait(list(self._loading), num_returns=1, timeout=patience)
            if not done:
                self._say_what_is_waited_for()
                patience = None
            for ref in done:
                self._loaded(ref)
        return self._fingerprint

    def _say_what_is_waited_for(self) -> None:
        cpus, gpus = self._options["num_cpus"], self._options["num_gpus"]
        tqdm.write(
            f"no actor is loaded after {_PATIENCE:.0f} s: either the models are large or the "
            f"cluster has no room for one ({cpus} CPU, {gpus:g} GPU); still waiting",
            file=sys.stderr,
        )

    def run(self, schedule: Schedule, on_commit: OnCommit, on_tick: OnTick) -> None:
        """Work every shard; see `Executor.run`."""
        while self._hand_out(schedule):
            for ref in self._wait():
                if ref in self._loading:
                    self._loaded(ref)
                else:
                    self._settle(ref, schedule, on_commit)
            on_tick(self._counts())

    def _hire(self) -> None:
        # Ray's types know an actor's methods only where they are annotated one by one.
        handle: Any = (
            ray.remote(WorkerActor).options(**self._options).remote(self._config, self._load)
        )
        member = _Member(handle)
        self._members.append(member)
        self._loading[handle.load.remote()] = member

    def _loaded(self, ref: ray.ObjectRef) -> None:
        member = self._loading.pop(ref)
        try:
            fingerprint = ray.get(ref)
        except RayTaskError as error:
            raise _cause(error) from error
        except RayActorError as error:
            self._lost(member)
            self._failed_loads += 1
            if self._failed_loads > self._config.cluster.max_failures:
                raise RunError(f"actors die while they load their models: {error}") from error
            self._hire()
            return
        self._same_fingerprint(fingerprint)
        member.ready = True

    def _same_fingerprint(self, fingerprint: dict[str, Any]) -> None:
        if self._fingerprint not in (None, fingerprint):
            raise RunError(
                "the nodes would make different data, their weights or package versions differ: "
                f"{self._fingerprint} on the first, {fingerprint} on another"
            )
        self._fingerprint = fingerprint

    def _hand_out(self, schedule: Schedule) -> bool:
        """Give each loaded actor its share of work; return whether any work is in flight."""
        for depth in range(IN_FLIGHT):
            for member in self._members:
                if member.ready and len(member.tasks) == depth and (task := schedule.next()):
                    ref = member.handle.work.remote(task.shard, task.isolate)
                    member.tasks[ref] = task
        working = any(member.tasks for member in self._members)
        return working or (bool(self._loading) and schedule.unfinished())

    def _wait(self) -> list[ray.ObjectRef]:
        refs = [ref for member in self._members for ref in member.tasks]
        done, _ = ray.wait([*refs, *self._loading], num_returns=1, timeout=1.0)
        return done

    def _settle(self, ref: ray.ObjectRef, schedule: Schedule, on_commit: OnCommit) -> None:
        member = next(member for member in self._members if ref in member.tasks)
        task = member.tasks.pop(ref)
        try:
            on_commit(ray.get(ref))
        except RayTaskError as error:
            cause = _cause(error)
            if isinstance(cause, SynthgenError):
                raise cause from error
            schedule.failed(task, cause)
        except RayActorError as error:
            schedule.failed(task, error)
            self._bury(member, error, schedule)

    def _bury(self, member: _Member, error: RayActorError, schedule: Schedule) -> None:
        """Give a dead actor's other tasks back and hire another in its place."""
        for task in member.tasks.values():
            schedule.failed(task, error)
        self._lost(member)
        self._hire()

    def _lost(self, member: _Member) -> None:
        self._members.remove(member)
        self._lost_counts.append(member.counts)

    def _counts(self) -> dict[str, int]:
        for member in self._members:
            _refresh_counts(member)
        known = [*self._lost_counts, *(member.counts for member in self._members)]
        return {key: sum(counts.get(key, 0) for counts in known) for key in ("judged", "accepted")}


def _connect(config: RunConfig) -> bool:
    """Join the cluster that is meant; return whether this process has to leave it again."""
    if ray.is_initialized():
        return False
    # A job's driver finds its cluster in RAY_ADDRESS. Without either, a local Ray of our own:
    # ray.init() without an address may attach to somebody else's cluster.
    address = config.cluster.address or os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        options["include_dashboard"] = False
    try:
        ray.init(address=address, **options)
    except ConnectionError as error:
        raise ConfigError(f"cluster.address: no Ray cluster answers at {address!r}") from error
    return True


def _actor_options(config: RunConfig) -> dict[str, Any]:
    return {
        "num_cpus": config.pipeline.threads,
        "num_gpus": _gpus_per_actor(config),
        "max_restarts": 0,
        "max_concurrency": IN_FLIGHT + 1,
    }


def _gpus_per_actor(config: RunConfig) -> float:
    if config.cluster.gpus_per_actor != "auto":
        return config.cluster.gpus_per_actor
    needs_model = config.pipeline.name != "procedural"
    return 1.0 if needs_model and ray.cluster_resources().get("GPU", 0) else 0.0


def _pool_size(config: RunConfig) -> int:
    """Return how many actors to ask for: those of the configuration, or as many as fit now."""
    if config.cluster.actors != "auto":
        return config.cluster.actors
    resources = ray.cluster_resources()
    if gpus := _gpus_per_actor(config):
        return max(1, int(resources.get("GPU", 0) / gpus))
    return max(1, int(resources.get("CPU", 1) / config.pipeline.threads))


def _cause(error: RayTaskError) -> Exception:
    return error.cause if isinstance(error.cause, Exception) else error


def _refresh_counts(member: _Member) -> None:
    """Take in an actor's counts without waiting for them.

    A dead actor's stay as they were: its tasks report the death, and there it is dealt with.
    """
    if member.counting is None and member.ready:
        member.counting = member.handle.counts.remote()
    if member.counting is None or not ray.wait([member.counting], timeout=0)[0]:
        return
    with contextlib.suppress(RayActorError):
        member.counts = ray.get(member.counting)
    member.counting = None
