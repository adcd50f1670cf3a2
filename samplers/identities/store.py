"""A store of face embeddings: known people, their recogniser; written whole or not at all."""

import json
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32

from samplers.identities.alike import merge_near
from samplers.identities.embeddings import (
    ABOUT_KEY,
    RowName,
    StoreAbout,
    checked_embeddings,
    is_storable,
    normalised_rows,
    plain_row,
    refuse_repeated,
    refuse_shape,
)
from samplers.identities.identity import FaceIdentity
from samplers.identities.person_columns import FIND_OUT, Naming
from samplers.identities.reference import ROWS_PER_GROUP, ReferenceImage, with_pictures
from samplers.identities.store_reading import read_raw
from samplers.identities.store_tables import RawStore, to_table
from synthgen.config.identities.base import MINI_STORE
from synthgen.dataset.schema import REFERENCE_ID
from synthgen.dataset.whole_files import replacing
from synthgen.errors import StoreError
from synthgen.foreign import excerpt, first_line, reading, shown

MINI_PEOPLE = Path(__file__).with_name("mini-people.parquet")
"""Drawn people, embedded by the mini face embedder; `synthgen faces draw` made it."""


def store_path(name: str | Path) -> Path:
    """Return where a store lies.

    Args:
        name: a path, or the text `mini` for the embedded people; `./mini` is a path.

    Raises:
        StoreError: if the embedded people are missing.
    """
    if name != MINI_STORE:
        return Path(name)
    if not MINI_PEOPLE.is_file():
        raise StoreError(
            f"the embedded people {MINI_PEOPLE} are missing; install synthgen again, or make them: "
            f"synthgen faces draw --people 200 --to {MINI_PEOPLE}"
        )
    return MINI_PEOPLE


_LONGEST_PHOTO = 4_096

_Value = TypeVar("_Value")


@dataclass(frozen=True, eq=False)
class FaceStore:
    """Embeddings of people; several rows of one `identity_id` are several faces of a person.

    Attributes:
        embeddings: L2-normalised, one a row.
        identity_ids: the person of each row.
        about: embedder, licence and origin.
        splits: the split of each row, the same for all rows of a person; None where nothing says.
        photos: the photo of each row; None where nothing says.
        where: the file, for sentences.
        merged: names and equal faces that merging took away when it was built; not kept in files.
        references: the reference image of each row, of one row a person; None where none is kept.
    """

    embeddings: Float32[np.ndarray, "rows 512"]
    identity_ids: tuple[str, ...]
    about: StoreAbout
    splits: tuple[str, ...] | None = None
    photos: tuple[str | None, ...] | None = None
    where: str = "store"
    merged: tuple[int, int] = (0, 0)
    references: tuple[ReferenceImage | None, ...] | None = None

    @classmethod
    def build(
        cls,
        embeddings: np.ndarray,
        identity_ids: Sequence[str],
        about: StoreAbout,
        *,
        splits: Sequence[str] | None = None,
        photos: Sequence[str | None] | None = None,
        references: Sequence[ReferenceImage | None] | None = None,
        where: str = "store",
        row_name: RowName = plain_row,
        merge: float | None = None,
    ) -> "FaceStore":
        """Check and normalise embeddings.

        Args:
            embeddings: [rows, 512], of any length above 0.
            identity_ids: the person of each row.
            about: embedder, licence and origin.
            splits: the split of each row.
            photos: the photo of each row.
            references: the reference image of each row.
            where: the file, for sentences.
            row_name: how rows are called.
            merge: cosine from which two faces are one person's: who is that near becomes one
                person, of the first one's name, and equal faces are dropped; None: nobody does.

        Raises:
            StoreError: if an embedding cannot be one, two rows are the same, a name is empty, or a
                person is in two splits.
        """
        given = [
            ("identity_ids", identity_ids),
            ("splits", splits),
            ("photos", photos),
            ("references", references),
        ]
        for what, values in given:
            if values is not None and len(values) != len(embeddings):
                raise StoreError(
                    f"{where} holds {len(embeddings)} embeddings and {len(values)} {what}; "
                    "there must be as many"
                )
        names = len(set(identity_ids))
        if merge is None:
            checked = checked_embeddings(embeddings, where, row_name)
        else:
            normalised = normalised_rows(embeddings, where, row_name).astype(np.float32)
            kept, identity_ids = merge_near(normalised, identity_ids, merge)
            checked = normalised[kept]
            splits, photos = _of_rows(splits, kept), _of_rows(photos, kept)
            references = _of_rows(references, kept)
        refuse_repeated(identity_ids, splits, where)
        for row, photo in enumerate(photos or ()):
            if photo is not None and not is_storable(photo, _LONGEST_PHOTO):
                raise StoreError(
                    f"{where}: row {row} (from 0) has the photo {shown(photo)}; it must be text of "
                    f"at most {_LONGEST_PHOTO:,} characters that UTF-8 can write"
                )
        return cls(
            checked,
            tuple(identity_ids),
            about,
            tuple(splits) if splits else None,
            tuple(photos) if photos else None,
            where,
            (names - len(set(identity_ids)), len(embeddings) - len(checked)),
            tuple(references) if references else None,
        )

    @cached_property
    def rows(self) -> dict[str, tuple[int, ...]]:
        """The rows of each person, people and rows in the order of the file."""
        found: dict[str, list[int]] = {}
        for row, identity in enumerate(self.identity_ids):
            found.setdefault(identity, []).append(row)
        return {identity: tuple(rows) for identity, rows in found.items()}

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 of people, splits and embeddings; kind of file and pictures do not change it."""
        digest = sha256(self.embeddings.astype("<f4").tobytes())
        names = [*self.identity_ids, *(self.splits or ()), self.about.embedder]
        digest.update("\0".join(names).encode())
        return digest.hexdigest()

    @cached_property
    def reference_digest(self) -> str:
        """A sha256 of who is shown by which reference image."""
        shown = [(name, self.reference(name)) for name in sorted(self.rows)]
        names = [f"{name}\0{one.reference_id}" for name, one in shown if one is not None]
        return sha256("\0".join(names).encode()).hexdigest()

    def __len__(self) -> int:
        """Return the number of people."""
        return len(self.rows)

    def split_of(self, identity_id: str) -> str | None:
        """Return the split that the store gives a person; None where it gives none."""
        return self.splits[self.rows[identity_id][0]] if self.splits else None

    def face(self, identity_id: str) -> FaceIdentity:
        """Return a person, with all faces in the order of the file."""
        rows = list(self.rows[identity_id])
        return FaceIdentity(identity_id, self.embeddings[rows], self.about.embedder)

    def reference(self, identity_id: str) -> ReferenceImage | None:
        """Return a person's reference image, the first in the file; None where there is none."""
        kept = [self.references[row] for row in self.rows[identity_id]] if self.references else []
        return next((one for one in kept if one is not None), None)


def read_store(
    path: str | Path,
    *,
    column: str | None = None,
    embedder: str | None = None,
    naming: Naming = FIND_OUT,
) -> FaceStore:
    """Read a store, whatever kind of file it is.

    Args:
        path: `.parquet`, `.safetensors`, `.npy`, `.npz`, or the folder of an HF dataset; the text
            `mini` names the embedded people.
        column: column, tensor or array of the embeddings; None: the one of a usual name.
        embedder: fingerprint of the recogniser, for files that do not carry it.
        naming: what the user says about who is who.

    Raises:
        StoreError: if the file cannot be read, holds what is no embedding, says nothing about its
            embedder, or names another one than `embedder`, or if it is not sure who is who.
    """
    return build_store(read_raw(store_path(path), column, naming), str(path), embedder)


def build_store(
    raw: RawStore, where: str, embedder: str | None = None, merge: float | None = None
) -> FaceStore:
    """Check what a file holds.

    Args:
        raw: what it holds.
        where: the file, for sentences.
        embedder: fingerprint of the recogniser, where the file does not carry it.
        merge: cosine from which two faces are one person's; None: nobody is merged.

    Raises:
        StoreError: as `read_store`.
    """
    embeddings = raw.embeddings()
    refuse_shape(embeddings, where)
    return FaceStore.build(
        embeddings,
        raw.identity_ids(),
        _about(raw, embedder, where),
        splits=raw.each_split(),
        photos=raw.photos,
        references=raw.references,
        where=where,
        row_name=raw.row_name,
        merge=merge,
    )


def _of_rows(values: Sequence[_Value] | None, rows: np.ndarray) -> list[_Value] | None:
    return None if values is None else [values[row] for row in rows.tolist()]


def _about(raw: RawStore, embedder: str | None, where: str) -> StoreAbout:
    if raw.about is None:
        if embedder is None:
            raise StoreError(
                f"{where} does not say which recogniser made its embeddings; name it "
                "(identities.embedder in a configuration, --embedder on the command line)"
            )
        return StoreAbout(embedder=embedder, embedder_name=embedder)
    if embedder not in (None, raw.about.embedder):
        raise StoreError(
            f"{where} holds embeddings of {shown(raw.about.embedder)} "
            f"({excerpt(raw.about.embedder_name)}), not of {shown(embedder)}; embeddings "
            "of two recognisers mean different things"
        )
    return raw.about


_LONGEST_PATH = 4_096
_OF_IMAGES = ".parquet"


def check_store_path(path: str | Path, *, keeps_images: bool = False) -> None:
    """Refuse what cannot become a store, before hours are spent on what goes into it.

    Args:
        path: where it is to be written.
        keeps_images: whether it is to keep reference images.

    Raises:
        StoreError: if the name has another ending, is not of UTF-8, or is that of a folder or below
            a file.
    """
    path = Path(path)
    if not is_storable(str(path), _LONGEST_PATH):
        raise StoreError(f"{excerpt(path)} cannot be written: its name is not UTF-8 or too long")
    if path.suffix not in _WRITERS:
        raise StoreError(f"{path} cannot be written; a store ends in {' or '.join(_WRITERS)}")
    if keeps_images and path.suffix != _OF_IMAGES:
        raise StoreError(
            f"{path} cannot keep reference images; a store that does ends in {_OF_IMAGES}"
        )
    with reading(path, StoreError):
        is_folder = path.is_dir()
        above = next(folder for folder in path.absolute().parents if folder.exists())
    if is_folder:
        raise StoreError(f"{excerpt(path)} cannot be written: it is a folder")
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise StoreError(
            f"{excerpt(path)} cannot be written: {excerpt(above)} is no folder that can be written "
            "to"
        )


def write_store(path: str | Path, store: "FaceStore") -> None:
    """Write a store whole or not at all.

    Args:
        path: a file that ends in `.parquet` or `.safetensors`.
        store: what to write.

    Raises:
        StoreError: if the ending is another one, or the file cannot be written.
    """
    path = Path(path)
    check_store_path(path, keeps_images=store.references is not None)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, part):
            _WRITERS[path.suffix](part, store)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be written: {first_line(error)}") from error


def _write_parquet(path: Path, store: "FaceStore") -> None:
    table = to_table(store.embeddings, store.identity_ids, store.about, store.splits, store.photos)
    if store.references is None:
        pq.write_table(table, path)
        return
    plain = [*table.column_names, REFERENCE_ID]
    options: dict[str, Any] = {"use_dictionary": plain, "write_statistics": plain}
    # Some rows at a time, so that pictures which lie in another store are read one after another.
    first = with_pictures(table[:ROWS_PER_GROUP], store.references[:ROWS_PER_GROUP])
    with pq.ParquetWriter(path, first.schema, **options) as writer:
        for start in range(0, len(table), ROWS_PER_GROUP):
            rows = slice(start, start + ROWS_PER_GROUP)
            writer.write_table(with_pictures(table[rows], store.references[rows]))


def _write_safetensors(path: Path, store: "FaceStore") -> None:
    from safetensors.numpy import save_file

    lists = {
        "identity_ids": store.identity_ids,
        "splits": store.splits,
        "photos": store.photos,
    }
    about = json.loads(store.about.to_json())
    about |= {key: list(values) for key, values in lists.items() if values is not None}
    save_file({"embedding": store.embeddings}, path, {ABOUT_KEY: json.dumps(about)})


_WRITERS: dict[str, Callable[[Path, "FaceStore"], None]] = {
    ".parquet": _write_parquet,
    ".safetensors": _write_safetensors,
}
