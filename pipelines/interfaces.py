"""Interfaces of image sources and verifiers to the worker."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from PIL.Image import Image

from samplers.spec import Attempt, SampleSpec
from synthgen.action_units import DEFAULT_AUS, ActionUnitSet
from synthgen.config import RunConfig


class ImageSource(ABC):
    """Source of images for attempts; a pipeline's section loads it.

    An image is a function of its attempt and of the number of attempts in the call alone: never of
    what stands beside it in the batch or of what was painted before.
    """

    @abstractmethod
    def paint(self, attempts: Sequence[Attempt]) -> list[Image]:
        """Return one RGB image for each attempt, in order."""

    def fingerprint(self) -> dict[str, Any]:
        """Return what the images are a function of besides the attempt: JSON values.

        Keys: `weights` (file → sha256), `licences` (name → licence), `versions` (package →
        version). The distribution that the section comes from is added to them in any case.
        """
        return {"weights": {}, "licences": {}, "versions": {}}

    def prepare(self, run: RunConfig) -> None:  # noqa: B027 - most have nothing to do
        """Fit itself to a run, once it is loaded and before it paints.

        Raises:
            SynthgenError: if it cannot do what the run asks for.
        """

    def check(self, spec: SampleSpec) -> None:  # noqa: B027 - most show any
        """Refuse, before work begins, a spec that it cannot show.

        Args:
            spec: any spec of the run; those of a run are of one kind.

        Raises:
            SynthgenError: if it cannot show it.
        """


@dataclass(frozen=True, slots=True)
class Measurement:
    """Measurement of a batch by a verifier.

    Attributes:
        aus: intensities [0–5]; NaN where there is no face.
        faces: number of faces found in each image.
        action_units: the AUs of a row.
    """

    aus: Float[np.ndarray, "batch aus"]
    faces: Int[np.ndarray, " batch"]
    action_units: ActionUnitSet = DEFAULT_AUS

    def aus_of(self, wanted: ActionUnitSet) -> Float[np.ndarray, "batch wanted"]:
        """Return the intensities of some of the AUs.

        Raises:
            ActionUnitError: if one of them was not measured.
        """
        if wanted == self.action_units:
            return self.aus
        return self.aus[:, [self.action_units.index(name) for name in wanted.names]]


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
