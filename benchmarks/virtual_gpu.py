"""Virtual GPUs: they wait as long as a GPU would paint; all else in a worker is real."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from PIL import Image

from cluster.worker import Worker
from pipelines.interfaces import ImageSource, Measurement
from pipelines.libreface.check import ActionUnitCheck
from pipelines.libreface.section import LibreFaceCheck
from samplers.plan import Plan
from samplers.spec import Attempt
from synthgen.action_units import AU_COUNT
from synthgen.config import RunConfig
from synthgen.dataset import Storage

FULL = 5.0
"""Largest AU intensity: 255 in an image."""

_SIZE = (5, 1)
"""Pixels of an image: 12 bytes say its AUs, one whether there is a face."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that was painted.

    Attributes:
        split: split of its samples.
        position: first of its samples in the split's own numbering.
        started: monotonic time [s].
        stopped: monotonic time [s].
    """

    split: str
    position: int
    started: float
    stopped: float


PAINTED: list[list[Batch]] = []
"""Images of each virtual GPU of this process, in the order in which they were loaded."""


@dataclass(frozen=True, slots=True)
class VirtualGpu:
    """Loads the worker of a virtual GPU; a `WorkerLoader`.

    Attributes:
        batch_seconds: time that a batch is painted [s].
        judge_seconds: time that a batch is measured and encoded [s].
        acceptance: share of the images that the verifier accepts.
    """

    batch_seconds: float
    judge_seconds: float
    acceptance: float

    def __call__(self, config: RunConfig, plan: Plan) -> Worker:
        """Load a worker whose batches are written down in `PAINTED`."""
        PAINTED.append([])
        source = WaitingSource(self.batch_seconds, self.acceptance, PAINTED[-1])
        policy = cast(LibreFaceCheck, config.verify.checks[0]).policy
        checks = [ActionUnitCheck(ReadingVerifier(self.judge_seconds), policy)]
        return Worker(config, plan, source, checks, Storage(config.output.path))


class WaitingSource(ImageSource):
    """An `ImageSource` that waits, and returns images of five pixels that say what was asked."""

    name = "virtual"

    def __init__(self, seconds: float, acceptance: float, painted: list[Batch]) -> None:
        self._seconds, self._acceptance, self._painted = seconds, acceptance, painted

    def generate(self, attempts: Sequence[Attempt]) -> list[Image.Image]:
        """Wait; the attempt's seed decides whether its image has a face."""
        started = time.monotonic()
        time.sleep(self._seconds)
        first = attempts[0].spec
        self._painted.append(Batch(first.split, first.position, started, time.monotonic()))
        return [self._image(attempt) for attempt in attempts]

    def fingerprint(self) -> dict[str, Any]:
        """Return that there are no weights."""
        return {"weights": {}, "licences": {}, "versions": {}}

    def _image(self, attempt: Attempt) -> Image.Image:
        kept = attempt.seed % 10_000 < 10_000 * self._acceptance
        aus = [round(intensity / FULL * 255) for intensity in attempt.spec.aus]
        return Image.frombytes("RGB", _SIZE, bytes([*aus, kept, 0, 0]))


class ReadingVerifier:
    """A `Verifier` that waits, and reads from images of a `WaitingSource` what they say."""

    name = "virtual"

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def measure(self, images: Sequence[Image.Image]) -> Measurement:
        """Wait and read."""
        time.sleep(self._seconds)
        values = np.stack([np.frombuffer(image.tobytes(), np.uint8) for image in images])
        faces = values[:, AU_COUNT].astype(np.int64)
        aus = values[:, :AU_COUNT].astype(np.float64) / 255 * FULL
        return Measurement(np.where(faces[:, None] > 0, aus, np.nan), faces)

    def fingerprint(self) -> dict[str, Any]:
        """Return that there are no weights."""
        return {"weights": {}, "licences": {}, "versions": {}}
