"""Label tables: one row for each image or frame, one column for each AU, in CSV files."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64
from pyarrow import csv

from samplers.priors.labels.columns import Columns, TableFormat, find_columns
from samplers.priors.labels.faults import NO_VALUE, describe_fault
from samplers.priors.labels.filters import Where, matches
from samplers.priors.labels.source import LabelBatch, Labels
from synthgen.action_units import AU_COUNT, MAX_INTENSITY, MIN_INTENSITY, au_index
from synthgen.errors import LabelsError

_BLOCK_BYTES = 1 << 20


def open_table(
    root: Path, table: TableFormat, where: Where | None = None, weights: str | None = None
) -> Labels:
    """Open a CSV file, or every CSV file below a folder.

    Args:
        root: the file or folder.
        table: how its columns are called.
        where: column → what it must hold.
        weights: column of the weights; without one each row weighs 1.

    Raises:
        LabelsError: if there is no such file, or a column is missing or stands there twice.
    """
    files = tuple(sorted(root.rglob("*.csv"))) if root.is_dir() else (root,)
    if not files:
        raise LabelsError(f"there is no .csv file below {root}")
    columns = [find_columns(path, table, where or {}, weights) for path in files]
    for path, found in zip(files, columns, strict=True):
        if found.aus.keys() != columns[0].aus.keys():
            raise LabelsError(
                f"{path} codes {', '.join(found.aus)}, and {files[0]} {', '.join(columns[0].aus)}; "
                "files of one folder must code the same AUs"
            )

    def read() -> Iterator[LabelBatch]:
        for path, found in zip(files, columns, strict=True):
            yield from _read(path, found)

    return Labels(root, files, tuple(columns[0].aus), (), read)


def _read(path: Path, columns: Columns) -> Iterator[LabelBatch]:
    types = columns.types()
    try:
        reader = csv.open_csv(
            path,
            csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            convert_options=csv.ConvertOptions(
                include_columns=list(types), column_types=types, null_values=list(NO_VALUE)
            ),
        )
        for record in reader:
            yield _batch(path, columns, record)
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise LabelsError(describe_fault(path, columns) or f"{path}: {error}") from error
    except OSError as error:
        raise LabelsError(f"cannot read the labels {path}: {error}") from error


def _batch(path: Path, columns: Columns, record: pa.RecordBatch) -> LabelBatch:
    values = {
        name: _column(record.column(position)) for position, name in enumerate(record.schema.names)
    }
    failed = np.zeros(record.num_rows, dtype=bool)
    if columns.success is not None:
        failed = values[columns.success] != 1
    wanted = np.ones(record.num_rows, dtype=bool)
    for name, value in columns.where.items():
        wanted &= matches(values[name], value)
    vectors = np.zeros((record.num_rows, AU_COUNT))
    for au, name in columns.aus.items():
        vectors[:, au_index(au)] = values[name]
    weights = np.ones(record.num_rows) if columns.weight is None else values[columns.weight]
    _check(path, columns, vectors[~failed], weights)
    blank = np.isnan(vectors).any(axis=1)
    kept = wanted & ~failed & ~blank
    left_out = {
        "other than where asks for": int((~wanted).sum()),
        "success 0": int((wanted & failed).sum()),
        "no value for some AU": int((wanted & ~failed & blank).sum()),
    }
    return LabelBatch(
        vectors[kept].astype(np.float32),
        weights[kept],
        {reason: rows for reason, rows in left_out.items() if rows},
    )


def _column(column: pa.Array) -> np.ndarray:
    if pa.types.is_string(column.type):
        texts = [None if text is None else text.strip() for text in column.to_pylist()]
        return np.array(texts, dtype=object)
    return column.fill_null(np.nan).to_numpy(zero_copy_only=False)


def _check(
    path: Path,
    columns: Columns,
    vectors: Float64[np.ndarray, "rows 12"],
    weights: Float64[np.ndarray, " all"],
) -> None:
    outside: Bool[np.ndarray, "rows 12"] = (vectors < MIN_INTENSITY) | (vectors > MAX_INTENSITY)
    if outside.any() or not (np.isfinite(weights) & (weights >= 0)).all():
        raise LabelsError(describe_fault(path, columns) or f"{path} changed while it was read")
