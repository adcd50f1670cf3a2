"""One shard from its specs to its committed file, and the worker loaded for it; knows no Ray."""

import logging
import os
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from PIL.Image import Image

from cluster.batches import Judge, Painter, StageTimeout, StageTimes, measure, with_neutral
from cluster.conditions import condition_values
from cluster.labels import labels_of_attempts
from cluster.metrics import Metrics
from cluster.probing import naming_batch_size, probe_batch_size
from cluster.progress import about
from cluster.records import components_fingerprint, dataset_schema, declared_columns
from cluster.resolve import output_storage, with_batch_size
from cluster.rounds import Outcome, ShardRounds
from cluster.worst import WorstRejects
from pipelines.interfaces import ImageSource, Verifier
from pipelines.loading import (
    check_components,
    fix_arithmetic,
    hardware_kind,
    load_checks,
    load_source,
    pick_device,
)
from samplers.plan import Plan
from samplers.spec import Attempt, SampleSpec, Shard
from synthgen.config import RunConfig
from synthgen.dataset import ShardMarker, ShardResult, Storage, commit_shard
from synthgen.dataset.markers import now
from synthgen.errors import SynthgenError

_log = logging.getLogger(__name__)

_AHEAD = 2
"""Batches painted but not yet judged, at most: a slow verifier must not fill the memory."""

_PASSED_ON = (SynthgenError, StageTimeout)
"""Errors that no sample is to blame for: raised also where samples are made one by one."""


class Worker:
    """A loaded pipeline with its checks, working shards.

    `work` may run in several threads at once: painting and measuring are done by one thread at a
    time, so that the accelerator goes on with the next shard while this one is judged and written.

    Args:
        config: the configuration.
        plan: the run.
        source: what paints.
        checks: what measures and judges, in the order in which they are asked; none: every first
            image is kept.
        storage: where the dataset goes.
        hardware: kind of the device that it computes on; see `hardware_kind`.

    Raises:
        ConfigError: if two of source and checks declare one column.
    """

    def __init__(
        self,
        config: RunConfig,
        plan: Plan,
        source: ImageSource,
        checks: Sequence[Verifier],
        storage: Storage,
        *,
        hardware: str = "CPU",
    ) -> None:
        self._config = config
        self._plan = plan
        self._source = source
        self._checks = checks
        self._storage = storage
        self._hardware = hardware
        self._schema = dataset_schema(config, plan, declared_columns(config, checks, source))
        self._metrics = Metrics(config.name)
        self._painter = Painter(source)
        self._judge = Judge(config, source, checks, self._painter.neutral)
        self._counting = threading.Lock()
        self._counts: Counter[str] = Counter()

    @property
    def batch_size(self) -> int:
        """Images of a batch.

        Raises:
            ConfigError: if it is 'auto' and was not probed.
        """
        return self._config.pipeline.fixed_batch_size

    def probe(self) -> int:
        """Find the batch size that serves this device, work with it from now on, and return it.

        Raises:
            RunError: if the device's memory does not suffice for one image.
        """
        gpus = self._config.cluster.gpus_per_actor
        share = 1.0 if gpus == "auto" or gpus == 0 else gpus
        with naming_batch_size(1, "make"):
            size = probe_batch_size(self._source, self._measure, self._plan, share)
        self._config = with_batch_size(self._config, size)
        return size

    def warm_up(self) -> None:
        """Paint a batch that is thrown away, so that what is compiled is ready when work comes.

        An actor counts as loaded after it: compiling takes minutes, in which the driver gives work
        to others.
        """
        self.generate([self._plan.attempt(self._plan.sample(0), 0)])

    def stop(self) -> None:
        """Let every shard in work end at its next batch, uncommitted."""
        self._painter.stop()

    def fingerprint(self) -> dict[str, Any]:
        """Return what the data is a function of besides the configuration.

        `hardware` is the kind of accelerator: bits depend on it, but it is no part of the identity.
        """
        checks = [check.fingerprint() for check in self._checks]
        stores = {use: sha for found in checks for use, sha in found.get("stores", {}).items()}
        return {
            "pipeline": self._source.fingerprint(),
            "checks": checks,
            "columns": self._schema.columns,
            "components": components_fingerprint(self._config),
            "labels": self._plan.expressions_fingerprint(),
            "stores": {**self._plan.identities.fingerprint(), **stores},
            "licences": self._plan.licences(),
            "hardware": self._hardware,
        }

    def counts(self) -> dict[str, int]:
        """Return how many images were `accepted` and `judged` so far, failed shards included."""
        self._metrics.refresh()
        return dict(self._counts)

    def work(self, shard: Shard, isolate: bool = False) -> ShardMarker:
        """Make a shard whole and commit it.

        Args:
            shard: the samples to make.
            isolate: record a sample whose image raises as a reject with reason `error`, and go
                on, instead of raising.

        Raises:
            RunError: if a sample is exhausted under `on_exhausted: fail`, or the device has not
                enough memory for a batch.
            StageTimeout: if measuring hangs, also with `isolate`.
            Exception: whatever the pipeline or a check raises, unless `isolate`.
        """
        name = f"{shard.split}-{shard.number:05d}"
        with about(shard=name):
            _log.info(f"{name} is begun", extra={"event": "shard_started", "isolate": isolate})
            try:
                marker = self._made(shard, isolate)
            except SynthgenError:
                raise
            except Exception:
                self._metrics.failed()
                facts = {"event": "shard_failed", "isolate": isolate}
                _log.warning(f"{name} failed here", exc_info=True, extra=facts)
                raise
            facts = {"event": "shard_finished", "rows": marker.rows, "attempts": marker.attempts}
            _log.info(f"{name} is made", extra={**facts, "seconds": dict(marker.seconds)})
        return marker

    def generate(self, attempts: Sequence[Attempt]) -> list[Image]:
        """Paint at most a batch of attempts, padded to the batch size: bits hold for one shape.

        Raises:
            RunError: if the device has not enough memory for a batch, or the worker was stopped.
        """
        return self._paint(attempts, self._times())

    def judge(self, attempts: Sequence[Attempt], images: Sequence[Image]) -> list[Outcome]:
        """Measure at most a batch of images, and accept or reject each; see `Judge.judge`."""
        return self._judged(attempts, images, self._times())

    def labels(self, attempts: Sequence[Attempt]) -> list[Mapping[str, Any]]:
        """Return what the pipeline says of the images of attempts, by its columns.

        Raises:
            ConfigError: if it does not say of each what it has declared.
        """
        return labels_of_attempts(self._source, self._config.pipeline.name, attempts)

    def _made(self, shard: Shard, isolate: bool) -> ShardMarker:
        started, times = now(), self._times()
        rounds = ShardRounds(self._plan, shard, self._config.verify)
        worst = WorstRejects(self._config)
        make = self._isolated_round if isolate else self._overlapped_round
        while attempts := rounds.attempts(self.batch_size):
            for outcomes in make(_batches(attempts, self.batch_size), times):
                needed = rounds.record(outcomes)
                self._count(needed)
                worst.add(needed)
        return self._commit(shard, rounds, worst, times, started)

    def _commit(
        self,
        shard: Shard,
        rounds: ShardRounds,
        worst: WorstRejects,
        times: StageTimes,
        started: str,
    ) -> ShardMarker:
        result = ShardResult(
            split=shard.split,
            number=shard.number,
            start=shard.start,
            stop=shard.stop,
            rows=rounds.rows,
            rejects=sorted(
                rounds.rejects,
                key=lambda reject: (reject.sample_id, reject.replacement, reject.attempt),
            ),
            attempts=rounds.attempted,
            painted=rounds.painted,
            missing=tuple(sorted(rounds.missing)),
            seconds={stage: round(spent, 3) for stage, spent in times.seconds.items()},
            started=started,
            worker=f"{socket.gethostname()}:{os.getpid()}",
            hardware=self._hardware,
            short=rounds.short(),
            reject_images=worst.kept(),
        )
        marker = commit_shard(self._storage, self._schema, result)
        self._metrics.stage("write", marker.seconds["write"])
        self._metrics.committed()
        return marker

    def _overlapped_round(
        self, batches: Iterable[list[Attempt]], times: StageTimes
    ) -> Iterator[list[Outcome]]:
        """Judge batch b while batch b + 1 is painted."""
        waiting: deque[Future[list[Outcome]]] = deque()
        with ThreadPoolExecutor(1, "judge") as judging:
            for batch in batches:
                images = self._paint(batch, times)
                waiting.append(judging.submit(self._judged, batch, images, times))
                if len(waiting) == _AHEAD:
                    yield _awaited(waiting.popleft(), times)
            while waiting:
                yield _awaited(waiting.popleft(), times)

    def _isolated_round(
        self, batches: Iterable[list[Attempt]], times: StageTimes
    ) -> Iterator[list[Outcome]]:
        for batch in batches:
            yield self._isolated(batch, times)

    def _isolated(self, batch: list[Attempt], times: StageTimes) -> list[Outcome]:
        """Make a batch; if it raises, make its samples one by one, in the same batch shape."""
        try:
            return self._judged(batch, self._paint(batch, times), times)
        except _PASSED_ON:
            raise
        except Exception as error:
            self._metrics.failed()
            facts = {"event": "batch_failed", "samples": [a.spec.sample_id for a in batch]}
            text = f"a batch of {len(batch)} from {batch[0].spec.sample_id} on failed; its samples "
            _log.warning(f"{text}are made one by one", exc_info=error, extra=facts)
        return [self._alone(attempt, place, times) for place, attempt in enumerate(batch)]

    def _alone(self, attempt: Attempt, place: int, times: StageTimes) -> Outcome:
        """Make a sample in a batch of its repeats, at its own place: bits may depend on it."""
        try:
            image = self._paint([attempt] * (place + 1), times)[place]
            return self._judged([attempt], [image], times)[0]
        except _PASSED_ON:
            raise
        except Exception as error:
            self._metrics.failed()
            facts = {"event": "sample_failed", "sample": attempt.spec.sample_id}
            facts |= {"attempt": attempt.number, "replacement": attempt.spec.replacement}
            _log.warning(f"{facts['sample']} failed alone", exc_info=error, extra=facts)
            return self._judge.failed(attempt, error)

    def _paint(self, attempts: Sequence[Attempt], times: StageTimes) -> list[Image]:
        return self._painter.generate(attempts, self.batch_size, times)

    def _judged(
        self, attempts: Sequence[Attempt], images: Sequence[Image], times: StageTimes
    ) -> list[Outcome]:
        return self._judge.judge(attempts, images, self.batch_size, times)

    def _count(self, outcomes: Sequence[Outcome]) -> None:
        """Count judged images; those that raised are none."""
        rejects = (outcome.reject for outcome in outcomes)
        verdicts = Counter("" if reject is None else reject.reason for reject in rejects)
        del verdicts["error"]
        with self._counting:
            self._counts["judged"] += verdicts.total()
            self._counts["accepted"] += verdicts[""]
        self._metrics.judged(verdicts.pop("", 0), verdicts)

    def _measure(self, images: Sequence[Image], specs: Sequence[SampleSpec]) -> None:
        pairs = zip(specs, images, strict=True)
        shown = [with_neutral(spec, image) for spec, image in pairs]  # any image takes as long
        for check in self._checks:
            measure(check, images, shown, len(images))

    def _times(self) -> StageTimes:
        return StageTimes(self._metrics.stage)


def _awaited(outcomes: Future[list[Outcome]], times: StageTimes) -> list[Outcome]:
    with times.waiting():
        return outcomes.result()


def _batches(attempts: Sequence[Attempt], size: int) -> Iterator[list[Attempt]]:
    for start in range(0, len(attempts), size):
        yield list(attempts[start : start + size])


WorkerLoader = Callable[[RunConfig, Plan], Worker]
"""Loads a worker in its process; an actor's is pickled by value, so that it may be any callable."""


def load_worker(config: RunConfig, plan: Plan) -> Worker:
    """Load the pipeline and the checks of a configuration on this process's device.

    What is compiled is compiled here; where the batch size is yet to be found, by `Worker.probe`.

    Raises:
        SynthgenError: if the configuration, weights or an optional package do not serve.
    """
    check_components(config)
    fix_arithmetic(config.pipeline.threads)
    device = pick_device()
    source = load_source(config.pipeline, device)
    source.prepare(config)
    first = plan.sample(0)
    condition_values(first)  # or refuse what rows could not hold
    source.check(first)
    checks = load_checks(config, device)
    for check in checks:
        check.check(first)
    worker = Worker(
        config,
        plan,
        source,
        checks,
        output_storage(config),
        hardware=hardware_kind(device),
    )
    if config.pipeline.warms_up and config.pipeline.batch_size != "auto":
        worker.warm_up()
    return worker
