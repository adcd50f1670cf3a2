"""One shard from its specs to its committed file; knows no Ray."""

import contextlib
import logging
import os
import socket
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL.Image import Image

from cluster.records import dataset_schema
from cluster.rounds import Outcome, ShardRounds
from cluster.rows import encode_image, make_reject, make_row
from pipelines.faceid.measurement import NOBODY, IdentityMeasurement, judge_identity
from pipelines.faceid.verifier import IdentityVerifier
from pipelines.interfaces import ImageSource, Verifier
from pipelines.policy import Verdict, judge
from samplers.plan import Plan
from samplers.spec import Attempt, Shard
from synthgen.config import RunConfig
from synthgen.dataset import ShardMarker, ShardResult, Storage, commit_shard
from synthgen.dataset.markers import now
from synthgen.errors import RunError, SynthgenError
from synthgen.schema import Reject

_log = logging.getLogger(__name__)

Seconds = defaultdict[str, float]
"""Seconds spent in each stage."""

_AHEAD = 2
"""Batches painted but not yet judged, at most: a slow verifier must not fill the memory."""


class StageTimeout(RuntimeError):  # noqa: N818 - as `queue.Empty`: what happened, not a defect
    """A stage of the work hangs: its process is of no more use and has to be replaced."""


class Worker:
    """A loaded pipeline and verifier, working shards.

    `work` may run in several threads at once: painting and measuring are done by one thread at a
    time, so that the accelerator goes on with the next shard while this one is judged and written.
    """

    def __init__(
        self,
        config: RunConfig,
        plan: Plan,
        source: ImageSource,
        verifier: Verifier,
        storage: Storage,
        identities: IdentityVerifier | None = None,
        *,
        hardware: str = "CPU",
    ) -> None:
        self._config = config
        self._plan = plan
        self._source = source
        self._verifier = verifier
        self._identities = identities
        self._storage = storage
        self._hardware = hardware
        self._schema = dataset_schema(config, plan)
        self._painting = threading.Lock()
        self._measuring = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._stopped = False

    def stop(self) -> None:
        """Let every shard in work end at its next batch, uncommitted."""
        self._stopped = True

    def fingerprint(self) -> dict[str, Any]:
        """Return what the data is a function of besides the configuration.

        `hardware` is the kind of accelerator: bits depend on it, but it is no part of the identity.
        """
        people = {} if self._identities is None else self._identities.fingerprint()
        return {
            "pipeline": self._source.fingerprint(),
            "verifier": self._verifier.fingerprint(),
            "identity": people,
            "labels": self._plan.prior.fingerprint(),
            "stores": {**self._plan.identities.fingerprint(), **people.get("stores", {})},
            "licences": self._plan.identities.licences(),
            "hardware": self._hardware,
        }

    def counts(self) -> dict[str, int]:
        """Return how many images were `accepted` and `judged` so far, failed shards included."""
        return dict(self._counts)

    def work(self, shard: Shard, isolate: bool = False) -> ShardMarker:
        """Make a shard whole and commit it.

        Args:
            shard: the samples to make.
            isolate: record a sample whose image raises as a reject with reason `error`, and go
                on, instead of raising.

        Raises:
            RunError: if a sample is exhausted under `on_exhausted: fail`.
            Exception: whatever the pipeline or the verifier raises, unless `isolate`.
        """
        started = now()
        seconds: Seconds = defaultdict(float)
        rounds = ShardRounds(self._plan, shard, self._config.verify)
        while attempts := rounds.attempts():
            batches = _batches(attempts, self._config.pipeline.batch_size)
            make = self._isolated_round if isolate else self._overlapped_round
            for outcomes in make(batches, seconds):
                rounds.record(outcomes)
        result = ShardResult(
            split=shard.split,
            number=shard.number,
            start=shard.start,
            stop=shard.stop,
            rows=rounds.rows,
            rejects=sorted(rounds.rejects, key=_reject_order),
            attempts=rounds.attempted,
            missing=tuple(sorted(rounds.missing)),
            seconds={stage: round(value, 3) for stage, value in seconds.items()},
            started=started,
            worker=f"{socket.gethostname()}:{os.getpid()}",
            hardware=self._hardware,
        )
        return commit_shard(self._storage, self._schema, result)

    def paint(self, attempts: Sequence[Attempt]) -> list[Image]:
        """Paint at most a batch of attempts, padded to the batch size: bits hold for one shape."""
        size = self._config.pipeline.batch_size
        padded = [*attempts, *[attempts[-1]] * (size - len(attempts))]
        if self._stopped:
            raise RunError("the run was stopped")
        with self._painting:
            return self._source.paint(padded)[: len(attempts)]

    def judge(self, attempts: Sequence[Attempt], images: Sequence[Image]) -> list[Outcome]:
        """Measure at most a batch of images, and accept or reject each."""
        return self._judge(attempts, images, defaultdict(float))

    def _overlapped_round(
        self, batches: Iterable[list[Attempt]], seconds: Seconds
    ) -> Iterator[list[Outcome]]:
        """Judge batch b while batch b + 1 is painted."""
        waiting: deque[Future[list[Outcome]]] = deque()
        with ThreadPoolExecutor(1, "judge") as judging:
            for batch in batches:
                with _timed(seconds, "paint"):
                    images = self.paint(batch)
                waiting.append(judging.submit(self._judge, batch, images, seconds))
                if len(waiting) == _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _isolated_round(
        self, batches: Iterable[list[Attempt]], seconds: Seconds
    ) -> Iterator[list[Outcome]]:
        for batch in batches:
            yield self._isolated(batch, seconds)

    def _isolated(self, batch: list[Attempt], seconds: Seconds) -> list[Outcome]:
        """Make a batch; if it raises, make its samples one by one, in the same batch shape."""
        try:
            return self._judge(batch, self.paint(batch), seconds)
        except SynthgenError:
            raise
        except Exception as error:
            _log.warning("a batch failed; its samples are made one by one", exc_info=error)
        return [self._alone(attempt, place, seconds) for place, attempt in enumerate(batch)]

    def _alone(self, attempt: Attempt, place: int, seconds: Seconds) -> Outcome:
        """Make a sample in a batch of its repeats, at its own place: bits may depend on it."""
        try:
            image = self.paint([attempt] * (place + 1))[place]
            return self._judge([attempt], [image], seconds)[0]
        except SynthgenError:
            raise
        except Exception as error:
            return self._failed(attempt, error)

    def _judge(
        self, attempts: Sequence[Attempt], images: Sequence[Image], seconds: Seconds
    ) -> list[Outcome]:
        size = self._config.pipeline.batch_size
        padded = [*images, *[images[-1]] * (size - len(images))]
        with self._measuring, _timed(seconds, "measure"):
            found = self._verifier.measure(padded)
            people = self._people(attempts, images)
        with _timed(seconds, "encode"):
            outcomes = [
                self._outcome(attempt, image, aus, int(faces), person)
                for attempt, image, aus, faces, person in zip(
                    attempts, images, found.aus, found.faces, people, strict=False
                )
            ]
        with self._measuring:
            self._counts["judged"] += len(outcomes)
            self._counts["accepted"] += sum(outcome.reject is None for outcome in outcomes)
        return outcomes

    def _people(
        self, attempts: Sequence[Attempt], images: Sequence[Image]
    ) -> Sequence[IdentityMeasurement]:
        """Measure whom images show: each alone, so that nothing needs to be padded."""
        if self._identities is None:
            return [NOBODY] * len(images)
        return self._identities.measure(images, [attempt.spec.faceid for attempt in attempts])

    def _outcome(
        self,
        attempt: Attempt,
        image: Image,
        aus: np.ndarray,
        faces: int,
        person: IdentityMeasurement,
    ) -> Outcome:
        policy = self._config.verify.policy
        measured = tuple(float(value) for value in aus) if faces else None
        verdict = judge(attempt.spec.aus, aus, faces, policy)
        if self._identities is not None:
            verdict = judge_identity(verdict, person, policy)
        made_by = (self._source.name, self._verifier.name)
        row = None
        if verdict.accepted or self._config.verify.on_exhausted == "keep_best":
            encoded = encode_image(image, self._config.output.image_format)
            row = make_row(attempt, encoded, measured, verdict, made_by, person)
        reject = None
        if not verdict.accepted:
            reject = make_reject(attempt, measured, verdict, made_by, person)
        return Outcome(attempt, measured, row, reject, verdict.distance)

    def _failed(self, attempt: Attempt, error: Exception) -> Outcome:
        verdict = Verdict.error(f"{type(error).__name__}: {error}")
        made_by = (self._source.name, self._verifier.name)
        reject = make_reject(attempt, None, verdict, made_by)
        return Outcome(attempt, None, None, reject, verdict.distance)


def _batches(attempts: Sequence[Attempt], size: int) -> Iterator[list[Attempt]]:
    for start in range(0, len(attempts), size):
        yield list(attempts[start : start + size])


def _reject_order(reject: Reject) -> tuple[str, int, int]:
    return (reject.sample_id, reject.replacement, reject.attempt)


@contextlib.contextmanager
def _timed(seconds: Seconds, stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[stage] += time.perf_counter() - started
