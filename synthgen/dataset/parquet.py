"""Rows as Parquet bytes, equal for equal rows, and columns read back."""

import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synthgen.dataset.schema import (
    DISTANCE,
    EMOTION,
    EMOTION_NAME,
    SPLIT,
    DatasetSchema,
    Feature,
    Reject,
    RejectImage,
    Row,
    arrow_schema,
    au_columns,
    data_features,
    image_columns,
    leaf_columns,
    reject_features,
    reject_image_features,
)
from synthgen.dataset.storage import Storage
from synthgen.errors import DatasetError
from synthgen.foreign import first_line

ROWS_PER_GROUP = 250
BYTES_PER_GROUP = 100_000_000
"""Bounds of a row group: small enough to stream, large enough to read at speed."""

UNREADABLE = (pa.ArrowException, OSError, ValueError)
"""Errors of reading a file that is not Parquet, or is damaged."""


def encode_rows(schema: DatasetSchema, rows: Sequence[Row], split: str) -> bytes:
    """Encode the rows of a shard."""
    features = data_features(schema)
    pictures = [name for name in image_columns(features) if name != "image"]
    groups = _groups(
        rows,
        lambda row: (
            len(row.image)
            + sum(len(kept["bytes"]) for name in pictures if (kept := row.columns.get(name)))
        ),
    )
    return _encode(
        features, ([_row_values(schema, row, split) for row in group] for group in groups)
    )


def encode_rejects(schema: DatasetSchema, rejects: Sequence[Reject], split: str) -> bytes:
    """Encode the rejected attempts of a shard."""
    features = reject_features(schema)
    groups = _groups(rejects, lambda _: 0)
    return _encode(features, ([_values(schema, row, split) for row in group] for group in groups))


def encode_reject_images(schema: DatasetSchema, kept: Sequence[RejectImage], split: str) -> bytes:
    """Encode the pictures that a shard keeps of its rejected attempts."""
    features = reject_image_features(schema)
    groups = _groups(kept, lambda each: len(each.image))
    return _encode(
        features, ([_picture_values(schema, each, split) for each in group] for group in groups)
    )


def encode_tables(features: Mapping[str, Feature], tables: Sequence[pa.Table]) -> bytes:
    """Encode rows that are in Arrow's form already, in row groups that keep both bounds."""
    schema = arrow_schema(features)
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, schema, **_writer_options(features)) as writer:
        if any(table.num_rows for table in tables):
            joined = pa.concat_tables(tables)
            fitting = BYTES_PER_GROUP * joined.num_rows // max(joined.nbytes, 1)
            rows = max(1, min(ROWS_PER_GROUP, fitting))
            writer.write_table(joined, row_group_size=rows)
    return buffer.getvalue()


def stored_values(schema: DatasetSchema, rows: Sequence[Row], split: str) -> list[dict[str, Any]]:
    """Return rows as Python values, as they would be read back from a shard."""
    values = [_row_values(schema, row, split) for row in rows]
    return pa.Table.from_pylist(values, schema=arrow_schema(data_features(schema))).to_pylist()


def read_columns(
    storage: Storage,
    name: str,
    columns: Sequence[str] | None = None,
    *,
    batch_rows: int = 65_536,
) -> Iterator[pa.RecordBatch]:
    """Yield batches of at most `batch_rows` rows of a Parquet file: some columns, or all.

    Raises:
        DatasetError: if the file is missing, is not Parquet, or lacks a column.
    """
    with storage.open(name) as file:
        try:
            parquet = pq.ParquetFile(file)
            if lacking := set(columns or ()) - set(parquet.schema_arrow.names):
                raise DatasetError(f"{name} has no column {', '.join(sorted(lacking))}")
            yield from parquet.iter_batches(batch_rows, columns=columns)
        except UNREADABLE as error:
            raise DatasetError(f"{name} is not readable Parquet: {first_line(error)}") from error


def _groups(rows: Sequence[Any], weigh: Callable[[Any], int]) -> Iterator[Sequence[Any]]:
    """Cut rows into row groups that keep both bounds; a heavier row stands alone."""
    start, weight = 0, 0
    for position, row in enumerate(rows):
        weight += weigh(row)
        full = position - start == ROWS_PER_GROUP or weight > BYTES_PER_GROUP
        if full and position > start:
            yield rows[start:position]
            start, weight = position, weigh(row)
    if start < len(rows):
        yield rows[start:]


def _encode(features: Mapping[str, Feature], groups: Iterator[list[dict[str, Any]]]) -> bytes:
    schema = arrow_schema(features)
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, schema, **_writer_options(features)) as writer:
        for group in groups:
            table = pa.Table.from_pylist(group, schema=schema)
            writer.write_table(table, row_group_size=len(group))
    return buffer.getvalue()


def _writer_options(features: Mapping[str, Feature]) -> dict[str, Any]:
    """Compress and index every column but the images, which are compressed already."""
    leaves = leaf_columns(features)
    pictures = {f"{name}.bytes" for name in image_columns(features)}
    plain = [leaf for leaf in leaves if leaf not in pictures]
    return {
        "compression": {leaf: "zstd" if leaf in plain else "none" for leaf in leaves},
        "use_dictionary": plain,
        "write_statistics": plain,
        "write_page_index": True,
        "use_content_defined_chunking": True,
    }


def _row_values(schema: DatasetSchema, row: Row, split: str) -> dict[str, Any]:
    values = _values(schema, row, split)
    values["image"] = {"bytes": row.image, "path": f"{row.sample_id}.{schema.image_format}"}
    values["identity"] = {slot: row.identity[slot] for slot in schema.slots}
    return values


def _picture_values(schema: DatasetSchema, kept: RejectImage, split: str) -> dict[str, Any]:
    values = _values(schema, kept.reject, split)
    reject = kept.reject
    name = f"{reject.sample_id}-{reject.replacement}-{reject.attempt}.{schema.image_format}"
    values["image"] = {"bytes": kept.image, "path": name}
    values[DISTANCE] = kept.distance if math.isfinite(kept.distance) else None
    return values


def _values(schema: DatasetSchema, row: Row | Reject, split: str) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in row.__slots__}
    for column in schema.columns:
        values[column.name] = _stored(row.columns.get(column.name), column.feature)
    for name, (vector, place) in au_columns(schema).items():
        values[name] = values[vector][place]
    values[SPLIT], values[EMOTION_NAME] = split, row.emotion
    if schema.categories and row.emotion is not None:
        values[EMOTION] = schema.categories.index(row.emotion)
    return values


def _stored(value: Any, feature: Feature) -> Any:
    """Return a value as Arrow takes it."""
    if value is None and feature["_type"] == "List" and feature.get("length", -1) >= 0:
        # Arrow (to 25) writes a null of a fixed-length list into Parquet but cannot read it back:
        # https://github.com/apache/arrow/issues/35692. Nulls in its place are read everywhere.
        return (None,) * feature["length"]
    if isinstance(value, str) and feature["_type"] == "ClassLabel":
        return feature["names"].index(value)
    return value
