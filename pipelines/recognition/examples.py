"""Sources of labelled faces: synthgen datasets and folders of photographs, looked at alike."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32
from PIL.Image import Image

from samplers.randomness import uniforms
from synthgen.dataset.labels import BASIC
from synthgen.errors import DatasetError
from synthgen.foreign import counted, listed

TRAIN, VALIDATION, TEST = "train", "validation", "test"
UNSPLIT = "all"
"""Split of the pictures of a folder that has no splits."""


class Face(NamedTuple):
    """Labels of a picture.

    Attributes:
        name: its name, for errors; unique in its source.
        split: `train`, `validation`, `test`, another name, or `all`.
        category: its expression; None where nobody says.
        aus: AU intensities asked for, 0 to 5, of the source's AUs; None where there are none.
        measured: AU intensities that the verifier found; None where there are none.
        person: whom it shows; "" where nobody says.
        slots: slot and value of each identity slot, by which the person was asked for.
    """

    name: str
    split: str
    category: str | None
    aus: Float32[np.ndarray, " aus"] | None = None
    measured: Float32[np.ndarray, " aus"] | None = None
    person: str = ""
    slots: tuple[tuple[str, str], ...] = ()


class FaceSource(ABC):
    """A dataset or a folder.

    Attributes:
        name: its own name, without where it lies.
        kind: its layout, for people.
        aus: the AUs of its vectors; none where it has no AUs.
        faces: the labels of all pictures, in order.
        left_out: reason → pictures that are not among them.
        checksum: of its labels, and of its pictures as far as that is cheap.
    """

    name: str
    kind: str
    aus: tuple[str, ...]
    faces: list[Face]
    left_out: dict[str, int]
    checksum: str

    @abstractmethod
    def pictures(self, places: Sequence[int]) -> Iterator[Image]:
        """Yield the pictures of some faces as RGB, in the order of the places, which rise."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Faces of a source that are used.

    Attributes:
        source: the source.
        split: the split that they are of.
        places: their places in `source.faces`, rising.
    """

    source: FaceSource
    split: str
    places: tuple[int, ...]

    def faces(self) -> list[Face]:
        """Return their labels."""
        return [self.source.faces[place] for place in self.places]

    def only(self, kept: Sequence[bool]) -> "Selection":
        """Return those for which `kept` is true."""
        chosen = tuple(p for p, keep in zip(self.places, kept, strict=True) if keep)
        return Selection(self.source, self.split, chosen)

    def limited(self, most: int | None, seed: int) -> "Selection":
        """Return at most `most` of them, drawn by the seed; smaller draws lie in larger ones."""
        if most is None or most >= len(self.places):
            return self
        drawn = uniforms(seed, "fer/limit", 0, len(self.places), 1)[:, 0].argsort(kind="stable")
        return Selection(
            self.source, self.split, tuple(sorted(self.places[n] for n in drawn[:most]))
        )


def select(source: FaceSource, preferred: Sequence[str], option: str) -> Selection:
    """Choose the faces of a split.

    Args:
        source: the source.
        preferred: splits, the first of which that is there is taken; `all` stands for every face.
        option: option that names the split, for the error.

    Raises:
        DatasetError: if none of them is there.
    """
    splits = dict.fromkeys(face.split for face in source.faces)
    for name in preferred:
        if name in splits or name == UNSPLIT:
            places = [n for n, f in enumerate(source.faces) if name in (f.split, UNSPLIT)]
            return Selection(source, name, tuple(places))
    raise DatasetError(
        f"{source.name} has no split {preferred[0]}; {option} takes one of "
        f"{listed([*splits, UNSPLIT])}"
    )


def test_preference(source: FaceSource) -> tuple[str, ...]:
    """Return the splits that a source is tested on, the best first: never the one to learn from.

    A source of one split has none that is kept for tests, so all of it is.
    """
    splits = {face.split for face in source.faces}
    return (TEST, VALIDATION, *((UNSPLIT,) if len(splits) == 1 else ()))


def category_order(names: Sequence[str]) -> tuple[str, ...]:
    """Return categories, each once: the basic ones in the order of all datasets, then others."""
    found = set(names)
    return (*(name for name in BASIC if name in found), *sorted(found - set(BASIC)))


def say_left_out(left_out: dict[str, int]) -> str:
    """Write reasons and numbers as one text; "" where nothing was left out."""
    return "; ".join(f"{counted(n, 'picture')} left out: {why}" for why, n in left_out.items())
