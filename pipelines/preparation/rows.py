"""Rows of a prepared dataset and of what was dropped, as Parquet."""

from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.preparation.corrections import Corrected
from pipelines.preparation.looking import Seen
from pipelines.preparation.source import Drop
from synthgen.action_units import AUS
from synthgen.dataset.parquet import encode_tables
from synthgen.dataset.schema import (
    AUS_MEASURED,
    Feature,
    arrow_schema,
    image_feature,
    value_feature,
    vector_feature,
)

PHOTO = "photo"
"""Column of how probable a model found it that a picture is a photograph [0, 1]."""

DROP_FEATURES: Mapping[str, Feature] = {
    "split": value_feature("string"),
    "file": value_feature("string"),
    "frame": value_feature("int64"),
    "step": value_feature("string"),
    "reason": value_feature("string"),
}
"""Columns of what was dropped."""


def row_features(
    further: Mapping[str, Feature], *, photo: bool, measured: bool
) -> dict[str, Feature]:
    """Return the columns of a prepared dataset.

    Args:
        further: columns that its source adds.
        photo: whether a model was asked for photographs.
        measured: whether AUs were measured, so that what was measured stands beside them.
    """
    return {
        "image": image_feature(),
        "aus": vector_feature(len(AUS)),
        "caption": value_feature("string"),
        "source": value_feature("string"),
        "subject": value_feature("string"),
        "provenance": {
            "file": value_feature("string"),
            "frame": value_feature("int64"),
            "labels": value_feature("string"),
            "captioned_by": value_feature("string"),
        },
        **({AUS_MEASURED: vector_feature(len(AUS))} if measured else {}),
        **({PHOTO: value_feature("float32")} if photo else {}),
        **further,
    }


def encode_seen(
    seen: Sequence[Seen], source: str, measured_by: str, features: Mapping[str, Feature]
) -> bytes:
    """Encode pictures that are kept so far; `aus` of measured ones is not corrected yet."""
    rows = [_values(one, source, measured_by, features) for one in seen]
    return encode_tables(features, [pa.Table.from_pylist(rows, schema=arrow_schema(features))])


def encode_drops(drops: Iterable[Drop]) -> bytes:
    """Encode what was dropped."""
    rows = [{name: getattr(drop, name) for name in DROP_FEATURES} for drop in drops]
    schema = arrow_schema(DROP_FEATURES)
    return encode_tables(DROP_FEATURES, [pa.Table.from_pylist(rows, schema=schema)])


def read_table(data: bytes) -> pa.Table:
    """Read what `encode_seen` wrote."""
    return pq.ParquetFile(BytesIO(data)).read()


def vectors(table: pa.Table) -> np.ndarray:
    """Return the AU vectors of rows [n, 12], as float64."""
    column = table.column("aus").combine_chunks()
    flat = column.flatten() if len(column) else pa.array([], pa.float32())
    return flat.to_numpy(zero_copy_only=False).astype(np.float64).reshape(len(column), len(AUS))


def with_corrected(table: pa.Table, corrected: Corrected) -> pa.Table:
    """Put corrected vectors in the place of measured ones, and leave out what shows too little."""
    place = table.schema.get_field_index("aus")
    field = table.schema.field(place)
    values = pa.array(corrected.aus.astype(np.float32).ravel(), pa.float32())
    column = pa.FixedSizeListArray.from_arrays(values, len(AUS)).cast(field.type)
    return table.set_column(place, field, column).filter(pa.array(corrected.kept))


def _values(
    one: Seen, source: str, measured_by: str, features: Mapping[str, Feature]
) -> dict[str, Any]:
    item = one.item
    aus = one.measured if item.aus is None else item.aus
    values: dict[str, Any] = {
        "image": {"bytes": one.data, "path": f"{item.name}.{one.ending}"},
        "aus": aus,
        "caption": one.caption,
        "source": source,
        "subject": item.subject,
        "provenance": {
            "file": item.file,
            "frame": item.frame,
            "labels": measured_by if item.aus is None else item.labels,
            "captioned_by": one.captioned_by,
        },
        AUS_MEASURED: one.measured or (None,) * len(AUS),  # Arrow reads no null of a fixed length
        PHOTO: one.photo,
        **item.more,
    }
    return {name: values[name] for name in features}
