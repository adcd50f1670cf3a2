"""Read and write face embeddings as tables: Parquet files, and datasets of Hugging Face."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from samplers.identities.embeddings import refuse_width
from samplers.identities.face_identity import FACEID_WIDTH
from samplers.identities.raw_store import (
    ID_NAMES,
    SPLIT_NAMES,
    RawStore,
    choose_column,
    first_of,
)
from samplers.identities.store_about import ABOUT_KEY, StoreAbout
from synthgen.errors import StoreError
from synthgen.foreign import first_line

_SAVED = ("state.json", "dataset_dict.json")
"""Files by which a folder of `save_to_disk` is known."""


def read_parquet(path: Path, column: str | None) -> RawStore:
    """Read a Parquet file.

    Raises:
        StoreError: if it is no Parquet file, or its columns do not serve.
    """
    try:
        schema = pq.read_schema(path)
        name = choose_column(_candidates(schema), column, str(path))
        table = pq.read_table(path, columns=[name, *_about_people(schema)])
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be read: {first_line(error)}") from error
    text = (schema.metadata or {}).get(ABOUT_KEY.encode())
    about = None if text is None else StoreAbout.from_json(text, str(path))
    return _from_table(table, name, str(path), about)


def read_dataset(path: Path, column: str | None) -> RawStore:
    """Read the folder of a dataset of Hugging Face; its splits become the splits of the people.

    Raises:
        StoreError: if the folder holds no dataset, or its columns do not serve.
    """
    tables = _dataset_tables(path)
    schema = next(iter(tables.values())).schema
    name = choose_column(_candidates(schema), column, str(path))
    kept = [name, *_about_people(schema)]
    parts = [
        _with_split(table.select(kept), split if len(tables) > 1 else None)
        for split, table in tables.items()
    ]
    return _from_table(pa.concat_tables(parts), name, str(path), None)


def to_table(
    embeddings: np.ndarray,
    identity_ids: Sequence[str],
    about: StoreAbout,
    splits: Sequence[str] | None,
    photos: Sequence[str | None] | None,
) -> pa.Table:
    """Return a store as a table, with what it says about itself in the metadata."""
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


def _dataset_tables(path: Path) -> dict[str, pa.Table]:
    from datasets import DatasetDict, disable_progress_bars, load_dataset, load_from_disk
    from datasets.exceptions import DatasetsError

    disable_progress_bars()
    saved = any((path / name).exists() for name in _SAVED)
    try:
        found = load_from_disk(str(path)) if saved else load_dataset(str(path))
    except (OSError, ValueError, RuntimeError, DatasetsError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be read as a dataset: {first_line(error)}") from error
    parts = found if isinstance(found, DatasetDict) else {"train": found}
    return {str(name): part.with_format("arrow")[:] for name, part in parts.items()}


def _with_split(table: pa.Table, split: str | None) -> pa.Table:
    if split is None or first_of(table.column_names, SPLIT_NAMES):
        return table
    return table.append_column("split", pa.array([split] * len(table), type=pa.string()))


def _from_table(table: pa.Table, name: str, where: str, about: StoreAbout | None) -> RawStore:
    return RawStore(
        values=_embeddings(table.column(name), name, where),
        ids=_texts(table, ID_NAMES, where),
        splits=_texts(table, SPLIT_NAMES, where),
        photos=table.column("photo").to_pylist() if "photo" in table.column_names else None,
        about=about,
    )


def _embeddings(column: pa.ChunkedArray, name: str, where: str) -> np.ndarray:
    if not _is_list(column.type):
        raise StoreError(
            f"{where}: column {name!r} holds {column.type}; it must hold lists of "
            f"{FACEID_WIDTH} numbers"
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


def _about_people(schema: pa.Schema) -> list[str]:
    wanted = (first_of(schema.names, ID_NAMES), first_of(schema.names, SPLIT_NAMES), "photo")
    return [name for name in wanted if name is not None and name in schema.names]


def _is_list(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
