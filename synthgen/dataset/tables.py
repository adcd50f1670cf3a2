"""A dataset as one pandas table, with names in place of numbers and lists."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from synthgen.config.run import run_id_of
from synthgen.dataset.markers import read_markers
from synthgen.dataset.merging.sources import Source
from synthgen.dataset.opening import reached
from synthgen.dataset.run_record import read_record
from synthgen.dataset.schema import (
    AUS_MEASURED,
    DATA_VERSION,
    arrow_schema,
    data_features,
    image_columns,
)
from synthgen.dataset.statistics import in_order_of_splits

if TYPE_CHECKING:
    import pandas

_LISTS = ("aus", AUS_MEASURED)
"""Columns in whose place each AU has one of its own."""


def to_pandas(dataset: str, images: bool = False) -> "pandas.DataFrame":
    """Read the samples of all splits, a row each.

    `emotion_name` and `split` are text, each AU has a column of what was asked for (`AU06`) and one
    of what was measured (`AU06_measured`), and each identity slot has one (`identity.age`),
    whatever version wrote the dataset and whatever its `output.au_columns`. Numbers and truth
    values without a value are `pandas.NA`.

    Args:
        dataset: folder or URL of the dataset; finished shards are read.
        images: read the images too, as the bytes of their files.

    Raises:
        DatasetError: if there is no such dataset, or a file of it is missing or corrupt.
    """
    import pandas

    storage = reached(dataset)
    record = read_record(storage)
    markers = in_order_of_splits(record, read_markers(storage).values())
    source = Source("", storage, record, run_id_of(record.configuration), tuple(markers))
    features = data_features(replace(record.schema, au_columns=True, data_version=DATA_VERSION))
    pictures = image_columns(features)
    left_out = (*_LISTS, *(() if images else pictures))
    features = {name: feature for name, feature in features.items() if name not in left_out}
    tables = [table for marker in markers for table in source.rows(marker, features)]
    table = pa.concat_tables([arrow_schema(features).empty_table(), *tables])
    for name in pictures if images else ():
        place = table.schema.get_field_index(name)
        files = [chunk.flatten()[0] for chunk in table.column(place).chunks]
        table = table.set_column(place, name, pa.chunked_array(files, pa.binary()))
    kinds = {
        pa.int64(): pandas.Int64Dtype(),
        pa.int32(): pandas.Int32Dtype(),
        pa.bool_(): pandas.BooleanDtype(),
    }
    return table.flatten().replace_schema_metadata(None).to_pandas(types_mapper=kinds.get)
