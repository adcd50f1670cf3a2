"""From a folder of photographs to a store of face embeddings."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.faceid.embedder import FaceEmbedder
from pipelines.faceid.quality import Quality, fault
from pipelines.pictures import open_picture
from samplers.identities.embeddings import same_rows
from samplers.identities.store import FaceStore
from samplers.identities.store_about import StoreAbout
from synthgen.errors import PictureError, StoreError
from synthgen.foreign import excerpt, reading, regular_file

ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Endings of photographs, in lower case."""

_NUMBERED = re.compile(r"(.*[^\W\d].*?)[\W_]*\d+\W*$")
"""A name with a letter in it that ends in a number."""


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


def find_photos(path: Path, one_face_each: bool = False) -> tuple[list[Photo], list[LeftOut]]:
    """Find photographs, in order of their names.

    A photograph in a folder of its own below `path` shows the person whom that folder is named
    after; one that lies in `path` itself is a person of its own.

    Args:
        path: a photograph, or a folder of them.
        one_face_each: whether those in `path` itself are, also where they are numbered as several
            photographs of one person are: `ann_1.jpg`, `ann_2.jpg`, `ben_1.jpg`, `ben_2.jpg`.

    Returns:
        The photographs, and what has their ending and is none: pipes and such, and files whose
        names cannot be stored.

    Raises:
        StoreError: if there is none, two people would bear one name, or it is not sure who is who.
    """
    with reading(path, StoreError):
        is_folder, exists = path.is_dir(), path.exists()
    if not is_folder:
        if not exists:
            raise StoreError(f"{path} does not exist; it must be a photograph or a folder of them")
        regular_file(path, "the photograph", StoreError)
        return _parted([path], path.parent)
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in ENDINGS)
    files = [file for file in files if not file.is_dir()]
    if not files:
        raise StoreError(f"{path} holds no photograph: no file that ends in {', '.join(ENDINGS)}")
    photos, left = _parted(files, path)
    _refuse_shared_names(photos, path)
    if not one_face_each:
        _refuse_numbered(photos, path)
    return photos, left


def embed_photos(
    path: Path,
    embedder: FaceEmbedder,
    quality: Quality,
    licence: str | None = None,
    synthetic: bool = False,
    merge: float | None = None,
    one_face_each: bool = False,
) -> tuple[FaceStore, list[LeftOut]]:
    """Embed the largest face of each photograph.

    Args:
        path: a photograph, or a folder of them as `find_photos` reads it.
        embedder: what embeds.
        quality: bounds that a face must keep.
        licence: licence of the photographs, beside the embedder's; None: none is named.
        synthetic: whether nobody real is shown.
        merge: cosine from which two faces are one person's; None: nobody is merged.
        one_face_each: as `find_photos` takes it.

    Returns:
        The store, and the photographs that are not in it.

    Raises:
        StoreError: if there are no photographs, none of them can be taken, or it is not sure who
            is who.
    """
    photos, left = find_photos(path, one_face_each)
    kept = _embedded(photos, embedder, quality, left)
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
    photos: Sequence[Photo], embedder: FaceEmbedder, quality: Quality, left: list[LeftOut]
) -> _Embedded:
    """Embed photographs one at a time, so that memory holds one; what is not taken is left out."""
    kept: _Embedded = []
    for photo in photos:
        try:
            found = embedder.embed([open_picture(photo.path)])
        except PictureError as error:
            left.append(LeftOut(photo.name, str(error)))
            continue
        reason = fault(found, 0, quality)
        if reason is None:
            kept.append((photo, found.embeddings[0]))
        else:
            left.append(LeftOut(photo.name, reason))
    return kept


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


def _parted(files: Sequence[Path], folder: Path) -> tuple[list[Photo], list[LeftOut]]:
    photos, left = [], []
    for file in files:
        below = file.relative_to(folder)
        try:
            regular_file(file, "the file", StoreError)
            str(below).encode()
        except UnicodeEncodeError:
            left.append(LeftOut(excerpt(below), "its name is not UTF-8; rename it"))
        except StoreError as error:
            left.append(LeftOut(excerpt(below), str(error)))
        else:
            person = below.stem if len(below.parts) == 1 else below.parts[0]
            photos.append(Photo(file, str(below), person))
    return photos, left


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


def _refuse_numbered(photos: Sequence[Photo], folder: Path) -> None:
    """Refuse files that seem to be several people's, each with several numbered photographs."""
    alike: dict[str, list[Photo]] = {}
    for photo in photos:
        numbered = _NUMBERED.match(photo.path.stem)
        if numbered and photo.path.parent == folder:
            alike.setdefault(numbered[1].casefold(), []).append(photo)
    several = [found for found in alike.values() if len(found) > 1]
    if len(several) > 1:
        first, second = several[0][:2]
        raise StoreError(
            f"{folder} does not say for sure who is who: {len(several)} names are numbered, such "
            f"as {excerpt(first.name, 60)} and {excerpt(second.name, 60)}, as several photographs "
            "of one person are; put the photographs of each person into a folder of its own, or "
            "say that each shows another person (--one-face-each)"
        )
