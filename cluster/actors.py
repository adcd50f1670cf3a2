"""Ray executor: the pool fed from the driver, and the worker in each actor's process.

Ray Core actors, a `ray.wait` loop with bounded work in flight, finite retries.
"""

import logging
import math
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import ray
from ray.exceptions import RayError, RayTaskError

from cluster.batches import StageBlocked, StageTimeout
from cluster.connection import connect
from cluster.executors import IN_FLIGHT, OnCommit, OnTick
from cluster.fuse import FuseError
from cluster.pool import ActorCounters, ActorState, Pool, cause
from cluster.progress import log_to_session
from cluster.remote import actor_class, arguments_of
from cluster.resolve import gpus_per_actor, with_batch_size
from cluster.schedule import Schedule, Task
from cluster.worker import Worker, WorkerLoader, load_worker
from samplers.plan import build_plan
from samplers.spec import Shard
from synthgen.config import RunConfig
from synthgen.dataset import ShardMarker
from synthgen.errors import RunError, SynthgenError


class WorkerActor:
    """A worker in a process of its own; `load` comes first.

    Actors of one node share the reading of their weights: safetensors files are mapped, so that the
    node's page cache holds each once; an actor has a copy of its own only on its device, or of what
    it changes (another number format, a fused LoRA).
    """

    def __init__(self, config: RunConfig, load: WorkerLoader, run_id: str | None = None) -> None:
        self._config = config
        self._load = load
        self._run_id = run_id
        self._worker: Worker | None = None

    def load(self) -> dict[str, Any]:
        """Load the worker and return its fingerprint; a method, so that its errors keep type."""
        log_to_session(self._config.cluster.log_format)
        _see_own_gpus_only()
        self._worker = self._load(self._config, build_plan(self._config, self._run_id))
        return self._worker.fingerprint()

    def probe(self) -> int:
        """Find the batch size that the worker goes on with; see `Worker.probe`."""
        return self._loaded().probe()

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


def _see_own_gpus_only() -> None:
    """Hide the GPUs from an actor that asked for none: Ray leaves them all visible to it."""
    if not ray.get_runtime_context().get_accelerator_ids().get("GPU"):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


_log = logging.getLogger(__name__)

_PATIENCE = 60.0
"""Time to the first loaded actor after which the user is told what is waited for [s]."""

_TICK = 1.0
"""Time between two looks at the actors' counts and at stragglers [s]."""

_LAST_WORDS = 10.0
"""Longest wait for killed actors to be gone [s]."""


class RayExecutor:
    """Works the shards on a Ray cluster, or on a local one that it starts."""

    def __init__(
        self, config: RunConfig, load: WorkerLoader = load_worker, run_id: str | None = None
    ) -> None:
        """Join the cluster; actors are asked for when the executor is entered.

        Args:
            config: the run, with paths that hold in any working folder.
            load: loads each worker.
            run_id: short name of the run, which follows from its paths as the user wrote them;
                None: that of `config`.

        Raises:
            ConfigError: if no cluster answers, or an actor cannot take what is asked for.
        """
        gpus_per_actor(config, {})  # Refused before there is a cluster to leave again.
        self._config = config
        self._load = load
        self._run_id = config.run_id() if run_id is None else run_id
        self._started = connect(config)
        self._actor_class = actor_class(WorkerActor)
        self._takes = config.pipeline.threads, gpus_per_actor(config, ray.cluster_resources())
        self._pool = Pool(
            1 if config.pipeline.batch_size == "auto" else self._size(),
            self._takes,
            self._start_actor,
            self._end_actor,
            max_failures=config.cluster.max_failures,
            mixed_hardware=config.cluster.mixed_hardware,
        )
        self._in_work: dict[ray.ObjectRef, ActorState] = {}
        self._counters = ActorCounters()
        self._tick_at = time.monotonic()
        self._patient_until = self._tick_at + _PATIENCE

    def __enter__(self) -> Self:
        self._pool.follow()
        return self

    def __exit__(self, *error: object) -> None:
        self._end(list(self._pool.members))
        if self._started:
            ray.shutdown()

    def fingerprint(self) -> dict[str, Any]:
        """Wait for the first actor to be loaded, and return its fingerprint.

        Raises:
            SynthgenError: if it cannot be loaded.
        """
        while self._pool.fingerprint is None:
            self._pool.follow()
            for ref in self._wait():
                self._pool.arrived(ref)
            self._mind_the_wait()
        return self._pool.fingerprint

    def probe(self) -> int:
        """Let the first loaded actor find its batch size; all others get it; see `Executor`."""
        for _ in range(self._config.cluster.max_failures):
            if (size := self._probe_once()) is not None:
                self._config = with_batch_size(self._config, size)
                self._pool.resize(self._size())
                self._pool.follow()
                return size
        raise RunError("actors die while they try batch sizes; set pipeline.batch_size")

    def run(self, schedule: Schedule, on_commit: OnCommit, on_tick: OnTick) -> None:
        """Work every shard; see `Executor.run`."""
        while not schedule.done:
            self._pool.follow()
            self._hand_out(schedule)
            for ref in self._wait():
                if ref in self._in_work:
                    self._settle(ref, schedule, on_commit)
                else:
                    self._pool.arrived(ref)
            self._tick(schedule, on_tick)
        # A twin that is killed while it commits leaves a whole shard all the same: both write the
        # same bytes, each file at once.
        self._end(list(set(self._in_work.values())))

    def _start_actor(self, avoids: Mapping[str, str]) -> Any:
        """Ask the cluster for an actor; the only place that makes one."""
        cpus, gpus = self._takes
        asked = self._actor_class.options(
            num_cpus=cpus,
            num_gpus=gpus,
            max_restarts=0,
            max_concurrency=IN_FLIGHT + 1,
            label_selector=dict(avoids) or None,
        )
        return asked.remote(*arguments_of(WorkerActor, self._config, self._load, self._run_id))

    def _end_actor(self, handle: Any) -> None:
        """Kill an actor; the only place that ends one."""
        ray.kill(handle)

    def _size(self) -> int | None:
        actors = self._config.cluster.actors
        return None if actors == "auto" else actors

    def _mind_the_wait(self) -> None:
        """Say what is waited for when there has been no loaded actor for long."""
        now = time.monotonic()
        if any(member.ready for member in self._pool.members):
            self._patient_until = now + _PATIENCE
        elif now > self._patient_until:
            self._patient_until = math.inf
            _log.warning(
                "no actor is loaded after %.0f s: either the models are large or the cluster has "
                "no room for one (%d CPU, %g GPU); still waiting",
                _PATIENCE,
                *self._takes,
                extra={"event": "actor_waiting"},
            )

    def _probe_once(self) -> int | None:
        """Ask a loaded actor for its batch size; None if it died."""
        self.fingerprint()
        member = next((member for member in self._pool.members if member.ready), None)
        if member is None:
            self._pool.fingerprint = None
            return None
        try:
            return ray.get(member.handle.probe.remote())
        except RayTaskError as error:
            raise cause(error) from error
        except RayError as error:
            self._pool.bury(member, error)
            self._pool.fingerprint = None
            return None

    def _wait(self) -> list[ray.ObjectRef]:
        """Return all that is done, after a second at most."""
        refs = [*self._in_work, *self._pool.arriving()]
        if not refs:
            # The cluster has no room at all, or actors died that are not replaced at once.
            time.sleep(_TICK)
            return []
        ray.wait(refs, num_returns=1, timeout=_TICK)
        done, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
        return done

    def _hand_out(self, schedule: Schedule) -> None:
        """Give each loaded actor its share of the work, one task to each before a second."""
        for in_flight in range(IN_FLIGHT):
            kept = self._pool.kept_back() if in_flight else 0
            for member in self._pool.members:
                if schedule.waiting <= kept:
                    break
                if member.takes(in_flight) and (task := schedule.next(alone=not in_flight)):
                    self._give(member, task)

    def _give(self, member: ActorState, task: Task) -> None:
        ref = member.handle.work.remote(task.shard, task.isolate)
        member.tasks[ref] = task
        self._in_work[ref] = member

    def _settle(self, ref: ray.ObjectRef, schedule: Schedule, on_commit: OnCommit) -> None:
        member = self._in_work.pop(ref)
        task = member.tasks.pop(ref)
        try:
            marker = ray.get(ref)
        except RayTaskError as error:
            self._raised(member, task, cause(error), schedule)
        except RayError as error:
            self._died(member, task, error, schedule)
        else:
            if schedule.finished(task):
                on_commit(marker)

    def _raised(self, member: ActorState, task: Task, error: Exception, schedule: Schedule) -> None:
        if isinstance(error, FuseError):
            schedule.blew(task, error)
            return
        if isinstance(error, SynthgenError) and schedule.needs(task):
            raise error
        if isinstance(error, StageTimeout):
            self._hangs(member, task, error, schedule)
        else:
            schedule.failed(task, error)

    def _hangs(
        self, member: ActorState, task: Task, error: StageTimeout, schedule: Schedule
    ) -> None:
        """Replace an actor; of its shards the one that hangs failed, the one behind it is lost."""
        others = self._take_all(member)
        _log_loss(member, [task, *others], error)
        hanging, behind = (others, [task]) if isinstance(error, StageBlocked) else ([task], others)
        for each in behind:
            schedule.lost(each, error)
        for each in hanging:
            schedule.failed(each, StageTimeout(*error.args))
        self._counters.keep(member)
        self._pool.remove(member)

    def _died(self, member: ActorState, task: Task, error: RayError, schedule: Schedule) -> None:
        tasks = [task, *self._take_all(member)]
        _log_loss(member, tasks, error)
        self._counters.keep(member)
        if self._pool.bury(member, error):
            for each in tasks:
                schedule.lost(each, error)
        else:
            schedule.killed(tasks, error)

    def _take_all(self, member: ActorState) -> list[Task]:
        """Take from an actor what it has in work."""
        for ref in member.tasks:
            del self._in_work[ref]
        tasks = list(member.tasks.values())
        member.tasks.clear()
        return tasks

    def _tick(self, schedule: Schedule, on_tick: OnTick) -> None:
        now = time.monotonic()
        if now < self._tick_at:
            return
        self._tick_at = now + _TICK
        self._mind_the_wait()
        if self._config.cluster.speculate:
            self._speculate(schedule)
        on_tick(self._counters.total(self._pool.members))
        for member in [member for member in self._pool.members if member.died]:
            self._bury_idle(member)

    def _bury_idle(self, member: ActorState) -> None:
        """Replace an actor that died without work; with work, its tasks report the death."""
        if member.died is not None and not member.tasks:
            _log_loss(member, [], member.died)
            self._counters.keep(member)
            self._pool.bury(member, member.died)

    def _speculate(self, schedule: Schedule) -> None:
        """Let actors without work do a straggler's work again; the first to finish counts."""
        idle = [member for member in self._pool.members if member.takes(0)]
        for member, task in zip(idle, schedule.stragglers(len(idle)), strict=False):
            self._give(member, task)

    def _end(self, members: Sequence[ActorState]) -> None:
        """End actors, and see that what they had in work is over."""
        refs = [ref for member in members for ref in member.tasks]
        for member in members:
            self._take_all(member)
            self._counters.keep(member)
            self._pool.remove(member)
        if refs:
            ray.wait(refs, num_returns=len(refs), timeout=_LAST_WORDS)


def _log_loss(member: ActorState, tasks: Sequence[Task], error: Exception) -> None:
    shards = [task.name for task in tasks]
    _log.warning(
        "an actor on node %s is lost with %s: %s",
        (member.node or "unknown")[:8],
        ", ".join(shards) or "no work",
        " ".join(str(error).split()),
        extra={"event": "actor_lost", "node": member.node, "shards": shards},
    )
