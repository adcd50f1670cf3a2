"""Status of a run from its markers and its lease, for people and for programs.

A driver of this machine is seen, or seen to be gone. Of another machine's, two looks between which
the lease has changed prove that it is alive, and one that stands still for long that it is gone:
times of two machines are never compared.
"""

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from samplers.plan import build_series
from samplers.priors import build_prior
from samplers.shares import Partition
from synthgen.config import RunConfig
from synthgen.dataset import ShardKey, ShardMarker, Storage, layout, reached, read_record
from synthgen.dataset.lease import BEAT, STALE, Holder, parse_holder, place
from synthgen.dataset.markers import MarkerReader, ShortStratum
from synthgen.dataset.pace import Pace, describe_stages, measure_pace
from synthgen.dataset.strata import describe_short, total_short
from synthgen.errors import DatasetError
from synthgen.foreign import counted
from synthgen.report.comparison import stored_config
from synthgen.report.run_summary import describe_reasons


@dataclass(frozen=True, slots=True)
class DriverHeartbeat:
    """Signs of life of a driver.

    Attributes:
        driver: its process, machine and beginning.
        beats: whether it is alive; None if that cannot be told yet.
        silence: time for which this machine has waited for a heartbeat [s].
    """

    driver: str
    beats: bool | None
    silence: float


class HeartbeatReader:
    """Looks at the lease of a run again and again."""

    def __init__(self, storage: Storage, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without having heard anything.

        Args:
            storage: the dataset.
            clock: tells seconds that never go back.
        """
        self._storage = storage
        self._clock = clock
        self._lease: bytes | None = None
        self._since = clock()
        self._moved = False

    def read(self) -> DriverHeartbeat | None:
        """Look; None if nobody holds the run.

        Raises:
            DatasetError: if the lease cannot be read.
        """
        lease, before = self._read(), self._lease
        if lease != before:
            self._lease, self._since = lease, self._clock()
            self._moved = before is not None
        return None if lease is None else self._judged(parse_holder(lease))

    def _judged(self, holder: Holder | None) -> DriverHeartbeat:
        silence = self._clock() - self._since
        if holder is not None and holder.place and holder.place == place():
            return DriverHeartbeat(str(holder), holder.is_alive(), silence)
        beats = False if silence > STALE else True if self._moved else None
        return DriverHeartbeat(str(holder or "an unknown process"), beats, silence)

    def _read(self) -> bytes | None:
        try:
            return self._storage.read(layout.LEASE)
        except DatasetError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise


_LOOK = 0.5
"""Time between two looks for a heartbeat [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Progress of a run. Only whole shards count.

    Attributes:
        url: where the dataset lies.
        name: name of the run.
        samples: samples asked for.
        rows: samples that have an image.
        accepted: those of them whose image keeps the policy.
        missing: samples that found no accepted image.
        shards: shards of the run.
        whole_shards: those that are whole.
        attempts: images made.
        rejected: reason → images that missed the policy.
        errors: samples whose image could not be made.
        hardware: kinds of accelerator that made them, where markers tell.
        pace: how fast they were made; None if no marker tells.
        since_last: time since the last shard, by this machine's clock; None as `pace` [s].
        heart: what is heard of the run's driver; None if nobody holds the run.
        cost_per_hour: cost of an hour of one worker; None if it is not known.
        short: name of a stratum → what it lacks, for each that lacks accepted samples.
        checked: whether checks look at the images; else every first one is kept.
    """

    url: str
    name: str
    samples: int
    rows: int
    accepted: int
    missing: int
    shards: int
    whole_shards: int
    attempts: int
    rejected: Mapping[str, int]
    errors: int
    hardware: tuple[str, ...]
    pace: Pace | None
    since_last: float | None
    heart: DriverHeartbeat | None
    cost_per_hour: float | None
    short: Mapping[str, ShortStratum] = field(default_factory=dict)
    checked: bool = True

    @property
    def finished(self) -> bool:
        """True where nothing is left to do."""
        return self.whole_shards == self.shards

    @property
    def whole(self) -> bool:
        """True once the run is finished and each sample that was asked for is there."""
        return self.finished and not self.missing

    @property
    def lacking(self) -> int:
        """Samples of whole shards without an accepted image, whether they have a row or not."""
        return self.rows - self.accepted + self.missing

    @property
    def running(self) -> bool:
        """True where the run is known to go on."""
        return not self.finished and self.heart is not None and self.heart.beats is True

    @property
    def acceptance(self) -> float | None:
        """Share of the images that keep the policy; None before the first."""
        return self.accepted / self.attempts if self.attempts else None

    @property
    def seconds_left(self) -> float | None:
        """Time until the run is finished at the speed of the last shards; None if it stands [s]."""
        if not self.running or self.pace is None:
            return None
        return (self.samples - self.rows - self.missing) / self.pace.recent.samples

    @property
    def cost_per_thousand(self) -> float | None:
        """Cost of a thousand accepted images; None if it is not known."""
        if self.cost_per_hour is None or self.pace is None or not self.accepted:
            return None
        return self.cost_per_hour * self.pace.worker_seconds / 3600 / self.accepted * 1000


def read_status(
    url: str, cost_per_hour: float | None = None, patience: float = 1.5 * BEAT
) -> Status:
    """Read how far a run is.

    Args:
        url: folder or URL of its dataset.
        cost_per_hour: what an hour of one worker costs; None: what the configuration says.
        patience: how long a heartbeat of another machine's driver is waited for [s].

    Raises:
        DatasetError: if there is no dataset, or it is corrupt.
        ConfigError: if the stored configuration cannot be read.
    """
    reader = StatusReader(url, cost_per_hour)
    status = reader.read()
    until = time.monotonic() + patience
    while status.heart is not None and status.heart.beats is None and time.monotonic() < until:
        time.sleep(min(_LOOK, patience))
        status = reader.read()
    return status


def watch_status(
    url: str,
    cost_per_hour: float | None,
    show: Callable[[Status], None],
    every: float = 5.0,
) -> None:
    """Show how far a run is, again and again, until it is finished.

    Args:
        url: folder or URL of its dataset.
        cost_per_hour: as for `read_status`.
        show: called with each status.
        every: time between two looks [s].

    Raises:
        DatasetError: as `read_status`.
        ConfigError: as `read_status`.
    """
    reader = StatusReader(url, cost_per_hour)
    while not _shown(reader.read(), show).finished:
        time.sleep(every)


class StatusReader:
    """Reads a run's status again and again, and each marker once."""

    def __init__(
        self, url: str, cost_per_hour: float | None = None, storage: Storage | None = None
    ) -> None:
        """Open a dataset; see `read_status`.

        Args:
            url: folder or URL of the dataset.
            cost_per_hour: what an hour of one worker costs; None: what the configuration says.
            storage: how it is read; None: as its URL says.
        """
        self._storage = storage or reached(url)
        read_record(self._storage)
        self._config = stored_config(self._storage)
        self._markers = MarkerReader(self._storage)
        self._heart = HeartbeatReader(self._storage)
        self._cost = cost_per_hour or self._config.cluster.cost_per_hour

    def read(self) -> Status:
        """Read how far the run is now.

        Raises:
            DatasetError: if the record or a marker is missing or corrupt.
        """
        record = read_record(self._storage)
        markers = list(self._markers.read().values())
        pace = measure_pace(markers)
        cut = _Cut(self._config, record.samples)
        rejected: Counter[str] = Counter()
        for marker in markers:
            rejected.update(marker.rejected)
        return Status(
            url=self._storage.url,
            name=self._config.name,
            samples=record.samples,
            rows=sum(marker.rows for marker in markers),
            accepted=sum(marker.accepted for marker in markers),
            missing=sum(len(marker.missing) for marker in markers),
            shards=cut.shards(),
            whole_shards=sum(cut.is_whole(marker) for marker in markers),
            attempts=sum(marker.attempts for marker in markers),
            rejected=dict(rejected),
            errors=sum(marker.errors for marker in markers),
            hardware=tuple(sorted({marker.hardware for marker in markers if marker.hardware})),
            pace=pace,
            since_last=None if pace is None else (datetime.now(UTC) - pace.last).total_seconds(),
            heart=self._heart.read(),
            cost_per_hour=self._cost,
            short=total_short(markers),
            checked=bool(self._config.verify.checks),
        )


def _shown(status: Status, show: Callable[[Status], None]) -> Status:
    show(status)
    return status


def planned_shards(config: RunConfig, samples: int) -> set[ShardKey]:
    """Return the shards of a run, without what only its makers have."""
    return _Cut(config, samples).keys()


class _Cut:
    """Cut of a run into shards.

    The plan says it too, but building one needs label files and stores of faces, which may not be
    on this machine.
    """

    def __init__(self, config: RunConfig, samples: int) -> None:
        partition = Partition.build(config.output.split_shares(), _series_size(config))
        self._size = config.output.shard_size
        self._splits = {split: partition.size(split, samples) for split in partition.members}

    def shards(self) -> int:
        return sum(math.ceil(samples / self._size) for samples in self._splits.values())

    def keys(self) -> set[ShardKey]:
        return {
            (split, number)
            for split, samples in self._splits.items()
            for number in range(math.ceil(samples / self._size))
        }

    def is_whole(self, marker: ShardMarker) -> bool:
        """Tell whether a shard is as large as the plan asks: one of a shorter run may not be."""
        return marker.stop == min(marker.start + self._size, self._splits[marker.split])


def _series_size(config: RunConfig) -> int:
    """Return how many samples show one identity; only for a grid the prior must say it."""
    asked = config.identities.expressions_per_identity
    if asked != "grid":
        return asked + config.identities.neutral_image
    prior = build_prior(config.expressions)
    return build_series(config.identities, config.expressions, prior).size


def describe_status(status: Status) -> str:
    """Write a status as plain text, without a newline at the end."""
    return "\n".join([f"{status.url}: {_state(status)}", *_counts(status), *_pace(status)])


def status_json(status: Status) -> str:
    """Write a status as one JSON object on a line; times in seconds, shares from 0 to 1."""
    pace = status.pace
    found = {
        **{key: value for key, value in asdict(status).items() if key not in ("pace", "heart")},
        "finished": status.finished,
        "whole": status.whole,
        "running": status.running,
        "acceptance": status.acceptance,
        "seconds_left": status.seconds_left,
        "cost_per_thousand": status.cost_per_thousand,
        "driver": None if status.heart is None else asdict(status.heart),
        "images_per_second": None if pace is None else asdict(pace.recent)["images"],
        "images_per_second_overall": None if pace is None else pace.overall.images,
        "workers": None if pace is None else pace.workers,
        "worker_seconds": None if pace is None else pace.worker_seconds,
        "stages": None if pace is None else dict(pace.stages),
        "held_back_by": None if pace is None else pace.held_back_by,
        "spare": None if pace is None else pace.spare,
    }
    return json.dumps(found, ensure_ascii=False)


def _state(status: Status) -> str:
    heart = status.heart
    if status.finished:
        return "finished" if status.whole else "finished with less than was asked"
    if heart is None:
        return "not running; synthgen generate continues it"
    if heart.beats is None:
        waited = _duration(heart.silence)
        return f"held by {heart.driver}; no heartbeat in {waited} of waiting for one"
    if heart.beats:
        return f"running, by {heart.driver}"
    return f"not running, {heart.driver} is gone; synthgen generate continues it"


def _counts(status: Status) -> Iterator[str]:
    there = f"{status.rows} of {status.samples} samples ({status.rows / status.samples:.1%})"
    yield f"{there}, {status.whole_shards} of {status.shards} shards"
    if not status.checked:
        yield f"{status.attempts} images made; no check looks at them"
    elif status.acceptance is not None:
        yield f"{status.attempts} images made, {status.acceptance:.1%} accepted"
    if status.rejected:
        yield describe_reasons(status.rejected)
    if unaccepted := status.rows - status.accepted:
        yield f"unaccepted: {unaccepted} samples hold the best of their attempts"
    if status.missing:
        yield f"missing: {status.missing} samples found no accepted image"
    for line in describe_short(status.short, status.lacking):
        yield f"  {line}"
    if status.errors:
        yield f"failed: {status.errors} samples raised; see reason 'error' in rejects"
    if len(status.hardware) > 1:
        yield f"made on: {', '.join(status.hardware)}"


def _pace(status: Status) -> Iterator[str]:
    pace = status.pace
    if pace is None or status.since_last is None:
        yield "speed: no shard is whole yet" if not status.attempts else "speed: not recorded"
        return
    workers = counted(pace.workers, "worker")
    yield (
        f"speed: {pace.recent.images:.3g} images/s by {workers} over the last shards, "
        f"{pace.overall.images:.3g} over all"
    )
    yield describe_stages(pace)
    if (cost := status.cost_per_thousand) is not None:
        yield (
            f"cost: {cost:.4g} per thousand accepted images ({status.cost_per_hour:g} an hour, "
            f"{pace.worker_seconds / 3600:.3g} worker hours in whole shards)"
        )
    if not status.finished:
        yield f"last shard: {_duration(status.since_last)} ago"
    if (left := status.seconds_left) is not None:
        yield f"time left: {_duration(left)}"


def _duration(seconds: float) -> str:
    """Write a time in its two largest units."""
    whole = max(round(seconds), 0)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86_400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
