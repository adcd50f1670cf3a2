"""From a folder of photographs to a store of face embeddings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipelines.faceid.embedder import FaceEmbedder
from pipelines.faceid.quality import Quality, fault
from samplers.identities.embeddings import same_rows
from samplers.identities.store import FaceStore
from samplers.identities.store_about import StoreAbout
from synthgen.errors import StoreError

ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Endings of photographs, in lower case."""

_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Photo:
    """A photograph and whom it shows.

    Attributes:
        path: the file.
        name: its path below the folder.
        identity_id: the folder that it lies in, or its own name without an ending.
    """

    path: Path
    name: str
    identity_id: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A photograph that was not taken, and why."""

    name: str
    reason: str


def find_photos(path: Path) -> list[Photo]:
    """Find photographs, in order of their names.

    A photograph in a folder of its own below `path` shows the person whom that folder is named
    after; one that lies in `path` itself is a person of its own.

    Raises:
        StoreError: if there is none, or two people would bear one name.
    """
    if path.is_file():
        return [Photo(path, path.name, path.stem)]
    if not path.is_dir():
        raise StoreError(f"{path} does not exist; it must be a photograph or a folder of them")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in ENDINGS)
    if not files:
        raise StoreError(f"{path} holds no photograph: no file that ends in {', '.join(ENDINGS)}")
    photos = [_photo(file, path) for file in files]
    _refuse_shared_names(photos, path)
    return photos


def embed_photos(
    path: Path,
    embedder: FaceEmbedder,
    quality: Quality,
    licence: str | None = None,
    synthetic: bool = False,
    merge: float | None = None,
) -> tuple[FaceStore, list[LeftOut]]:
    """Embed the largest face of each photograph.

    Args:
        path: a photograph, or a folder of them as `find_photos` reads it.
        embedder: what embeds.
        quality: bounds that a face must keep.
        licence: licence of the photographs, beside the embedder's; None: none is named.
        synthetic: whether nobody real is shown.
        merge: cosine from which two faces are one person's; None: nobody is merged.

    Returns:
        The store, and the photographs that are not in it.

    Raises:
        StoreError: if there are no photographs, or none of them can be taken.
    """
    kept, left = _embedded(find_photos(path), embedder, quality)
    kept, repeated = _without_repeats(kept) if merge is None else (kept, [])
    left += repeated
    if not kept:
        raise StoreError(
            f"none of the photographs in {path} can be taken; the first, {left[0].name}: "
            f"{left[0].reason}"
        )
    about = StoreAbout(
        embedder=embedder.fingerprint,
        embedder_name=embedder.name,
        licence="; ".join(filter(None, [embedder.licence, licence])),
        synthetic=synthetic,
        source=f"{len(kept)} photographs",
    )
    store = FaceStore.build(
        np.stack([embedding for _, embedding in kept]),
        [photo.identity_id for photo, _ in kept],
        about,
        photos=[photo.name for photo, _ in kept],
        where=str(path),
        merge=merge,
    )
    return store, sorted(left, key=lambda one: one.name)


_Embedded = list[tuple[Photo, np.ndarray]]


def _embedded(
    photos: Sequence[Photo], embedder: FaceEmbedder, quality: Quality
) -> tuple[_Embedded, list[LeftOut]]:
    kept: _Embedded = []
    left: list[LeftOut] = []
    for batch in _opened(photos, left):
        found = embedder.embed([image for _, image in batch])
        for place, (photo, _) in enumerate(batch):
            reason = fault(found, place, quality)
            if reason is None:
                kept.append((photo, found.embeddings[place]))
            else:
                left.append(LeftOut(photo.name, reason))
    return kept, left


def _opened(
    photos: Sequence[Photo], left: list[LeftOut]
) -> Iterator[list[tuple[Photo, Image.Image]]]:
    """Yield batches of upright images; what cannot be read is left out."""
    for start in range(0, len(photos), _AT_ONCE):
        batch = []
        for photo in photos[start : start + _AT_ONCE]:
            try:
                with Image.open(photo.path) as image:
                    batch.append((photo, ImageOps.exif_transpose(image).convert("RGB")))
            except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
                left.append(LeftOut(photo.name, f"it cannot be read: {_first(error)}"))
        if batch:
            yield batch


def _without_repeats(kept: _Embedded) -> tuple[_Embedded, list[LeftOut]]:
    if not kept:
        return kept, []
    rows = np.stack([embedding for _, embedding in kept]).astype(np.float64)
    again = {second: first for first, second in same_rows(rows)}
    left = [
        LeftOut(kept[second][0].name, f"it shows the very face of {kept[first][0].name}")
        for second, first in again.items()
    ]
    return [one for place, one in enumerate(kept) if place not in again], left


def _photo(file: Path, folder: Path) -> Photo:
    below = file.relative_to(folder)
    return Photo(file, str(below), below.stem if len(below.parts) == 1 else below.parts[0])


def _refuse_shared_names(photos: Sequence[Photo], folder: Path) -> None:
    """Refuse `anna.jpg` beside `anna.png`, or beside a folder `anna`: one person or two?"""
    alone = {}
    for photo in photos:
        own = photo.path.parent == folder
        other = alone.setdefault(photo.identity_id, photo if own else None)
        if other is not photo and (own or other is not None):
            raise StoreError(
                f"{folder} names {photo.identity_id!r} twice: {(other or photo).name} and "
                f"{photo.name}; rename one, or put the photographs of a person into one folder"
            )


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
