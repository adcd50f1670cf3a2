"""Markers of shards: written last, so that a shard without one is not finished; their index.

Markers say what is finished; the index only saves reading them. Behind a URL each marker is a
round trip, and a run of millions of samples has thousands. An entry counts as long as the store
tells the same version of the marker's own file, so an index that is old, or of a dataset that was
copied, is never wrong: what it does not know is read.
"""

import json
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from synthgen.dataset import layout
from synthgen.dataset.layout import ShardKey
from synthgen.dataset.storage import Storage
from synthgen.errors import DatasetError


@dataclass(frozen=True, slots=True)
class FileStamp:
    """Checksum and size of a file.

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
    """Content of a finished shard and how it came about.

    Attributes:
        split: split of the shard.
        number: number of the shard in its split, from 0.
        start: first sample of the shard in the split's own numbering.
        stop: the sample after the last.
        rows: rows of the data file.
        attempts: images that were asked for.
        accepted: rows that keep the policy, or that no check has looked at.
        rejected: reason → attempts that missed the policy.
        errors: attempts that ended in an error.
        missing: sample ids that have no row.
        seconds: stage → wall time [s].
        files: name → stamp of the data file, of the rejects file and, where pictures of rejected
            attempts are kept, of the file of these.
        started: when the shard's work began, UTC, ISO 8601 with microseconds; empty in markers
            that were written before it was kept, as the next five are (`painted` 0).
        finished: when the marker was made, the same way.
        worker: host and process that made the shard, `host:pid`.
        hardware: kind of accelerator that made it, such as `CPU`.
        painted: images of all batches: attempts, and what only filled a batch up.
        short: name of a stratum → what it lacks, for each that lacks accepted samples.
        reject_images: pictures of rejected attempts that are kept.
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
    reject_images: int = 0

    @property
    def key(self) -> ShardKey:
        """Split and number."""
        return self.split, self.number

    @property
    def rejects(self) -> int:
        """Rows of the rejects file: attempts that missed the policy or ended in an error."""
        return sum(self.rejected.values()) + self.errors

    @property
    def rows_of_files(self) -> dict[str, int]:
        """Name → rows of each file of the shard; of pictures only where it keeps some."""
        files = {
            layout.data_file(*self.key): self.rows,
            layout.reject_file(*self.key): self.rejects,
        }
        pictures = {layout.reject_image_file(*self.key): self.reject_images}
        return {**files, **pictures} if self.reject_images else files

    @property
    def name(self) -> str:
        """Name of the marker's own file."""
        return layout.marker_file(self.split, self.number)

    def to_json(self) -> bytes:
        """Write the marker for people and programs to read."""
        return layout.to_json(asdict(self))


def parse_marker(name: str, data: bytes) -> ShardMarker:
    """Read a marker.

    Args:
        name: name of its file, which must agree with what it says.
        data: the file.

    Raises:
        CorruptMarkerError: if the file is not a whole marker of that shard.
    """
    try:
        marker = marker_from(name, layout.from_json(data))
    except layout.NOT_WHOLE as error:
        cause = layout.cause(error)
        raise CorruptMarkerError(f"marker {name} is corrupt ({cause})") from error
    return marker


def marker_from(name: str, data: Mapping[str, Any]) -> ShardMarker:
    """Make a marker of what its file holds.

    Args:
        name: name of its file, which must agree with what it says.
        data: the file's values.

    Raises:
        Exception: one of `layout.NOT_WHOLE` if they are not a whole marker of that shard.
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
        reject_images=_count({"reject_images": 0, **data}, "reject_images"),
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
    if set(marker.files) != set(marker.rows_of_files):
        raise ValueError(f"its files are {', '.join(marker.files) or 'none'}")


_log = logging.getLogger(__name__)

Versioned = tuple[str, str]
"""Name of a marker's file, and the version of it that the store tells."""

_FEW = 250
"""Markers that are read one by one rather than indexed."""

_SHARE = 10
"""The index is written anew when it lacks one in so many markers."""


def read_index(storage: Storage) -> dict[Versioned, ShardMarker]:
    """Read the markers that the index holds; none where there is no index, or a broken one.

    Raises:
        DatasetError: if it is there and the store does not give it.
        OutputError: if the store does not answer.
    """
    if not storage.exists(layout.INDEX):
        return {}
    try:
        entries = layout.from_json(storage.read(layout.INDEX))["markers"]
        return {
            (entry["name"], entry["version"]): marker_from(entry["name"], entry["marker"])
            for entry in entries
        }
    except layout.NOT_WHOLE as error:
        cause = layout.cause(error)
        _log.warning("%s is corrupt (%s); each marker is read instead", layout.INDEX, cause)
        return {}


class MarkerIndex:
    """The index of a run that goes on, as its driver keeps it."""

    def __init__(self, storage: Storage) -> None:
        """Write nothing yet."""
        self._storage = storage
        self._indexed = 0

    def keep(self, markers: Mapping[ShardKey, ShardMarker], *, last: bool = False) -> None:
        """Write the index anew if it lacks a good part of the markers; cheap otherwise.

        Args:
            markers: all there are.
            last: whether there will be no more: then it is written whatever it lacks.

        Raises:
            OutputError: if it cannot be written.
        """
        lacks = len(markers) - self._indexed
        enough = 1 if last and len(markers) > _FEW else max(_FEW, len(markers) // _SHARE)
        if lacks >= enough:
            self._storage.write(
                layout.INDEX, _dump(markers, self._storage.versions(layout.MARKERS))
            )
            self._indexed = len(markers)


def _dump(markers: Mapping[ShardKey, ShardMarker], versions: Mapping[str, str]) -> bytes:
    entries = [
        {"name": marker.name, "version": versions[marker.name], "marker": asdict(marker)}
        for marker in markers.values()
        if marker.name in versions
    ]
    return json.dumps({"markers": entries}, ensure_ascii=False).encode()


_READERS = 16
"""Markers read at a time: behind a URL each takes a round trip."""


def read_markers(storage: Storage) -> dict[ShardKey, ShardMarker]:
    """Read all markers of a dataset, in order of split and number.

    Raises:
        DatasetError: if a marker is corrupt.
    """
    return MarkerReader(storage).read()


def readable_markers(
    storage: Storage,
) -> tuple[dict[ShardKey, ShardMarker], dict[str, CorruptMarkerError]]:
    """Read what can be read of the markers of a dataset.

    Returns:
        The whole markers, in order of split and number, and name → reason of the corrupt ones.
    """
    return MarkerReader(storage).readable()


class MarkerReader:
    """Reads the markers of a dataset that may be growing; each file once."""

    def __init__(self, storage: Storage) -> None:
        """Begin with none."""
        self._storage = storage
        self._known: dict[Versioned, ShardMarker] | None = None

    def read(self) -> dict[ShardKey, ShardMarker]:
        """Return all markers there are now, in order of split and number.

        What is known of a file, from the index or an earlier call, counts as long as the store
        tells the same version of it.

        Raises:
            DatasetError: if a marker is corrupt.
        """
        markers, corrupt = self.readable()
        for error in corrupt.values():
            raise error
        return markers

    def readable(self) -> tuple[dict[ShardKey, ShardMarker], dict[str, CorruptMarkerError]]:
        """Return the whole markers there are now, and name → reason of the corrupt ones."""
        known = read_index(self._storage) if self._known is None else self._known
        versions = self._storage.versions(layout.MARKERS)
        files = [(name, version) for name, version in versions.items() if layout.shard_of(name)]
        new = [file for file in files if file not in known]
        with ThreadPoolExecutor(_READERS, "marker") as readers:
            found = dict(zip(new, readers.map(self._marker, new), strict=True))
        there = {file: found.get(file) or known.get(file) for file in files}
        corrupt = {
            name: error
            for (name, _), error in there.items()
            if isinstance(error, CorruptMarkerError)
        }
        self._known = {
            file: marker for file, marker in there.items() if isinstance(marker, ShardMarker)
        }
        markers = sorted(self._known.values(), key=lambda marker: marker.key)
        return {marker.key: marker for marker in markers}, corrupt

    def _marker(self, file: Versioned) -> ShardMarker | CorruptMarkerError | None:
        """Read a marker, or why it is corrupt; None if it went since it was listed."""
        name, _ = file
        try:
            data = self._storage.read(name)
        except DatasetError:
            if self._storage.exists(name):
                raise
            return None
        try:
            return parse_marker(name, data)
        except CorruptMarkerError as error:
            return error
