"""Interfaces of image sources and verifiers to the worker."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from PIL.Image import Image

from pipelines.policy import Verdict
from samplers.spec import Attempt, SampleSpec
from synthgen.action_units import DEFAULT_AUS, ActionUnitSet
from synthgen.config import RunConfig
from synthgen.dataset.schema import Feature


class ColumnOwner:
    """A component that adds columns to the rows of a dataset."""

    @property
    def columns(self) -> Mapping[str, Feature]:
        """Return the columns that it adds, name → feature; see `synthgen.dataset.schema`."""
        return {}

    @property
    def only_in_data(self) -> frozenset[str]:
        """Return those of its columns that rejected attempts do not have."""
        return frozenset()

    @property
    def descriptions(self) -> Mapping[str, str]:
        """Return what its columns hold, name → a sentence with units, order and sides.

        Card, `croissant.json` and `run.json` say it; a column may be without.
        """
        return {}


class ImageSource(ColumnOwner, ABC):
    """Source of images for attempts; a pipeline's section loads it.

    An image is a function of its attempt and of the number of attempts in the call alone: never of
    what stands beside it in the batch or of what was generated before.
    """

    @abstractmethod
    def generate(self, attempts: Sequence[Attempt]) -> list[Image]:
        """Return one RGB image for each attempt, in order."""

    def labels(self, attempts: Sequence[Attempt]) -> Sequence[Mapping[str, Any]]:
        """Tell what the images of attempts show, for the columns that it declares.

        Labels are a function of their attempt alone. They are asked for in another thread than
        `generate` is called in, also while that paints, and again by whoever proves a dataset.

        Returns:
            For each attempt a value for each of `columns`, None where there is none.
        """
        return [{} for _ in attempts]

    def fingerprint(self) -> dict[str, Any]:
        """Return what the images are a function of besides the attempt: JSON values.

        Keys: `weights` (file → sha256), `licences` (name → licence), `versions` (package →
        version). The distribution that the section comes from is added to them in any case.
        """
        return {"weights": {}, "licences": {}, "versions": {}}

    def prepare(self, run: RunConfig) -> None:
        """Fit itself to a run, once it is loaded and before it generates.

        Raises:
            SynthgenError: if it cannot do what the run asks for.
        """

    def check(self, spec: SampleSpec) -> None:
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
class ActionUnitReader(Protocol):
    """Reader of the AUs of images, such as `LibreFaceVerifier`."""

    name: str

    def measure(self, images: Sequence[Image]) -> Measurement:
        """Measure a batch of RGB images of any size."""
        ...

    def fingerprint(self) -> dict[str, Any]:
        """Return what the measurements are a function of; as `ImageSource.fingerprint`."""
        ...


class Verifier(ColumnOwner, ABC):
    """A check that is loaded: it measures images, adds columns to rows, and gives a verdict.

    A measurement is a function of its image, its spec and the number of images in the call alone:
    never of what stands beside it in the batch or of what was measured before.

    Attributes:
        name: its name in datasets; by default that of its class.
        by_batch: whether it is called with whole batches alone, filled up with repeats: bits of a
            network may depend on the number of images. Where they do not, it may be False.
        plain_reasons: whether its reasons stand alone in datasets; else its name goes before them.
        wants_neutral: whether the specs that `measure` is given have the condition `neutral`: the
            neutral image of their identity, painted for it (`Attempt.neutral`).
    """

    name: str
    wants_neutral: bool = False
    by_batch: ClassVar[bool] = True
    plain_reasons: ClassVar[bool] = False

    def __init_subclass__(cls, **keys: Any) -> None:
        """Let a class without a name have that of its own."""
        super().__init_subclass__(**keys)
        if not hasattr(cls, "name"):
            cls.name = cls.__name__

    @abstractmethod
    def measure(
        self, images: Sequence[Image], specs: Sequence[SampleSpec]
    ) -> Sequence[Mapping[str, Any]]:
        """Measure RGB images of any size, each with what it was to show.

        Returns:
            For each image a value for each column, None where there is none. Further keys go to
            `verdict` and are not stored.
        """

    def verdict(self, spec: SampleSpec, measured: Mapping[str, Any]) -> Verdict:
        """Accept or reject an image by what `measure` found; a check that only measures accepts."""
        return Verdict.accept()

    def verdict_beside(
        self, spec: SampleSpec, measured: Mapping[str, Any], others: Mapping[str, Any]
    ) -> Verdict:
        """Judge an image also by what others say of it; without a need for that, `verdict`.

        Args:
            spec: what the image was to show.
            measured: what this check found.
            others: column → value, of all other checks of the run and of its image source.
        """
        return self.verdict(spec, measured)

    def fingerprint(self) -> dict[str, Any]:
        """Return what the measurements are a function of; as `ImageSource.fingerprint`.

        Stores of face embeddings may come with it: `stores` (use → sha256).
        """
        return {"weights": {}, "licences": {}, "versions": {}}

    def check(self, spec: SampleSpec) -> None:
        """Refuse, before work begins, a spec that it cannot compare images with.

        Args:
            spec: any spec of the run; those of a run are of one kind.

        Raises:
            SynthgenError: if it cannot.
        """
