"""Find one sample of a dataset by its id."""

from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from synthgen.dataset import layout
from synthgen.dataset.markers import read_markers
from synthgen.dataset.storage import Storage
from synthgen.errors import DatasetError


def find_sample(storage: Storage, sample_id: str) -> dict[str, Any]:
    """Return the row of a sample as Python values; `image` is `{"bytes": …, "path": …}`.

    Raises:
        DatasetError: if no shard that is finished holds the sample.
    """
    for split, number in sorted(read_markers(storage)):
        with storage.open(layout.data_file(split, number)) as file:
            shard = pq.ParquetFile(file)
            ids = shard.read(columns=["sample_id"])["sample_id"]
            place = pc.index(ids, sample_id).as_py()
            if place >= 0:
                return shard.read().slice(place, 1).to_pylist()[0]
    raise DatasetError(f"{storage.url} has no sample {sample_id!r}")
