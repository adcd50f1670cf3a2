"""Reference images: pictures of people that are edited, and the columns of a store that keep them.

A store keeps pictures only where it was asked to. They are read one at a time, when they are used,
so that a store of thousands of people takes little memory. Its columns, the encoded picture of a
row's person and its name, bear the names of those of a dataset; rows without a picture have nulls.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from synthgen.dataset.schema import REFERENCE, REFERENCE_ID
from synthgen.errors import StoreError
from synthgen.foreign import reading, shown

ROWS_PER_GROUP = 8
"""Rows of a store that are read for the sake of one picture."""

_DIGITS = 16
_NAME = re.compile(rf"[0-9a-f]{{{_DIGITS}}}")
_LARGEST = 16 << 20
_LARGEST_GROUP = 256 << 20


class ReferenceImage:
    """A picture of a person that is to be edited, aligned as those of FFHQ are.

    Two are equal that have one name: it follows from the bytes.

    Args:
        reference_id: name of the picture.
        data: the encoded picture, or what reads it.

    Attributes:
        reference_id: the first 16 hexadecimal digits of the SHA-256 of its bytes.
    """

    __slots__ = ("_data", "reference_id")

    def __init__(self, reference_id: str, data: bytes | Callable[[], bytes]) -> None:
        self.reference_id = reference_id
        self._data = data

    @classmethod
    def of(cls, data: bytes) -> "ReferenceImage":
        """Name an encoded picture."""
        return cls(name_of(data), data)

    @property
    def data(self) -> bytes:
        """The encoded picture; read anew each time where it lies in a store.

        Raises:
            StoreError: if the store was changed or cannot be read.
        """
        return self._data if isinstance(self._data, bytes) else self._data()

    def __eq__(self, other: object) -> bool:
        """Return whether both are the same picture."""
        return isinstance(other, ReferenceImage) and self.reference_id == other.reference_id

    def __hash__(self) -> int:
        """Return a hash of the name."""
        return hash(self.reference_id)

    def __repr__(self) -> str:
        """Show the name; pictures are long."""
        return f"ReferenceImage({self.reference_id!r})"


def name_of(data: bytes) -> str:
    """Return the name of an encoded picture."""
    return sha256(data).hexdigest()[:_DIGITS]


def with_pictures(rows: pa.Table, references: Sequence[ReferenceImage | None]) -> pa.Table:
    """Return rows of a store with the columns that keep their pictures, which are read here."""
    names = pa.array([one and one.reference_id for one in references], type=pa.string())
    pictures = pa.array([one and one.data for one in references], type=pa.large_binary())
    return rows.append_column(REFERENCE_ID, names).append_column(REFERENCE, pictures)


def read_references(path: Path) -> list[ReferenceImage | None] | None:
    """Return the pictures of the rows of a Parquet file, unread; None where it keeps none.

    Raises:
        StoreError: if their columns are of another kind, or a name is none.
    """
    with reading(path, StoreError), pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        if not _keeps_pictures(schema):
            return None
        names = file.read(columns=[REFERENCE_ID]).column(0).to_pylist()
        groups = [file.metadata.row_group(place).num_rows for place in range(file.num_row_groups)]
    for row, name in enumerate(names):
        if name is not None and not _NAME.fullmatch(name):
            raise StoreError(
                f"{path}: row {row} (from 0) has the {REFERENCE_ID} {shown(name)}; it must be the "
                f"first {_DIGITS} hexadecimal digits of the picture's SHA-256"
            )
    places = [(group, row) for group, rows in enumerate(groups) for row in range(rows)]
    return [
        None if name is None else ReferenceImage(name, partial(_read_one, path, *place, name))
        for name, place in zip(names, places, strict=True)
    ]


def _keeps_pictures(schema: pa.Schema) -> bool:
    """Return whether a table keeps pictures, by names and types: others may name columns so."""
    kinds = {field.name: field.type for field in schema}
    return (
        kinds.get(REFERENCE) in (pa.binary(), pa.large_binary())
        and kinds.get(REFERENCE_ID) == pa.string()
    )


def _read_one(path: Path, group: int, row: int, name: str) -> bytes:
    with reading(path, StoreError), pq.ParquetFile(path) as file:
        size = _size(file.metadata.row_group(group), REFERENCE)
        if size > _LARGEST_GROUP:
            raise StoreError(
                f"{path} holds {size:,} bytes of reference images in one row group; at most "
                f"{_LARGEST_GROUP:,} are read: write it again with {ROWS_PER_GROUP} rows each"
            )
        data = file.read_row_group(group, columns=[REFERENCE]).column(0)[row].as_py()
    if data is None or len(data) > _LARGEST or name_of(data) != name:
        raise StoreError(
            f"{path}: the reference image {name} is not what its name says; the file was changed: "
            "make it again with synthgen faces embed --keep-images"
        )
    return data


def _size(group: pq.RowGroupMetaData, name: str) -> int:
    columns = [group.column(place) for place in range(group.num_columns)]
    return sum(c.total_uncompressed_size for c in columns if c.path_in_schema == name)
