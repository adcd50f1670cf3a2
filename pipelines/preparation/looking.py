"""Pictures looked at, batch by batch: read, large enough, a photograph, measured, described."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from PIL import Image as PILImage
from PIL.Image import Image

from pipelines.interfaces import Measurement
from pipelines.preparation.source import Drop, Item, Read
from synthgen.action_units import AUS

PictureFormat = Literal["jpeg", "png", "webp"]

_KEPT = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
"""Kinds of files that are kept as they are → their endings."""

_ORIENTATION = 0x0112
_ENDINGS = {"jpeg": "jpg", "png": "png", "webp": "webp"}
_WRITTEN: Mapping[PictureFormat, Mapping[str, Any]] = {
    "jpeg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    "png": {"format": "PNG"},
    "webp": {"format": "WEBP", "lossless": True},
}

UNREADABLE = "unreadable"
TOO_SMALL = "too small"
NO_PHOTO = "no photograph"
NO_FACE = "no face found"

STEPS = (UNREADABLE, TOO_SMALL, NO_PHOTO, NO_FACE)
"""Steps that look at a picture, in their order."""


@runtime_checkable
class Describer(Protocol):
    """A model that answers questions about pictures."""

    def photo(self, images: Sequence[Image]) -> Sequence[float]:
        """Return how probable it is that each is a photograph [0, 1]."""
        ...

    def captions(self, images: Sequence[Image]) -> Sequence[str]:
        """Describe each in a sentence."""
        ...


@runtime_checkable
class Measurer(Protocol):
    """A verifier that measures the 12 AUs."""

    def measure(self, images: Sequence[Image]) -> Measurement:
        """Measure pictures; NaN without a face."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """Ways in which pictures are looked at.

    Attributes:
        side: shorter side that a picture has at most; larger ones are scaled down; 0: none is.
        min_side: shorter side that it must have [pixels].
        picture_format: of what must be encoded anew.
        caption: caption of pictures that have none and that nobody describes.
        photo_from: least probability of a photograph; None: not asked.
        batch: pictures that a model sees at once.
        describer: what answers questions and describes; None: nobody.
        captioner: name of the describer.
        describe: whether it describes pictures without a caption.
        measurer: what measures AUs; None: nobody.
        measured_by: its name.
    """

    side: int
    min_side: int
    picture_format: PictureFormat
    caption: str
    photo_from: float | None = None
    batch: int = 8
    describer: Describer | None = None
    captioner: str = ""
    describe: bool = False
    measurer: Measurer | None = None
    measured_by: str = ""


@dataclass(slots=True)
class Seen:
    """A picture that is kept so far.

    Attributes:
        item: what it is.
        read: its pixels and file; None once it is encoded.
        data: the encoded file that the row keeps.
        ending: ending of that file.
        photo: how probable it is that it is a photograph, or None.
        measured: measured intensities [0–5], or None.
        caption: its caption.
        captioned_by: who wrote that.
    """

    item: Item
    read: Read | None
    data: bytes = b""
    ending: str = ""
    photo: float | None = None
    measured: tuple[float, ...] | None = None
    caption: str = ""
    captioned_by: str = ""


@dataclass(slots=True)
class Outcome:
    """Outcome of some pictures."""

    seen: list[Seen] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)


def look(items: Sequence[Item], pictures: Iterable[Read | str], looks: Looks) -> Outcome:
    """Look at pictures; which of them share a batch follows from the items alone.

    Args:
        items: the pictures.
        pictures: each read, or the reason why it cannot be.
        looks: what is asked of them.
    """
    found = Outcome()
    kept = _readable(zip(items, pictures, strict=True), looks, found.drops)
    while batch := list(islice(kept, looks.batch)):
        for one in _judged(batch, looks, found.drops):
            one.data, one.ending = _encoded(_read(one), looks)
            one.read = None
            found.seen.append(one)
    return found


def _readable(
    pairs: Iterable[tuple[Item, Read | str]], looks: Looks, drops: list[Drop]
) -> Iterator[Seen]:
    for item, read in pairs:
        if isinstance(read, str):
            drops.append(_drop(item, UNREADABLE, read))
        elif min(read.image.size) < looks.min_side:
            width, height = read.image.size
            why = f"{width} × {height} pixels; {looks.min_side} are asked for"
            drops.append(_drop(item, TOO_SMALL, why))
        else:
            yield Seen(item, read)


def _judged(batch: Sequence[Seen], looks: Looks, drops: list[Drop]) -> Sequence[Seen]:
    kept = list(batch)
    if looks.photo_from is not None and looks.describer is not None:
        told = looks.describer.photo([_image(one) for one in kept])
        for one, probability in zip(kept, told, strict=True):
            one.photo = float(probability)
        kept = _sifted(kept, NO_PHOTO, drops, lambda one: _is_photo(one, looks.photo_from))
    if looks.measurer is not None and (asked := [one for one in kept if one.item.aus is None]):
        _measure(asked, looks.measurer)
        kept = _sifted(kept, NO_FACE, drops, _is_measured)
    for one in kept:
        one.caption, one.captioned_by = one.item.caption or looks.caption, "fixed"
        if one.item.caption:
            one.captioned_by = "source"
    undescribed = [one for one in kept if looks.describe and not one.item.caption]
    if looks.describer is not None and undescribed:
        texts = looks.describer.captions([_image(one) for one in undescribed])
        for one, text in zip(undescribed, texts, strict=True):
            one.caption, one.captioned_by = text, looks.captioner
    return kept


def _measure(seen: Sequence[Seen], measurer: Measurer) -> None:
    found = measurer.measure([_image(one) for one in seen])
    places = [found.action_units.index(au) for au in AUS]
    for one, faces, aus in zip(seen, found.faces, found.aus[:, places], strict=True):
        one.measured = tuple(np.clip(aus, 0, 5).tolist()) if faces else None


def _is_measured(one: Seen) -> str | None:
    there = one.item.aus is not None or one.measured is not None
    return None if there else "nobody is seen in it"


def _is_photo(one: Seen, least: float | None) -> str | None:
    if one.photo is None or least is None or one.photo >= least:
        return None
    return f"p(yes) is {one.photo:.4f}; {least:g} is asked for"


def _sifted(seen: Sequence[Seen], step: str, drops: list[Drop], fault: Any) -> list[Seen]:
    """Return what has no fault; the others are dropped with it."""
    kept = []
    for one in seen:
        if (why := fault(one)) is None:
            kept.append(one)
        else:
            drops.append(_drop(one.item, step, why))
    return kept


def _image(one: Seen) -> Image:
    return _read(one).image


def _read(one: Seen) -> Read:
    if one.read is None:
        raise ValueError("the picture was let go")
    return one.read


def _drop(item: Item, step: str, reason: str) -> Drop:
    return Drop(item.split, item.file, item.frame, step, reason)


def _encoded(read: Read, looks: Looks) -> tuple[bytes, str]:
    """Return the file that the row keeps, and its ending: the source's own where it will do."""
    shorter = min(read.image.size)
    fits = looks.side == 0 or shorter <= looks.side
    if fits and read.data is not None and (ending := _kept_ending(read.data)):
        return read.data, ending
    image = read.image
    if not fits:
        size = tuple(round(length * looks.side / shorter) for length in image.size)
        image = image.resize((size[0], size[1]), PILImage.Resampling.LANCZOS)
    buffer = BytesIO()
    image.save(buffer, **_WRITTEN[looks.picture_format])
    return buffer.getvalue(), _ENDINGS[looks.picture_format]


def _kept_ending(data: bytes) -> str | None:
    """Return the ending of a file that every reader takes for the same RGB picture, or None."""
    with PILImage.open(BytesIO(data)) as image:
        plain = image.mode == "RGB" and not image.has_transparency_data
        upright = image.getexif().get(_ORIENTATION) in (None, 1)
        still = getattr(image, "n_frames", 1) == 1
        return _KEPT.get(image.format or "") if plain and upright and still else None
