"""From a painted batch to its outcomes: measured, accepted or rejected, encoded."""

import logging
from collections.abc import Sequence

import numpy as np
from PIL.Image import Image

from cluster.memory import naming_batch_size
from cluster.rounds import Outcome
from cluster.rows import encode_image, make_reject, make_row
from cluster.stages import BoundedStage, StageTimes
from pipelines.faceid.measurement import NOBODY, IdentityMeasurement, judge_identity
from pipelines.faceid.verifier import IdentityVerifier
from pipelines.interfaces import Measurement, Verifier
from pipelines.policy import Verdict, blank_detail, judge
from samplers.spec import Attempt
from synthgen.config import RunConfig

_log = logging.getLogger(__name__)


class Judge:
    """Measures images, one batch at a time, and accepts or rejects each.

    Args:
        config: policy, encoding, and how long measuring may take.
        source: name of what paints.
        verifier: what measures AUs.
        identities: what compares people; None where that is not asked for.
    """

    def __init__(
        self,
        config: RunConfig,
        source: str,
        verifier: Verifier,
        identities: IdentityVerifier | None,
    ) -> None:
        self._config = config
        self._made_by = (source, verifier.name)
        self._verifier = verifier
        self._identities = identities
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
        """
        hung = (
            f"measuring {size} images took longer than {self._config.cluster.verify_timeout:g} s "
            "(cluster.verify_timeout)"
        )
        found, people = self._measuring.run(
            lambda: self._measure(attempts, images, size, times), hung
        )
        with times.busy("encode"):
            return [
                self._outcome(attempt, image, aus, int(faces), person)
                for attempt, image, aus, faces, person in zip(
                    attempts, images, found.aus, found.faces, people, strict=False
                )
            ]

    def failed(self, attempt: Attempt, error: Exception) -> Outcome:
        """Return the outcome of an attempt that raised."""
        verdict = Verdict.error(f"{type(error).__name__}: {error}")
        reject = make_reject(attempt, None, verdict, self._made_by)
        return Outcome(attempt, None, None, reject, verdict.distance)

    def _measure(
        self, attempts: Sequence[Attempt], images: Sequence[Image], size: int, times: StageTimes
    ) -> tuple[Measurement, Sequence[IdentityMeasurement]]:
        padded = [*images, *[images[-1]] * (size - len(images))]
        with times.busy("measure"), naming_batch_size(size, "measure"):
            return self._verifier.measure(padded), self._people(attempts, images)

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
        if (detail := blank_detail(image, getattr(self._config.pipeline, "dtype", ""))) is not None:
            return self._blank(attempt, detail)
        policy = self._config.verify.policy
        measured = tuple(float(value) for value in aus) if faces else None
        verdict = judge(attempt.spec.aus, aus, faces, policy)
        if self._identities is not None:
            verdict = judge_identity(verdict, person, policy)
        row = None
        if verdict.accepted or self._config.verify.on_exhausted == "keep_best":
            encoded = encode_image(image, self._config.output.image_format)
            row = make_row(attempt, encoded, measured, verdict, self._made_by, person)
        reject = None
        if not verdict.accepted:
            reject = make_reject(attempt, measured, verdict, self._made_by, person)
        return Outcome(attempt, measured, row, reject, verdict.distance)

    def _blank(self, attempt: Attempt, detail: str) -> Outcome:
        """Return the outcome of an image that shows nothing: no policy keeps it, nor the best."""
        if not self._told_of_blanks:
            self._told_of_blanks = True
            facts = {"event": "blank_image", "sample": attempt.spec.sample_id}
            _log.warning(f"an image of {attempt.spec.sample_id} is blank: {detail}", extra=facts)
        verdict = Verdict.unmeasured("blank", detail)
        reject = make_reject(attempt, None, verdict, self._made_by)
        return Outcome(attempt, None, None, reject, verdict.distance)
