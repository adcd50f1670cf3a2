"""Look a dataset over: what it holds, and whether it is whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc

from synthgen.dataset import layout
from synthgen.dataset.layout import ShardKey
from synthgen.dataset.markers import ShardMarker, parse_marker
from synthgen.dataset.parquet import read_columns
from synthgen.dataset.reaching import reached
from synthgen.dataset.run_record import RunRecord, read_record
from synthgen.dataset.shards import verify_shard
from synthgen.dataset.statistics import Statistics, count
from synthgen.dataset.storage import Storage
from synthgen.errors import DatasetError

_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What was found in a dataset.

    Attributes:
        url: where it lies.
        name: its name in the configuration.
        samples: samples that its run asks for.
        shards: finished shards.
        statistics: counts over the shards that are whole.
        problems: one sentence for each thing that is wrong; empty for a whole dataset.
    """

    url: str
    name: str
    samples: int
    shards: int
    statistics: Statistics
    problems: tuple[str, ...]


def inspect_dataset(url: str) -> Inspection:
    """Verify the checksums of a dataset, look for what is missing or twice, and count.

    Raises:
        DatasetError: if there is no dataset, or its record is corrupt.
    """
    storage = reached(url)
    record = read_record(storage)
    markers, problems = _readable_markers(storage)
    if storage.exists(layout.MERGING):
        again = "run the same `synthgen merge` again, which begins anew"
        problems.append(f"a merge was cut off here; {again}")
    problems += _half_shards(storage, set(markers))
    problems += _gaps(record, list(markers.values()))
    whole = []
    for marker in markers.values():
        found = verify_shard(storage, marker)
        problems += found
        whole += [] if found else [marker]
    problems += _duplicates(storage, whole)
    problems += _shared_identities(storage, whole)
    return Inspection(
        url=url,
        name=str(record.configuration.get("name", "")),
        samples=record.samples,
        shards=len(markers),
        statistics=count(storage, record, whole),
        problems=tuple(problems),
    )


def _readable_markers(storage: Storage) -> tuple[dict[ShardKey, ShardMarker], list[str]]:
    markers, problems = {}, []
    for name in storage.names(layout.MARKERS):
        if layout.shard_of(name):
            try:
                marker = parse_marker(name, storage.read(name))
                markers[marker.key] = marker
            except DatasetError as error:
                problems.append(str(error))
    return dict(sorted(markers.items())), problems


def _half_shards(storage: Storage, finished: set[ShardKey]) -> list[str]:
    problems = []
    for folder in layout.FOLDERS:
        for name in storage.names(folder):
            if layout.is_temporary(name):
                problems.append(f"{name} is what was left of an interrupted write")
            elif folder in (layout.DATA, layout.REJECTS):
                key = layout.shard_of(name)
                if key is not None and key not in finished:
                    problems.append(f"{name} belongs to a shard that is not finished: no marker")
    return problems


def _gaps(record: RunRecord, markers: Sequence[ShardMarker]) -> list[str]:
    problems = []
    for split, shards in groupby(markers, key=lambda marker: marker.split):
        number, stop = 0, 0
        for marker in shards:
            if marker.number != number:
                missing = ", ".join(f"{split}-{i:05d}" for i in range(number, marker.number))
                problems.append(f"shards missing before {marker.name}: {missing}")
            elif marker.start != stop:
                problems.append(
                    f"{marker.name} starts at {marker.start}; the shard before it stops at {stop}"
                )
            number, stop = marker.number + 1, marker.stop
    covered = sum(marker.stop - marker.start for marker in markers)
    if covered != record.samples:
        problems.append(
            f"the run asks for {record.samples} samples; finished shards cover {covered}"
        )
    return problems


def _duplicates(storage: Storage, markers: Sequence[ShardMarker]) -> list[str]:
    ids = _column(storage, markers, "sample_id")
    counted = pc.value_counts(ids)  # pyright: ignore[reportAttributeAccessIssue]
    more_than_once = pc.greater(counted.field("counts"), 1)  # pyright: ignore
    twice = counted.field("values").filter(more_than_once).to_pylist()
    return [f"sample ids that stand more than once: {_list(twice)}"] if twice else []


def _shared_identities(storage: Storage, markers: Sequence[ShardMarker]) -> list[str]:
    home: dict[str, str] = {}
    shared: set[str] = set()
    for split, shards in groupby(markers, key=lambda marker: marker.split):
        identities = _column(storage, list(shards), "identity_id").unique().to_pylist()
        shared.update(name for name in identities if home.setdefault(name, split) != split)
    return [f"identities in more than one split: {_list(sorted(shared))}"] if shared else []


def _column(storage: Storage, markers: Sequence[ShardMarker], name: str) -> pa.ChunkedArray:
    chunks = [
        batch.column(name)
        for marker in markers
        for batch in read_columns(storage, layout.data_file(*marker.key), [name])
    ]
    return pa.chunked_array(chunks, pa.string())


def _list(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
