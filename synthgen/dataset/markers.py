"""The marker of a shard: written last, so that a shard without it is not finished."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from synthgen.dataset import json_files, layout
from synthgen.dataset.layout import ShardKey
from synthgen.errors import DatasetError


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What a file must be.

    Attributes:
        sha256: hexadecimal SHA-256 of the file.
        bytes: its size.
    """

    sha256: str
    bytes: int


class CorruptMarkerError(DatasetError):
    """A marker's file is no whole marker of its shard.

    Attributes:
        problem: what is wrong, without how it is mended.
    """

    def __init__(self, problem: str) -> None:
        """Say what is wrong, and how it is mended."""
        super().__init__(
            f"{problem}; `synthgen generate` with the dataset's configuration makes its shard again"
        )
        self.problem = problem

    def __reduce__(self) -> tuple[type["CorruptMarkerError"], tuple[str]]:
        """Travel between processes as the problem, of which the sentence is made."""
        return type(self), (self.problem,)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortStratum:
    """A stratum of which there are fewer accepted samples than were asked for.

    Attributes:
        asked: samples of it that were asked for.
        accepted: those whose image keeps the policy.
        images: images made for it.
        rejected: reason → images of it that were not accepted, errors included.
    """

    asked: int
    accepted: int
    images: int
    rejected: Mapping[str, int]

    @property
    def short(self) -> int:
        """Samples that lack an accepted image."""
        return self.asked - self.accepted


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardMarker:
    """What a finished shard holds and how it came about.

    Attributes:
        split: split of the shard.
        number: number of the shard in its split, from 0.
        start: first sample of the shard in the split's own numbering.
        stop: the sample after the last.
        rows: rows of the data file.
        attempts: images that were asked for.
        accepted: rows that keep the policy.
        rejected: reason → attempts that missed the policy.
        errors: attempts that ended in an error.
        missing: sample ids that have no row.
        seconds: stage → wall time [s].
        files: name → stamp of the data file and of the rejects file.
        started: when the shard's work began, UTC, ISO 8601 with microseconds; empty in markers
            that were written before it was kept, as the next five are (`painted` 0).
        finished: when the marker was made, the same way.
        worker: host and process that made the shard, `host:pid`.
        hardware: kind of accelerator that made it, such as `CPU`.
        painted: images of all batches: attempts, and what only filled a batch up.
        short: name of a stratum → what it lacks, for each that lacks accepted samples.
    """

    split: str
    number: int
    start: int
    stop: int
    rows: int
    attempts: int
    accepted: int
    rejected: Mapping[str, int]
    errors: int
    missing: tuple[str, ...]
    seconds: Mapping[str, float]
    files: Mapping[str, FileStamp]
    started: str = ""
    finished: str = ""
    worker: str = ""
    hardware: str = ""
    painted: int = 0
    short: Mapping[str, ShortStratum] = field(default_factory=dict)

    @property
    def key(self) -> ShardKey:
        """Split and number."""
        return self.split, self.number

    @property
    def rejects(self) -> int:
        """Rows of the rejects file: attempts that missed the policy or ended in an error."""
        return sum(self.rejected.values()) + self.errors

    @property
    def name(self) -> str:
        """Name of the marker's own file."""
        return layout.marker_file(self.split, self.number)

    def to_json(self) -> bytes:
        """Write the marker for people and programs to read."""
        return json_files.dump(asdict(self))


def parse_marker(name: str, data: bytes) -> ShardMarker:
    """Read a marker.

    Args:
        name: name of its file, which must agree with what it says.
        data: the file.

    Raises:
        CorruptMarkerError: if the file is not a whole marker of that shard.
    """
    try:
        marker = marker_from(name, json_files.load(data))
    except json_files.NOT_WHOLE as error:
        cause = json_files.cause(error)
        raise CorruptMarkerError(f"marker {name} is corrupt ({cause})") from error
    return marker


def marker_from(name: str, data: Mapping[str, Any]) -> ShardMarker:
    """Make a marker of what its file holds.

    Args:
        name: name of its file, which must agree with what it says.
        data: the file's values.

    Raises:
        Exception: one of `json_files.NOT_WHOLE` if they are not a whole marker of that shard.
    """
    marker = ShardMarker(
        split=str(data["split"]),
        number=_count(data, "number"),
        start=_count(data, "start"),
        stop=_count(data, "stop"),
        rows=_count(data, "rows"),
        attempts=_count(data, "attempts"),
        accepted=_count(data, "accepted"),
        rejected={reason: _count(data["rejected"], reason) for reason in data["rejected"]},
        errors=_count(data, "errors"),
        missing=tuple(str(sample) for sample in data["missing"]),
        seconds={stage: float(value) for stage, value in data["seconds"].items()},
        files={
            name: FileStamp(str(stamp["sha256"]), _count(stamp, "bytes"))
            for name, stamp in data["files"].items()
        },
        started=_time(data, "started"),
        finished=_time(data, "finished"),
        worker=str(data.get("worker", "")),
        hardware=str(data.get("hardware", "")),
        painted=_count({"painted": 0, **data}, "painted"),
        short={str(name): _short(lack) for name, lack in data.get("short", {}).items()},
    )
    _check(name, marker)
    return marker


def now() -> str:
    """Return the time as markers say it: UTC, ISO 8601 with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _count(data: Mapping[str, Any], key: str) -> int:
    value = data[key]
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{key} is {value!r}; it must be a whole number from 0")
    return value


def _short(data: Mapping[str, Any]) -> ShortStratum:
    return ShortStratum(
        asked=_count(data, "asked"),
        accepted=_count(data, "accepted"),
        images=_count(data, "images"),
        rejected={reason: _count(data["rejected"], reason) for reason in data["rejected"]},
    )


def _time(data: Mapping[str, Any], key: str) -> str:
    value = str(data.get(key, ""))
    if value and datetime.fromisoformat(value).utcoffset() is None:
        raise ValueError(f"{key} is {value!r}; it must be a time with its offset from UTC")
    return value


def _check(name: str, marker: ShardMarker) -> None:
    if marker.name != name:
        raise ValueError(f"it says that it is {marker.name}")
    if marker.rows + len(marker.missing) != marker.stop - marker.start:
        raise ValueError(
            f"{marker.rows} rows and {len(marker.missing)} missing samples do not fill "
            f"{marker.start} to {marker.stop}"
        )
    if set(marker.files) != {layout.data_file(*marker.key), layout.reject_file(*marker.key)}:
        raise ValueError(f"its files are {', '.join(marker.files) or 'none'}")
