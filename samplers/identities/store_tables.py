"""Face embeddings as arrays and tables: foreign files bounded before they are read, and written."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.lib import format as npy

from samplers.identities.embeddings import ABOUT_KEY, StoreAbout, refuse_width
from samplers.identities.identity import FACEID_WIDTH
from samplers.identities.person_columns import (
    FIND_OUT,
    Naming,
    names_people,
    people_of,
    settled_names,
)
from samplers.identities.reference import ReferenceImage, read_references
from synthgen.dataset.loading import folder_fault
from synthgen.errors import StoreError
from synthgen.foreign import excerpt, first_line, reading, regular_file, shown

LARGEST = 8 << 30
"""Bytes of a file of embeddings that are read at most: four million faces."""

_HARMLESS = 64 << 20
_MOST_PACKED = 20
_LONGEST_HEADER = 10_000


@dataclass(frozen=True, slots=True)
class StoredArray:
    """An array of a file that has not been read yet.

    Attributes:
        shape: its shape, as the file says.
        load: reads it.
    """

    shape: tuple[int, ...]
    load: Callable[[], np.ndarray]

    @classmethod
    def of(cls, values: np.ndarray) -> "StoredArray":
        """Return an array that has been read."""
        return cls(values.shape, lambda: values)


def check_file(path: Path) -> None:
    """Refuse what is no regular file, too large, or mostly holes.

    Raises:
        StoreError: with the file.
    """
    size = regular_file(path, "the store", StoreError, LARGEST)
    refuse_packed(os.stat(path).st_blocks * 512, size, str(path))


def refuse_packed(stored: int, meant: int, where: str) -> None:
    """Refuse a few bytes that would become very many: embeddings cannot be packed that well.

    Args:
        stored: bytes in the file.
        meant: bytes that they become.
        where: the file, for the sentence.

    Raises:
        StoreError: if they are more than 64 MiB and more than 20 times as many.
    """
    if meant > LARGEST or (meant > _HARMLESS and meant > _MOST_PACKED * stored):
        raise StoreError(
            f"{where} holds {stored:,} bytes that would become {meant:,}; embeddings cannot be "
            f"packed to less than a twentieth, and at most {LARGEST:,} bytes are read"
        )


def look_at_npy(path: Path) -> StoredArray:
    """Look at the array of a `.npy` file.

    Raises:
        StoreError: if it is none, or its size is not what its header says.
    """
    check_file(path)
    with reading(path, StoreError), path.open("rb") as file:
        shape, _ = _check_header(file.read, path.stat().st_size, str(path))

    def load() -> np.ndarray:
        with reading(path, StoreError), path.open("rb") as file:
            return npy.read_array(file, allow_pickle=False)

    return StoredArray(shape, load)


def read_npz(path: Path) -> dict[str, StoredArray]:
    """Look at the arrays of a `.npz` file.

    Raises:
        StoreError: if it is none, or an array's size is not what its header says.
    """
    check_file(path)
    with reading(path, StoreError), ZipFile(path) as file:
        return {
            member.filename.removesuffix(".npy"): _member(path, file, member)
            for member in file.infolist()
        }


def check_zip(path: Path) -> None:
    """Refuse a zip file, such as `torch.save` writes, that would become very many bytes.

    Raises:
        StoreError: if it cannot be read, or would.
    """
    with reading(path, StoreError), ZipFile(path) as file:
        for member in file.infolist():
            _refuse_packed_member(path, member)


def _refuse_packed_member(path: Path, member: ZipInfo) -> None:
    where = f"{path}: {excerpt(member.filename)!r}"
    if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise StoreError(f"{where} is packed by another way than zip's own; it must be deflated")
    refuse_packed(member.compress_size, member.file_size, where)


def _member(path: Path, file: ZipFile, member: ZipInfo) -> StoredArray:
    where = f"{path}: {excerpt(member.filename)!r}"
    with file.open(member) as stream:
        shape, dtype = _check_header(stream.read, member.file_size, where)

    def load() -> np.ndarray:
        if dtype.hasobject:
            return np.empty(shape[:1], dtype=object)  # never opened; its length is all that counts
        _refuse_packed_member(path, member)
        with reading(path, StoreError), ZipFile(path) as again, again.open(member) as stream:
            return npy.read_array(stream, allow_pickle=False)

    return StoredArray(shape, load)


def _check_header(
    read: Callable[[int], bytes], size: int, where: str
) -> tuple[tuple[int, ...], np.dtype]:
    """Read the header of an array, within bounds, and compare it with the bytes that there are."""
    start = read(12)
    npy.read_magic(BytesIO(start))
    version = tuple(start[6:8])
    width = 2 if version == (1, 0) else 4
    length = int.from_bytes(start[8 : 8 + width], "little")
    if length > _LONGEST_HEADER:
        raise StoreError(
            f"{where} has a header of {length:,} bytes; an array of numbers has one of "
            f"{_LONGEST_HEADER:,} at most"
        )
    head = BytesIO(start + read(length))
    head.seek(8)
    parse = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = parse(head)
    held = size - head.tell()
    if not dtype.hasobject and prod(shape) * dtype.itemsize != held:
        raise StoreError(
            f"{where} is an array of shape {list(shape)[:8]} and type {dtype}, which takes "
            f"{prod(shape) * dtype.itemsize:,} bytes; the file holds {held:,}"
        )
    return shape, dtype


EMBEDDING_NAMES = ("embedding", "embeddings", "faceid_embedding")
SPLIT_NAMES = ("split", "splits")


@dataclass(frozen=True, slots=True, eq=False)
class RawStore:
    """Content of a file, unchecked.

    Attributes:
        values: [people, 512] or [people, faces, 512].
        ids: the person of each row; None where the file names nobody.
        splits: the split of each row.
        photos: the photo of each row.
        about: embedder, licence and origin; None where the file does not say.
        references: the reference image of each row; None where the file keeps none.
    """

    values: np.ndarray
    ids: Sequence[str] | None = None
    splits: Sequence[str] | None = None
    photos: Sequence[str | None] | None = None
    about: StoreAbout | None = None
    references: Sequence[ReferenceImage | None] | None = None

    @property
    def faces(self) -> int:
        """Embeddings in a row of the file."""
        return self.values.shape[1] if self.values.ndim == 3 else 1

    def embeddings(self) -> np.ndarray:
        """Return one embedding a row."""
        if self.values.ndim != 3:
            return self.values
        return self.values.reshape(-1, self.values.shape[2])

    def identity_ids(self) -> list[str]:
        """Return the person of each embedding; a row that names nobody is a person of its own."""
        ids = self.ids
        return self._each(
            [f"face-{row:08d}" for row in range(len(self.values))] if ids is None else ids
        )

    def each_split(self) -> list[str] | None:
        """Return the split of each embedding."""
        return None if self.splits is None else self._each(self.splits)

    def row_name(self, embedding: int) -> str:
        """Call an embedding by its row in the file."""
        row, face = divmod(embedding, self.faces)
        return f"row {row}" if self.values.ndim != 3 else f"row {row}, face {face}"

    def _each(self, values: Sequence[str]) -> list[str]:
        return [value for value in values for _ in range(self.faces)]


def choose_column(names: Sequence[str], column: str | None, where: str) -> str:
    """Choose the column, tensor or array that holds the embeddings.

    Args:
        names: what there is.
        column: the one that the user named; None: one of a usual name, or the only one.
        where: the file, for sentences.

    Raises:
        StoreError: if there is none, or several and none of a usual name.
    """
    listed = excerpt(", ".join(names)) or "nothing"
    if column is not None:
        if column in names:
            return column
        raise StoreError(f"{where} has no {shown(column)}; it has {listed}")
    usual = [name for name in EMBEDDING_NAMES if name in names]
    if usual or len(names) == 1:
        return usual[0] if usual else names[0]
    raise StoreError(
        f"{where} has no {EMBEDDING_NAMES[0]!r}; name one of {listed} "
        "(identities.column in a configuration, --column on the command line)"
    )


def first_of(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """Return the first wanted name that there is."""
    return next((name for name in wanted if name in names), None)


_SAVED = ("state.json", "dataset_dict.json")
"""Files by which a folder of `save_to_disk` is known."""

_LONGEST_TEXT = 10_000
"""Bytes of a text beside an embedding at most."""

_NUMBER = 4
"""Bytes of a number of an embedding, at least as it is read."""


def read_parquet(path: Path, column: str | None, naming: Naming = FIND_OUT) -> RawStore:
    """Read a Parquet file.

    Raises:
        StoreError: if it is no Parquet file, its columns do not serve, or it is not sure who is
            who.
    """
    with reading(path, StoreError), pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        name = choose_column(_candidates(schema), column, str(path))
        _refuse_packed_column(file.metadata, name, str(path))
        beside = _about_people(schema, name, naming)
    texts = [other for other in beside if _is_text(schema.field(other).type)]
    with reading(path, StoreError), pq.ParquetFile(path, read_dictionary=texts) as file:
        table = file.read(columns=[name, *beside])
        table.validate(full=True)
        _refuse_long(table, texts, str(path))
    text = (schema.metadata or {}).get(ABOUT_KEY.encode())
    about = None if text is None else StoreAbout.from_json(text, str(path))
    raw = _from_table(table, name, str(path), naming, about)
    return replace(raw, references=read_references(path))


def read_dataset(path: Path, column: str | None, naming: Naming = FIND_OUT) -> RawStore:
    """Read the folder of a dataset of Hugging Face; its splits become the splits of the people.

    Raises:
        StoreError: if the folder holds no dataset, its columns do not serve, or it is not sure who
            is who.
    """
    parts = _dataset_parts(path)
    schema = next(iter(parts.values())).features.arrow_schema
    name = choose_column(_candidates(schema), column, str(path))
    kept = [name, *_about_people(schema, name, naming)]
    with reading(path, StoreError):
        tables = [
            _with_split(
                part.select_columns(kept).with_format("arrow")[:], split, alone=len(parts) == 1
            )
            for split, part in parts.items()
        ]
        table = pa.concat_tables(tables)
        table.validate(full=True)
    return _from_table(table, name, str(path), naming, None)


def to_table(
    embeddings: np.ndarray,
    identity_ids: Sequence[str],
    about: StoreAbout,
    splits: Sequence[str] | None,
    photos: Sequence[str | None] | None,
) -> pa.Table:
    """Return a store as a table, without its pictures; what it says about itself is metadata."""
    flat = pa.array(embeddings.reshape(-1), type=pa.float32())
    columns: dict[str, pa.Array] = {
        "identity_id": pa.array(identity_ids, type=pa.string()),
        "embedding": pa.FixedSizeListArray.from_arrays(flat, FACEID_WIDTH),
    }
    if photos is not None:
        columns["photo"] = pa.array(photos, type=pa.string())
    if splits is not None:
        columns["split"] = pa.array(splits, type=pa.string())
    return pa.table(columns).replace_schema_metadata({ABOUT_KEY: about.to_json()})


def _dataset_parts(path: Path) -> dict[str, Any]:
    from datasets import DatasetDict, disable_progress_bars, load_dataset, load_from_disk

    disable_progress_bars()
    saved = any((path / name).exists() for name in _SAVED)
    if not saved and (fault := folder_fault(path)):
        raise StoreError(f"{path} cannot be read as a dataset: {fault}")
    try:
        for file in sorted(path.rglob("*")):
            if not file.is_dir():
                _check_part(file)
        found = load_from_disk(str(path)) if saved else load_dataset(str(path))
    except StoreError:
        raise
    except Exception as error:  # of its readers, of whatever lies in the folder
        raise StoreError(f"{path} cannot be read as a dataset: {first_line(error)}") from error
    parts = found if isinstance(found, DatasetDict) else {"train": found}
    return {str(name): part for name, part in parts.items()}


def _check_part(path: Path) -> None:
    """Refuse a pipe, which would be waited for, and a table that would become very many bytes."""
    check_file(path)
    if path.suffix != ".parquet":
        return
    with reading(path, StoreError), pq.ParquetFile(path) as file:
        for name in _candidates(file.schema_arrow):
            _refuse_packed_column(file.metadata, name, str(path))


def _refuse_packed_column(metadata: pq.FileMetaData, name: str, where: str) -> None:
    """Refuse a column of few bytes that would become very many numbers."""
    stored = meant = 0
    for group in range(metadata.num_row_groups):
        for place in range(metadata.num_columns):
            part = metadata.row_group(group).column(place)
            if f"{part.path_in_schema}.".startswith(f"{name}."):
                stored += part.total_compressed_size
                meant += part.num_values * _NUMBER
    refuse_packed(stored, meant, f"{where}: column {excerpt(name)!r}")


def _refuse_long(table: pa.Table, texts: Sequence[str], where: str) -> None:
    """Refuse texts that would take much more memory than the file does."""
    for name in texts:
        for chunk in table.column(name).chunks:
            words = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
            lengths = pc.call_function("binary_length", [words.drop_null()])
            longest = lengths.to_numpy(zero_copy_only=False).max(initial=0)
            if longest > _LONGEST_TEXT:
                raise StoreError(
                    f"{where}: column {excerpt(name)!r} holds a text of {longest:,} bytes; at most "
                    f"{_LONGEST_TEXT:,} are read"
                )


def _with_split(table: pa.Table, split: str, *, alone: bool) -> pa.Table:
    """Let rows say their split; that of a dataset with one split parts nobody.

    Rows that say other splits than the dataset has keep them.
    """
    named = first_of(table.column_names, SPLIT_NAMES)
    if alone:
        says_it = named is not None and table.column(named).unique().to_pylist() == [split]
        return table.drop_columns([str(named)]) if says_it else table
    if named is not None:
        return table
    return table.append_column("split", pa.array([split] * len(table), type=pa.string()))


def _from_table(
    table: pa.Table, name: str, where: str, naming: Naming, about: StoreAbout | None
) -> RawStore:
    beside = {
        other: _values(table.column(other))
        for other in table.column_names
        if other != name and other not in SPLIT_NAMES
    }
    values = _embeddings(table.column(name), name, where)
    return RawStore(
        values=values,
        ids=people_of(beside, len(values), naming, where),
        splits=_texts(table, SPLIT_NAMES, where),
        photos=table.column("photo").to_pylist() if "photo" in table.column_names else None,
        about=about,
    )


def _values(column: pa.ChunkedArray) -> Sequence[object] | np.ndarray:
    """Return a column of floating-point numbers as an array, and any other one as a list."""
    if pa.types.is_floating(column.type):
        return column.to_numpy()
    values: list[object] = column.to_pylist()
    return values


def _embeddings(column: pa.ChunkedArray, name: str, where: str) -> np.ndarray:
    if not _is_list(column.type):
        raise StoreError(
            f"{where}: column {excerpt(name)!r} holds {excerpt(column.type)}; it must hold lists "
            f"of {FACEID_WIDTH} numbers"
        )
    if not len(column):
        return np.empty((0, FACEID_WIDTH), dtype=np.float32)
    _refuse_null(column, f"column {name!r}", where)
    # Widths first: a row of another width would shift every row after it.
    rows = column.combine_chunks()
    widths = _widths(rows)
    for row in np.flatnonzero(widths != FACEID_WIDTH)[:1].tolist():
        refuse_width(row, int(widths[row]), where)
    return rows.flatten().to_numpy(zero_copy_only=False).reshape(-1, FACEID_WIDTH)


def _widths(rows: pa.Array) -> np.ndarray:
    if pa.types.is_fixed_size_list(rows.type):
        return np.full(len(rows), rows.type.list_size)
    return rows.value_lengths().to_numpy(zero_copy_only=False)


def _texts(table: pa.Table, names: Sequence[str], where: str) -> list[str] | None:
    name = first_of(table.column_names, names)
    if name is None:
        return None
    _refuse_null(table.column(name), f"column {name!r}", where)
    values: list[object] = table.column(name).to_pylist()
    return [str(value) for value in values]


def _refuse_null(column: pa.ChunkedArray, what: str, where: str) -> None:
    for row in np.flatnonzero(column.is_null().to_numpy())[:1].tolist():
        raise StoreError(f"{where}: row {row} (from 0) is empty in {what}")


def _candidates(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if _is_list(field.type)] or list(schema.names)


def _about_people(schema: pa.Schema, embeddings: str, naming: Naming) -> list[str]:
    """Return the columns that say who is who, or may, and those of splits and photos."""
    beside = [name for name in schema.names if name not in (embeddings, *SPLIT_NAMES)]
    settled = settled_names(beside, naming)
    if settled is None or not set(settled) <= set(beside):
        settled = [name for name in beside if _may_name(schema.field(name))]
    others = (first_of(schema.names, SPLIT_NAMES), "photo" if "photo" in beside else None)
    return list(dict.fromkeys([*settled, *(name for name in others if name is not None)]))


def _may_name(field: pa.Field) -> bool:
    """Return whether a column may name people: floating-point ones only where it is called so."""
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_floating(kind):
        return names_people(field.name)
    return _is_text(kind) or pa.types.is_integer(kind)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_list(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
