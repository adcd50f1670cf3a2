"""Find one sample of a dataset by its id."""

from typing import Any

import pyarrow as pa

from synthgen.dataset import layout
from synthgen.dataset.marker_reader import read_markers
from synthgen.dataset.parquet import read_columns
from synthgen.dataset.storage import Storage
from synthgen.errors import DatasetError


def find_sample(storage: Storage, sample_id: str) -> dict[str, Any]:
    """Return the row of a sample as Python values; `image` is `{"bytes": …, "path": …}`.

    Raises:
        DatasetError: if no shard that is finished holds the sample, or a data file is corrupt.
    """
    for key in read_markers(storage):
        name = layout.data_file(*key)
        ids = [batch.column(0) for batch in read_columns(storage, name, ["sample_id"])]
        place = pa.chunked_array(ids, pa.string()).index(sample_id).as_py()
        if place >= 0:
            return _row(storage, name, place)
    raise DatasetError(f"{storage.url} has no sample {sample_id!r}")


def _row(storage: Storage, name: str, place: int) -> dict[str, Any]:
    for batch in read_columns(storage, name, batch_rows=100):
        if place < batch.num_rows:
            return batch.slice(place, 1).to_pylist()[0]
        place -= batch.num_rows
    raise DatasetError(f"{name} has fewer rows than ids")
