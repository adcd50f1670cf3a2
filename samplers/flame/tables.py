"""Columns of files that hold FLAME numbers and AUs of users' own; foreign files, within bounds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from samplers.flame.bank_file import LARGEST, refuse_packed
from samplers.identities.store_tables import look_at_npy, read_npz
from synthgen.errors import BankError, StoreError
from synthgen.foreign import excerpt, reading, regular_file

ALONE = ""
"""Name of the array of a file that holds one alone."""

_PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")
_KINDS = "fiuU"
"""Arrays of numbers and of texts, as numpy calls them."""

_MOST_COLUMNS = 10_000
_TEXTS = ("source", "flame_source", "sha256")
"""Columns of texts that are read from a table."""


def read_columns(path: Path) -> dict[str, np.ndarray]:
    """Read the columns of a file: arrays [rows] of numbers or texts, and [rows, width] of numbers.

    What is of another kind is left out.

    Raises:
        BankError: if the file is missing, of another kind, or cannot be read.
    """
    if path.suffix in _PICKLES:
        raise BankError(
            f"{excerpt(path)} is a pickle, which can hold more than numbers; save its arrays as "
            ".npz first"
        )
    if path.suffix not in _READERS:
        raise BankError(
            f"{excerpt(path)} is no file of FLAME numbers; it must end in {', '.join(_READERS)}"
        )
    regular_file(path, "the file", BankError, LARGEST)
    with reading(path, BankError), _of_a_bank():
        found = _READERS[path.suffix](path)
    if not found:
        raise BankError(f"{excerpt(path)} holds no arrays of numbers")
    return found


@contextmanager
def _of_a_bank() -> Iterator[None]:
    """Turn what readers of arrays say of stores into errors of banks."""
    try:
        yield
    except StoreError as error:
        raise BankError(str(error)) from error


def _read_npy(path: Path) -> dict[str, np.ndarray]:
    values = look_at_npy(path).load()
    return {ALONE: values} if values.dtype.kind in _KINDS else {}


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    loaded = {
        name: array.load() for name, array in read_npz(path).items() if len(array.shape) in (1, 2)
    }
    for name, values in loaded.items():
        if values.dtype.hasobject:
            raise BankError(
                f"{excerpt(path)}: {excerpt(name)!r} holds Python objects, which unpickling alone "
                "reads; save it as numbers or texts"
            )
    found = {name: values for name, values in loaded.items() if values.dtype.kind in _KINDS}
    return {ALONE: next(iter(found.values()))} if len(found) == 1 else found


def _read_csv(path: Path) -> dict[str, np.ndarray]:
    from pyarrow import csv

    table = csv.read_csv(path)
    names = [name.strip() for name in table.column_names]
    return _columns(table.rename_columns(names), path)


def _read_parquet(path: Path) -> dict[str, np.ndarray]:
    with pq.ParquetFile(path) as file:
        refuse_packed(file.metadata, path)
        kept = [
            field.name
            for field in file.schema_arrow
            if _width(field.type) or _is_number(field.type) or field.name in _TEXTS
        ]
        table = file.read(columns=kept)
    table.validate(full=True)
    return _columns(table, path)


def _columns(table: pa.Table, path: Path) -> dict[str, np.ndarray]:
    names = table.column_names
    if len(names) > _MOST_COLUMNS:
        raise BankError(f"{excerpt(path)} has {len(names):,} columns; at most {_MOST_COLUMNS:,}")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BankError(f"{excerpt(path)}: column {excerpt(twice)!r} stands there twice")
    found = {}
    for name, column in zip(names, table.columns, strict=True):
        if _width(column.type):
            found[name] = _vectors(column.combine_chunks(), name, path)
        elif _is_number(column.type):
            found[name] = column.to_numpy()
        elif name in _TEXTS:
            found[name] = np.array([str(value) for value in column.to_pylist()])
    return found


def _vectors(column: pa.Array, name: str, path: Path) -> np.ndarray:
    """Return a column of lists, which must be as long as each other, without empty places."""
    where = f"{excerpt(path)}: column {excerpt(name)!r}"
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise BankError(f"{where}: row {row} (from 0) is empty")
    if pa.types.is_fixed_size_list(column.type):
        widths = np.full(len(column), column.type.list_size)
    else:
        widths = column.value_lengths().to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(widths != widths[:1])[:1].tolist():
        raise BankError(
            f"{where}: row {row} (from 0) has {widths[row]} numbers, and row 0 has {widths[0]}; "
            "rows must be as long as each other"
        )
    flat = column.flatten()
    if flat.null_count:
        raise BankError(f"{where} has empty places; every number must be there")
    return flat.to_numpy(zero_copy_only=False).reshape(len(column), -1)


def _width(kind: pa.DataType) -> bool:
    """Return whether a column holds lists of numbers."""
    lists = (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
    return lists and _is_number(kind.value_type)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)


_READERS: dict[str, Callable[[Path], dict[str, np.ndarray]]] = {
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
