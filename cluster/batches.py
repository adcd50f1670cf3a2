"""Batches: painted, measured, judged, turned into rows; the time that each stage takes."""

import contextlib
import io
import logging
import threading
import time
import weakref
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import replace
from queue import SimpleQueue
from typing import Any, TypeVar

from PIL.Image import Image

from cluster.conditions import condition_values
from cluster.labels import labels_of_attempts
from cluster.probing import naming_batch_size
from cluster.rounds import Outcome
from pipelines.interfaces import ImageSource, Verifier
from pipelines.policy import Verdict, blank_detail, joined
from samplers.spec import Attempt, SampleSpec
from synthgen.config import RunConfig
from synthgen.dataset.marks.xmp import Mark, save_options
from synthgen.dataset.schema import Reject, Row
from synthgen.errors import RunError

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


class Painter:
    """Paints batches for several threads, one batch at a time.

    Args:
        source: what paints.
    """

    def __init__(self, source: ImageSource) -> None:
        self._source = source
        self._turn = threading.Lock()
        self._stopped = False
        self._neutral: OrderedDict[tuple[Any, ...], Image] = OrderedDict()

    def stop(self) -> None:
        """Paint no further batch."""
        self._stopped = True

    def generate(self, attempts: Sequence[Attempt], size: int, times: StageTimes) -> list[Image]:
        """Paint at most a batch of attempts, padded to its size: bits hold for one shape.

        Args:
            attempts: what to paint.
            size: images of a whole batch.
            times: told how long painting took, and waiting for the turn.

        Raises:
            RunError: if the device has not enough memory for a batch, or after `stop`.
        """
        padded = [*attempts, *[attempts[-1]] * (size - len(attempts))]
        with times.waiting():
            self._turn.acquire()
        try:
            if self._stopped:
                raise RunError("the run was stopped")
            with times.busy("paint"), naming_batch_size(size, "paint"):
                return self._source.generate(padded)[: len(attempts)]
        finally:
            self._turn.release()

    def neutral(self, attempt: Attempt, times: StageTimes) -> Image:
        """Return the neutral image of an attempt's identity, painted alone; those of late are kept.

        Args:
            attempt: the attempt.
            times: told how long painting took, and waiting for the turn.

        Raises:
            RunError: if the device has not enough memory for an image, or after `stop`.
        """
        wanted = attempt.neutral
        spec = wanted.spec
        key = (spec.identity_id, wanted.noise_seed, spec.prompt)
        with times.waiting():
            self._turn.acquire()
        try:
            if (kept := self._neutral.pop(key, None)) is None:
                if self._stopped:
                    raise RunError("the run was stopped")
                with times.busy("paint"), naming_batch_size(1, "paint"):
                    (kept,) = self._source.generate([wanted])
            self._neutral[key] = kept
            if len(self._neutral) > _NEUTRAL_KEPT:
                self._neutral.popitem(last=False)
            return kept
        finally:
            self._turn.release()


_NEUTRAL_KEPT = 256
"""Neutral images of identities that a worker keeps: those that were needed last."""

_ENCODING = {
    "png": {"format": "PNG"},
    "jpeg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    "webp": {"format": "WEBP", "quality": 95},
}


def encode_image(
    image: Image, image_format: str, quality: int | None = None, mark: Mark | None = None
) -> bytes:
    """Encode an image; equal pixels with equal marks give equal bytes.

    Args:
        image: the image.
        image_format: `png`, `jpeg` or `webp`; the last is the lossy kind.
        quality: of the last two [1, 100]; None: 95.
        mark: what it says of its origin; None: nothing.
    """
    buffer = io.BytesIO()
    options = _ENCODING[image_format] | save_options(mark, image_format)
    image.save(buffer, **(options if quality is None else {**options, "quality": quality}))
    return buffer.getvalue()


def encode_sample(image: Image, config: RunConfig, spec: SampleSpec) -> bytes:
    """Encode an image as a run's rows hold it: format, quality, mark.

    Args:
        image: the image.
        config: the run.
        spec: what it was to show.
    """
    output, mark = config.output, None
    if output.marked:
        mark = Mark(config.pipeline.digital_source(spec.conditions), spec.sample_id)
    return encode_image(image, output.image_format, output.quality, mark)


def make_row(
    attempt: Attempt,
    image: bytes,
    measured: Mapping[str, Any],
    accepted: bool | None,
    made_by: tuple[str, str | None],
    pictures: bool = False,
) -> Row:
    """Build the row of an image.

    Args:
        attempt: the attempt that made it.
        image: the encoded image.
        measured: column of a check, or of the pipeline → value.
        accepted: whether it passed all checks; None where there are none.
        made_by: names of its pipeline and of its first verifier.
        pictures: whether the picture that it was edited from is kept.
    """
    given = condition_values(attempt.spec, pictures=pictures)
    return Row(
        **_common(attempt, {**measured, **given}, made_by),
        image=image,
        accepted=accepted,
        identity=attempt.spec.identity,
    )


def make_reject(
    attempt: Attempt,
    measured: Mapping[str, Any],
    verdict: Verdict,
    made_by: tuple[str, str | None],
) -> Reject:
    """Build the reject of an attempt that missed the policy or failed."""
    given = condition_values(attempt.spec, rejected=True)
    return Reject(
        **_common(attempt, {**measured, **given}, made_by),
        reason=str(verdict.reason),
        detail=verdict.detail,
    )


def _common(
    attempt: Attempt, columns: Mapping[str, Any], made_by: tuple[str, str | None]
) -> dict[str, Any]:
    spec = attempt.spec
    return {
        "sample_id": spec.sample_id,
        "aus": spec.aus,
        "attempt": attempt.number,
        "replacement": spec.replacement,
        "emotion": spec.emotion,
        "expression": spec.expression,
        "level": spec.level,
        "identity_id": spec.identity_id,
        "prompt": spec.prompt,
        "negative_prompt": spec.negative_prompt,
        "seed": attempt.noise_seed,
        "pipeline": made_by[0],
        "verifier": made_by[1],
        "columns": columns,
    }


_log = logging.getLogger(__name__)


class Judge:
    """Measures images, one batch at a time, and accepts or rejects each.

    Args:
        config: policy, encoding, and how long measuring may take.
        source: what painted the images, and tells what they show.
        checks: what measures, in the order in which they are asked.
        neutral: returns the neutral image of an attempt's identity, for checks that want it.
    """

    def __init__(
        self,
        config: RunConfig,
        source: ImageSource,
        checks: Sequence[Verifier],
        neutral: Callable[[Attempt, StageTimes], Image],
    ) -> None:
        self._config = config
        self._made_by = (config.pipeline.name, checks[0].name if checks else None)
        self._source = source
        self._checks = checks
        self._neutral = neutral if any(check.wants_neutral for check in checks) else None
        self._told_of_blanks = False
        self._measuring = BoundedStage(config.cluster.verify_timeout)

    def judge(
        self, attempts: Sequence[Attempt], images: Sequence[Image], size: int, times: StageTimes
    ) -> list[Outcome]:
        """Judge at most a batch; it is measured in the shape of a whole one.

        Args:
            attempts: what the images were to show.
            images: the images.
            size: images of a whole batch.
            times: told how long measuring and encoding took.

        Raises:
            StageTimeout: if measuring hangs.
            RunError: if the device has not enough memory for a batch.
            ConfigError: if the image source does not say what it has declared.
        """
        hung = (
            f"measuring {size} images took longer than {self._config.cluster.verify_timeout:g} s "
            "(cluster.verify_timeout)"
        )
        specs = [self._measured_spec(attempt, times) for attempt in attempts]
        found = self._measuring.run(lambda: self._measure(specs, images, size, times), hung)
        with times.busy("encode"):
            labels = labels_of_attempts(self._source, self._config.pipeline.name, attempts)
            return [
                self._outcome(
                    attempt, image, labels[place], [measured[place] for measured in found]
                )
                for place, (attempt, image) in enumerate(zip(attempts, images, strict=True))
            ]

    def failed(self, attempt: Attempt, error: Exception) -> Outcome:
        """Return the outcome of an attempt that raised."""
        verdict = Verdict.error(f"{type(error).__name__}: {error}")
        reject = make_reject(attempt, {}, verdict, self._made_by)
        return Outcome(attempt, {}, None, reject, verdict.distance)

    def _measured_spec(self, attempt: Attempt, times: StageTimes) -> SampleSpec:
        """Return the spec that checks are given."""
        if self._neutral is None:
            return attempt.spec
        return with_neutral(attempt.spec, self._neutral(attempt, times))

    def _measure(
        self, specs: Sequence[SampleSpec], images: Sequence[Image], size: int, times: StageTimes
    ) -> list[Sequence[Mapping[str, Any]]]:
        """Return what each check found in each image."""
        with times.busy("measure"), naming_batch_size(size, "measure"):
            return [measure(check, images, specs, size) for check in self._checks]

    def _outcome(
        self,
        attempt: Attempt,
        image: Image,
        labels: Mapping[str, Any],
        found: Sequence[Mapping[str, Any]],
    ) -> Outcome:
        if (detail := blank_detail(image, self._config.pipeline.number_format)) is not None:
            return self._blank(attempt, image, labels, detail)
        columns = {
            name: measured[name]
            for check, measured in zip(self._checks, found, strict=True)
            for name in check.columns
        }
        every = {**labels, **columns}
        verdict = joined(
            _verdict(check, attempt, measured, every)
            for check, measured in zip(self._checks, found, strict=True)
        )
        row = None
        if verdict.accepted or self._config.verify.on_exhausted == "keep_best":
            encoded = encode_sample(image, self._config, attempt.spec)
            accepted = verdict.accepted if self._checks else None
            keep = self._config.output.keep_reference
            row = make_row(attempt, encoded, every, accepted, self._made_by, keep)
        reject = None
        if not verdict.accepted:
            reject = make_reject(attempt, every, verdict, self._made_by)
        picture = image if reject and self._config.verify.keep_reject_images else None
        return Outcome(attempt, columns, row, reject, verdict.distance, picture)

    def _blank(
        self, attempt: Attempt, image: Image, labels: Mapping[str, Any], detail: str
    ) -> Outcome:
        """Return the outcome of an image that shows nothing: no policy keeps it, nor the best."""
        if not self._told_of_blanks:
            self._told_of_blanks = True
            facts = {"event": "blank_image", "sample": attempt.spec.sample_id}
            _log.warning(f"an image of {attempt.spec.sample_id} is blank: {detail}", extra=facts)
        verdict = Verdict.reject("blank", detail)
        reject = make_reject(attempt, labels, verdict, self._made_by)
        picture = image if self._config.verify.keep_reject_images else None
        return Outcome(attempt, {}, None, reject, verdict.distance, picture)


def with_neutral(spec: SampleSpec, image: Image) -> SampleSpec:
    """Return a spec with the neutral image of its identity, as checks that want it are given it."""
    return replace(spec, conditions={**spec.conditions, "neutral": image})


def measure(
    check: Verifier, images: Sequence[Image], specs: Sequence[SampleSpec], size: int
) -> Sequence[Mapping[str, Any]]:
    """Let a check measure at most a batch; one that works by batches gets a whole one.

    Args:
        check: what measures.
        images: the images.
        specs: what they were to show.
        size: images of a whole batch.

    Raises:
        ValueError: if it does not say of each image what it has declared.
    """
    lacking = size - len(images) if check.by_batch else 0
    whole = [*images, *[images[-1]] * lacking]
    found = check.measure(whole, [*specs, *[specs[-1]] * lacking])
    if len(found) != len(whole):
        raise ValueError(
            f"the check {check.name!r} measured {len(found)} images of {len(whole)}; it must "
            "return one mapping for each"
        )
    for name in check.columns:
        if any(name not in measured for measured in found):
            raise ValueError(f"the check {check.name!r} gives no value of its column {name!r}")
    return found[: len(images)]


def _verdict(
    check: Verifier, attempt: Attempt, measured: Mapping[str, Any], columns: Mapping[str, Any]
) -> Verdict:
    """Return what a check says, with a reason that says which check it was."""
    others = {name: value for name, value in columns.items() if name not in check.columns}
    verdict = check.verdict_beside(attempt.spec, measured, others)
    if verdict.accepted or check.plain_reasons:
        return verdict
    return replace(verdict, reason=f"{check.name}:{verdict.reason}")
