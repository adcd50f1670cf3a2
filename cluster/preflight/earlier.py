"""What earlier shards of the same output tell: images a second, acceptance, bytes a sample."""

from collections.abc import Sequence
from dataclasses import dataclass

from synthgen.dataset import ShardMarker, Storage, layout
from synthgen.dataset.marker_reader import readable_markers
from synthgen.dataset.pace import measure_pace


@dataclass(frozen=True, slots=True)
class Earlier:
    """Sums over the markers of an output.

    Attributes:
        done: samples that are settled, with a row or missing.
        rows: samples with a row.
        attempts: images that were made for them.
        bytes: size of their files.
        rate: images a second of one worker; None where the markers do not say when they were made.
    """

    done: int
    rows: int
    attempts: int
    bytes: int
    rate: float | None


def read_earlier(url: str) -> Earlier | None:
    """Read the markers of an output; None where there is no dataset, or no shard of it.

    Raises:
        OutputError: if the output cannot be listed.
    """
    storage = Storage(url)
    if not storage.exists(layout.RUN):
        return None
    markers = list(readable_markers(storage)[0].values())
    return add_up(markers) if markers else None


def add_up(markers: Sequence[ShardMarker]) -> Earlier:
    """Add up the markers of an output."""
    return Earlier(
        done=sum(marker.rows + len(marker.missing) for marker in markers),
        rows=sum(marker.rows for marker in markers),
        attempts=sum(marker.attempts for marker in markers),
        bytes=sum(stamp.bytes for marker in markers for stamp in marker.files.values()),
        rate=_rate(markers),
    )


def _rate(markers: Sequence[ShardMarker]) -> float | None:
    """Return images a second of a worker: its images over the time in which it worked a shard."""
    timed = [marker for marker in markers if marker.started and marker.finished]
    pace = measure_pace(timed)
    if pace is None or not pace.worker_seconds:
        return None
    return sum(marker.attempts for marker in timed) / pace.worker_seconds
