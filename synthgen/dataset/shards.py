"""Commit shards: data, then rejects, then the marker."""

import hashlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow.parquet as pq

from synthgen.dataset import layout
from synthgen.dataset.layout import ShardKey
from synthgen.dataset.markers import FileStamp, ShardMarker, ShortStratum, now, parse_marker
from synthgen.dataset.parquet import (
    UNREADABLE,
    encode_reject_images,
    encode_rejects,
    encode_rows,
)
from synthgen.dataset.schema import DatasetSchema, Reject, RejectImage, Row
from synthgen.dataset.storage import Storage
from synthgen.errors import DatasetError
from synthgen.foreign import first_line

ERROR = "error"
"""Reason of a rejected attempt that made no image because of an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardResult:
    """Result of the work on a shard.

    Attributes:
        split: split of the shard.
        number: number of the shard in its split, from 0.
        start: first sample of the shard in the split's own numbering.
        stop: the sample after the last.
        rows: the samples that have an image, in the split's order.
        rejects: the attempts that were not kept.
        attempts: images that were asked for, errors included.
        painted: images of all batches: attempts, and what only filled a batch up.
        missing: ids of the samples that have no row; with the rows they fill start to stop.
        seconds: stage → wall time [s].
        started: when the work began, as `markers.now` says it.
        worker: host and process that did it, `host:pid`.
        hardware: kind of accelerator that did it.
        short: name of a stratum → what it lacks, for each that lacks accepted samples.
        reject_images: pictures of some of the rejects, in the order in which they are kept.
    """

    split: str
    number: int
    start: int
    stop: int
    rows: Sequence[Row]
    rejects: Sequence[Reject]
    attempts: int
    painted: int = 0
    missing: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    started: str = ""
    worker: str = ""
    hardware: str = ""
    short: Mapping[str, ShortStratum] = field(default_factory=dict)
    reject_images: Sequence[RejectImage] = ()

    def __post_init__(self) -> None:
        ids = {row.sample_id for row in self.rows} | set(self.missing)
        if not len(ids) == len(self.rows) + len(self.missing) == self.stop - self.start:
            raise ValueError(
                f"shard {self.split}-{self.number:05d} of {self.stop - self.start} samples has "
                f"{len(self.rows)} rows and {len(self.missing)} missing, {len(ids)} ids in all"
            )


def commit_shard(storage: Storage, schema: DatasetSchema, result: ShardResult) -> ShardMarker:
    """Write the files of a shard, the marker last; another shard of that name is replaced.

    The files are a function of the rows; the marker also holds timings, those of the result and
    `write`: making and writing the files. So a shard may be committed twice, even
    at the same time and by a process that is killed: the first marker stays, and none is deleted
    that names the same files.

    Returns:
        The marker that is there now; its timings are those of the first commit.

    Raises:
        OutputError: if a file cannot be written; the shard then counts as unfinished.
        DatasetError: if a marker that is there is corrupt.
    """
    began = time.perf_counter()
    key = result.split, result.number
    files = {
        layout.data_file(*key): encode_rows(schema, result.rows, result.split),
        layout.reject_file(*key): encode_rejects(schema, result.rejects, result.split),
    }
    if result.reject_images:
        pictures = encode_reject_images(schema, result.reject_images, result.split)
        files[layout.reject_image_file(*key)] = pictures
    stamps = {
        name: FileStamp(hashlib.sha256(data).hexdigest(), len(data)) for name, data in files.items()
    }
    found = _marker_there(storage, key)
    if found is not None and found.files == stamps and all(map(storage.exists, files)):
        return found
    if found is not None and found.files != stamps:
        storage.delete(found.name)
    for name, data in files.items():
        storage.write(name, data)
    marker = _marker(result, stamps, time.perf_counter() - began)
    storage.write(marker.name, marker.to_json())
    return marker


def verify_shard(storage: Storage, marker: ShardMarker) -> list[str]:
    """Compare the files of a finished shard with its marker.

    Returns:
        One sentence for each file that is missing, of another content, or has other rows.
    """
    problems = []
    for name, stamp in marker.files.items():
        try:
            problems += _verify_file(storage, name, stamp, marker.rows_of_files[name])
        except DatasetError as error:
            problems.append(str(error))
    return problems


def _marker_there(storage: Storage, key: ShardKey) -> ShardMarker | None:
    name = layout.marker_file(*key)
    return parse_marker(name, storage.read(name)) if storage.exists(name) else None


def _verify_file(storage: Storage, name: str, stamp: FileStamp, rows: int) -> list[str]:
    if (found := storage.sha256(name)) != stamp.sha256:
        return [f"{name} has sha256 {found[:12]}…; its marker says {stamp.sha256[:12]}…"]
    with storage.open(name) as file:
        try:
            found_rows = pq.read_metadata(file).num_rows
        except UNREADABLE as error:
            return [f"{name} is not Parquet: {first_line(error)}"]
    return [] if found_rows == rows else [f"{name} has {found_rows} rows; its marker says {rows}"]


def _marker(result: ShardResult, files: Mapping[str, FileStamp], writing: float) -> ShardMarker:
    reasons = Counter(reject.reason for reject in result.rejects)
    return ShardMarker(
        split=result.split,
        number=result.number,
        start=result.start,
        stop=result.stop,
        rows=len(result.rows),
        attempts=result.attempts,
        accepted=sum(row.accepted is not False for row in result.rows),
        rejected={reason: reasons[reason] for reason in sorted(reasons) if reason != ERROR},
        errors=reasons[ERROR],
        missing=result.missing,
        seconds={**result.seconds, "write": round(writing, 3)},
        files=files,
        started=result.started,
        finished=now(),
        worker=result.worker,
        hardware=result.hardware,
        painted=result.painted,
        short=result.short,
        reject_images=len(result.reject_images),
    )
