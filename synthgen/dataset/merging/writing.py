"""Write the rows of a merged dataset: shards of its splits, each with its marker."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa

from synthgen.dataset import layout
from synthgen.dataset.features import Feature
from synthgen.dataset.markers import FileStamp, ShardMarker, now
from synthgen.dataset.merging.choosing import Choice, shards_of
from synthgen.dataset.merging.sources import Source
from synthgen.dataset.parquet import BYTES_PER_GROUP, encode_tables
from synthgen.dataset.shards import ERROR
from synthgen.dataset.storage import Storage

SHARD_ROWS = 2000
"""Rows of a shard, at most; and no more than `BYTES_PER_GROUP` bytes but for its last rows."""


def write_rows(
    storage: Storage,
    sources: Sequence[Source],
    choice: Choice,
    features: Mapping[str, Feature],
    reject_features: Mapping[str, Feature],
) -> None:
    """Write data, rejects and marker of every shard, split by split, source by source.

    Raises:
        OutputError: if a file cannot be written.
        DatasetError: if a source cannot be read.
    """
    for split in choice.splits:
        shard = _Shard(storage, split, features, reject_features)
        for number, place, source, marker in shards_of(sources):
            wanted = choice.in_split(number, place, split)
            start = 0
            for table in source.rows(marker, features) if wanted.any() else ():
                stop = start + table.num_rows
                shard.add(table.filter(pa.array(wanted[start:stop])))
                start = stop
            for table in source.rejects(marker, reject_features):
                there = choice.rejects_in_split(number, table, split, marker.split)
                shard.add_rejects(table.filter(pa.array(there)))
        shard.commit()


class _Shard:
    """The shard of a split that is being filled."""

    def __init__(
        self,
        storage: Storage,
        split: str,
        features: Mapping[str, Feature],
        reject_features: Mapping[str, Feature],
    ) -> None:
        self._storage, self._split = storage, split
        self._features, self._reject_features = features, reject_features
        self._number = self._start = 0
        self._rows: list[pa.Table] = []
        self._rejects: list[pa.Table] = []

    def add(self, table: pa.Table) -> None:
        """Take in rows; commit the shard when it is full."""
        while table.num_rows:
            room = SHARD_ROWS - sum(part.num_rows for part in self._rows)
            self._rows.append(table.slice(0, room))
            table = table.slice(room)
            self._commit_if_full(self._rows)

    def add_rejects(self, table: pa.Table) -> None:
        """Take in rejected attempts; so many rejects, too, fill a shard."""
        if table.num_rows:
            self._rejects.append(table)
            self._commit_if_full(self._rejects, 10)

    def _commit_if_full(self, parts: Sequence[pa.Table], times: int = 1) -> None:
        rows = sum(part.num_rows for part in parts)
        if rows >= times * SHARD_ROWS or sum(part.nbytes for part in parts) >= BYTES_PER_GROUP:
            self.commit()

    def commit(self) -> None:
        """Write the shard, unless it is empty, and begin the next one."""
        if not (self._rows or self._rejects):
            return
        key = self._split, self._number
        contents = {
            layout.data_file(*key): encode_tables(self._features, self._rows),
            layout.reject_file(*key): encode_tables(self._reject_features, self._rejects),
        }
        for name, data in contents.items():
            self._storage.write(name, data)
        rows = sum(part.num_rows for part in self._rows)
        accepted = sum(sum(part["accepted"].to_pylist()) for part in self._rows)
        reasons = Counter(reason for part in self._rejects for reason in part["reason"].to_pylist())
        marker = ShardMarker(
            split=self._split,
            number=self._number,
            start=self._start,
            stop=self._start + rows,
            rows=rows,
            attempts=accepted + reasons.total(),
            accepted=accepted,
            rejected={reason: reasons[reason] for reason in sorted(reasons) if reason != ERROR},
            errors=reasons[ERROR],
            missing=(),
            seconds={},
            files={
                name: FileStamp(hashlib.sha256(data).hexdigest(), len(data))
                for name, data in contents.items()
            },
            finished=now(),
        )
        self._storage.write(marker.name, marker.to_json())
        self._number, self._start = self._number + 1, self._start + rows
        self._rows, self._rejects = [], []
