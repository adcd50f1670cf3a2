"""Interfaces of image sources and verifiers to the worker."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from PIL.Image import Image

from samplers.spec import Attempt


@runtime_checkable
class ImageSource(Protocol):
    """Paints attempts: one RGB image for each, in order.

    An image is a function of its attempt and of the number of attempts in the call alone: never of
    what stands beside it in the batch or of what was painted before.
    """

    name: str

    def paint(self, attempts: Sequence[Attempt]) -> list[Image]:
        """Paint a batch."""
        ...

    def fingerprint(self) -> dict[str, Any]:
        """Return what the images are a function of besides the attempt: JSON values.

        Keys: `weights` (file → sha256), `licences` (name → licence), `versions` (package →
        version).
        """
        ...


@dataclass(frozen=True, slots=True)
class Measurement:
    """Measurement of a batch by a verifier.

    Attributes:
        aus: intensities [0–5]; NaN where there is no face.
        faces: number of faces found in each image.
    """

    aus: Float[np.ndarray, "batch aus"]
    faces: Int[np.ndarray, " batch"]


@runtime_checkable
class Verifier(Protocol):
    """Measures the AUs of images."""

    name: str

    def measure(self, images: Sequence[Image]) -> Measurement:
        """Measure a batch of RGB images of any size."""
        ...

    def fingerprint(self) -> dict[str, Any]:
        """Return what the measurements are a function of; as `ImageSource.fingerprint`."""
        ...
