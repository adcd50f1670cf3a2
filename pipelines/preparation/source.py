"""Sources of pictures for a training: what each lists, and how its pictures are read."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL.Image import Image

from synthgen.dataset.schema import Feature


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A picture that may become a row.

    Attributes:
        name: name of the row's picture, unique in the source; without an ending.
        split: its split.
        file: file that holds it, relative to the source.
        frame: number of the frame as the labels count, or None for a picture of its own.
        position: number of the frame in a video, from 0; None for a picture of its own.
        subject: who is shown, or None where nobody says.
        aus: intensities [0–5], or None where they are to be measured.
        labels: who labelled it, in words.
        caption: caption that the source has, or None.
        box: left, top, right and bottom of the part that is taken [pixels]; None: all of it.
        more: further column of the source → value.
    """

    name: str
    split: str
    file: str
    frame: int | None = None
    position: int | None = None
    subject: str | None = None
    aus: tuple[float, ...] | None = None
    labels: str
    caption: str | None = None
    box: tuple[float, float, float, float] | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Drop:
    """A picture that becomes no row.

    Attributes:
        split: the split that it would be in.
        file: file that holds it, relative to the source.
        frame: number of the frame as the labels count, or None.
        step: step that dropped it, in words that are counted.
        reason: why, with values.
    """

    split: str
    file: str
    frame: int | None
    step: str
    reason: str


@dataclass(frozen=True, slots=True)
class Listing:
    """All that a source holds, before a picture is read.

    Attributes:
        items: the pictures, in an order that the files alone decide.
        drops: what is left out already.
        steps: steps that drop in a listing, in their order.
        what: what is counted: "pictures", or "labelled frames".
        checksum: hash of the labels, and of the names and sizes of the pictures' files.
        notes: what was found out or assumed, a sentence each.
        licences: what → whose terms it is under.
        packages: packages beside the usual ones that bits of pictures depend on.
    """

    items: Sequence[Item]
    drops: Sequence[Drop]
    steps: Sequence[str]
    what: str
    checksum: str
    notes: Sequence[str]
    licences: Mapping[str, str]
    packages: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Read:
    """A picture as it was read.

    Attributes:
        image: upright RGB.
        data: its file, where this is the picture as it stands; None for frames and parts.
    """

    image: Image
    data: bytes | None


class PictureSource(ABC):
    """A source of pictures.

    Attributes:
        name: value of the column `source`.
        title: what it is, for people.
        options: what its listing is a function of, beside its files.
        columns: its further columns.
        folders: where its files lie.
    """

    name: str
    title: str
    options: Mapping[str, Any]
    columns: Mapping[str, Feature]
    folders: Sequence[Path]

    @abstractmethod
    def listing(self) -> Listing:
        """Look at all files; read no picture.

        Raises:
            SynthgenError: if labels are malformed, or pictures and labels do not go together.
        """

    @abstractmethod
    def read(self, items: Sequence[Item]) -> Iterator[Read | str]:
        """Yield the picture of each item, in order, or the reason why there is none."""

    def close(self) -> None:  # noqa: B027 - most sources hold nothing open
        """Close what is open."""
