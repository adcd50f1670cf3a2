"""The people of a run's own dataset as a store: one accepted image of each identity."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL.Image import Image

from pipelines.faceid.embedder import FaceEmbedder
from pipelines.faceid.photographs import LeftOut, Quality, fault
from pipelines.faceid.references import reference_image, several_faces
from pipelines.pictures import open_picture
from samplers.identities.embeddings import StoreAbout
from samplers.identities.reference import ReferenceImage
from samplers.identities.store import FaceStore
from synthgen.dataset import RunRecord, Storage, layout
from synthgen.dataset.markers import read_markers
from synthgen.dataset.parquet import read_columns
from synthgen.dataset.run_record import read_record
from synthgen.dataset.schema import ACTIVE_ERROR, INACTIVE_MAX
from synthgen.errors import PictureError, StoreError
from synthgen.foreign import excerpt

_TRIED = 5
"""Images of an identity that are looked at, until a good one is found."""

_IMAGES = 100
"""Images that are held in memory at a time."""

_LONGEST_LICENCE = 1_500


@dataclass(frozen=True, slots=True, order=True)
class _Candidate:
    """An accepted image; the least is taken first.

    Attributes:
        expressive: whether an AU is asked for.
        error: mean error of the AUs asked for, or, of a neutral face, its largest AU; infinite
            where nothing was measured.
        sample_id: name of the sample.
        identity_id: whom it shows.
        split: split of the shard.
        file: file of the shard.
        row: row of the file.
    """

    expressive: bool
    error: float
    sample_id: str
    identity_id: str
    split: str
    file: str
    row: int


@dataclass(frozen=True, slots=True, eq=False)
class _Taken:
    candidate: _Candidate
    embedding: np.ndarray
    reference: ReferenceImage | None


def is_dataset(path: Path) -> bool:
    """Return whether a folder holds a dataset that synthgen made."""
    return (path / layout.RUN).is_file()


def embed_dataset(
    path: Path,
    embedder: FaceEmbedder,
    quality: Quality,
    licence: str | None = None,
    synthetic: bool = False,
    merge: float | None = None,
    keep_images: bool = False,
) -> tuple[FaceStore, list[LeftOut]]:
    """Embed one accepted image of each identity: the neutral one, or that of the least error.

    Neutral faces come before others, then the least error, then the first name. Where such an image
    is not good enough the next one is taken, five at most. People keep their names and splits.

    Args:
        path: folder of a dataset.
        embedder: what embeds.
        quality: bounds that a face must keep.
        licence: licence of the images, beside the embedder's; None: those of the dataset's weights.
        synthetic: whether nobody real is shown.
        merge: cosine from which two faces are one person's; None: nobody is merged.
        keep_images: whether the store keeps the image of each person as a reference; images of
            several faces are then not good enough.

    Returns:
        The store, and the images that were looked at and not taken.

    Raises:
        DatasetError: if there is no such dataset, or a file of it is missing or corrupt.
        StoreError: if none of its images can be taken.
    """
    storage = Storage(str(path))
    record = read_record(storage)
    taken, left = _taken(storage, record, embedder, quality, keep_images)
    if not taken:
        why = f"the first, {left[0].name}: {left[0].reason}" if left else "none is accepted"
        raise StoreError(f"none of the images in {excerpt(path)} can be taken; {why}")
    name = record.configuration.get("name", path.name)
    about = StoreAbout(
        embedder=embedder.fingerprint,
        embedder_name=embedder.name,
        licence="; ".join([embedder.licence, licence or _licences(record)]),
        synthetic=synthetic,
        source=f"{len(taken)} images of the dataset {excerpt(name)}",
    )
    store = FaceStore.build(
        np.stack([one.embedding for one in taken]),
        [one.candidate.identity_id for one in taken],
        about,
        splits=[one.candidate.split for one in taken],
        photos=[one.candidate.sample_id for one in taken],
        references=[one.reference for one in taken] if keep_images else None,
        where=str(path),
        merge=merge,
    )
    return store, sorted(left, key=lambda one: one.name)


def _licences(record: RunRecord) -> str:
    found = dict.fromkeys(record.licences.values())
    return excerpt("; ".join(found) or "unknown", _LONGEST_LICENCE)


def _taken(
    storage: Storage, record: RunRecord, embedder: FaceEmbedder, quality: Quality, alone: bool
) -> tuple[list[_Taken], list[LeftOut]]:
    """Look at the first candidate of each identity, then at the second of who has no good one."""
    candidates = _candidates(storage, record)
    taken: dict[str, _Taken] = {}
    left = []
    for turn in range(_TRIED):
        open_ones = {name: found for name, found in candidates.items() if name not in taken}
        wanted = [found[turn] for found in open_ones.values() if turn < len(found)]
        for one, image in _images(storage, wanted):
            reason, found = _looked_at(one, image, embedder, quality, alone)
            if found is None:
                left.append(LeftOut(one.sample_id, reason))
            else:
                taken[one.identity_id] = found
    return [taken[name] for name in candidates if name in taken], left


def _looked_at(
    one: _Candidate, data: bytes, embedder: FaceEmbedder, quality: Quality, alone: bool
) -> tuple[str, _Taken | None]:
    try:
        image: Image = open_picture(data)
    except PictureError as error:
        return str(error), None
    found = embedder.embed([image])
    reason = fault(found, 0, quality) or (several_faces(found, 0) if alone else None)
    if reason is not None:
        return reason, None
    reference = reference_image(image, found.points[0]) if alone else None
    return "", _Taken(one, found.embeddings[0], reference)


def _candidates(storage: Storage, record: RunRecord) -> Mapping[str, Sequence[_Candidate]]:
    """Return identity → its best accepted images, in the order in which they are looked at."""
    errors = [name for name in (ACTIVE_ERROR, INACTIVE_MAX) if record.schema.has(name)]
    columns = ["sample_id", "identity_id", "accepted", "aus", *errors]
    found: dict[str, list[_Candidate]] = defaultdict(list)
    for marker in read_markers(storage).values():
        file, start = layout.data_file(*marker.key), 0
        for batch in read_columns(storage, file, columns):
            for row, values in enumerate(batch.to_pylist(), start):
                if values["accepted"] is not False:
                    best = found[values["identity_id"]]
                    best.append(_candidate(values, marker.split, file, row))
                    best.sort()
                    del best[_TRIED:]
            start += batch.num_rows
    return found


def _candidate(values: Mapping[str, object], split: str, file: str, row: int) -> _Candidate:
    expressive = any(values["aus"])  # pyright: ignore[reportArgumentType]
    error = values.get(ACTIVE_ERROR if expressive else INACTIVE_MAX)
    return _Candidate(
        expressive=expressive,
        error=float(error) if isinstance(error, float) else float("inf"),
        sample_id=str(values["sample_id"]),
        identity_id=str(values["identity_id"]),
        split=split,
        file=file,
        row=row,
    )


def _images(storage: Storage, wanted: Sequence[_Candidate]) -> Iterator[tuple[_Candidate, bytes]]:
    """Yield images with their bytes, file by file; files without any are not opened."""
    places: dict[str, dict[int, _Candidate]] = defaultdict(dict)
    for one in wanted:
        places[one.file][one.row] = one
    for file, rows in places.items():
        start = 0
        for batch in read_columns(storage, file, ["image"], batch_rows=_IMAGES):
            for row in range(start, start + batch.num_rows):
                if row in rows:
                    yield rows[row], batch.column(0)[row - start].as_py()["bytes"]
            start += batch.num_rows
