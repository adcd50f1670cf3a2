"""Pace of a dataset and the bottleneck of its workers, from its markers alone.

A marker says when its shard was begun and made, by whom, and how long each stage was busy. Time in
which no worker made a shard that was committed (models being loaded, a run that was stopped) is in
no marker, and counts nowhere.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from synthgen.dataset.markers import ShardMarker

STAGES = ("paint", "measure", "encode", "write")
"""Stages that a worker is busy with, in the order in which an image goes through them."""

_SHOWN = {"paint": "generate"}
"""Stage → its name in texts, where markers and metrics have an older one."""

RECENT = 600.0
"""A worker that made a shard so long before the last one, or later, counts as there [s]."""

_RECENT_SHARDS = 24
_HELD_BACK = 0.5


@dataclass(frozen=True, slots=True)
class Speed:
    """Output in a second.

    Attributes:
        images: images made and judged [1/s].
        samples: samples that were settled, with an image or given up [1/s].
    """

    images: float
    samples: float


@dataclass(frozen=True, slots=True)
class Pace:
    """Speed at which shards were made.

    Attributes:
        overall: over all time in which shards were made.
        recent: over the last shards; as `overall` where there are too few to tell.
        workers: workers that made a shard in the time before the last one.
        worker_seconds: time in which workers made shards, added over the workers [s].
        stages: stage → share of the workers' time in which it was busy; two shards in one worker
            may share a stage that is not the accelerator's, so that a share can be above 1.
        last: when the last shard was made.
        spare: share of all painted images that no sample needed: they only filled up a shard's last
            batches; None where no marker tells.
    """

    overall: Speed
    recent: Speed
    workers: int
    worker_seconds: float
    stages: Mapping[str, float]
    last: datetime
    spare: float | None = None

    @property
    def held_back_by(self) -> str | None:
        """The stage that was busy longest; None if none was for half of the time."""
        stage = max(self.stages, key=lambda name: self.stages[name], default=None)
        return stage if stage is not None and self.stages[stage] >= _HELD_BACK else None


def measure_pace(markers: Collection[ShardMarker]) -> Pace | None:
    """Measure the pace of a run; None if no marker tells when its shard was made."""
    works = sorted(
        (_Work.of(m) for m in markers if m.started and m.finished), key=lambda work: work.finish
    )
    if not works:
        return None
    worked = _Worked([(work.start, work.finish) for work in works])
    overall = _speed(works, worked.seconds())
    there = _there(works)
    seconds = _worker_seconds(works)
    return Pace(
        overall=overall,
        recent=_recent(works, worked, there) or overall,
        workers=there,
        worker_seconds=seconds,
        stages=_shares([work.marker for work in works], seconds),
        last=datetime.fromisoformat(works[-1].marker.finished),
        spare=_spare([work.marker for work in works if work.marker.painted]),
    )


def describe_stages(pace: Pace) -> str:
    """Say which stage is the bottleneck, and how busy each was."""
    shares = ", ".join(
        f"{_SHOWN.get(stage, stage)} {share:.0%}" for stage, share in pace.stages.items()
    )
    if not shares:
        return "bottleneck: not known, no stage was timed"
    slowest = pace.held_back_by or "none of the stages, the workers waited"
    spare = f"; {pace.spare:.0%} of the images only filled batches up" if pace.spare else ""
    return (
        f"bottleneck: {_SHOWN.get(slowest, slowest)} (busy: {shares} of the workers' time{spare})"
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """A marker with its times as seconds since the epoch."""

    marker: ShardMarker
    start: float
    finish: float

    @classmethod
    def of(cls, marker: ShardMarker) -> "_Work":
        finish = datetime.fromisoformat(marker.finished).timestamp()
        start = datetime.fromisoformat(marker.started).timestamp()
        # A clock that was set back while the shard was made.
        return cls(marker, min(start, finish), finish)


class _Worked:
    """The time in which at least one shard was being made."""

    def __init__(self, intervals: Sequence[tuple[float, float]]) -> None:
        self._merged = _merge(intervals)

    def seconds(self, start: float = -math.inf, stop: float = math.inf) -> float:
        """Return how much of it lies between two moments [s]."""
        parts = (min(b, stop) - max(a, start) for a, b in self._merged)
        return sum(part for part in parts if part > 0)


def _merge(intervals: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for start, stop in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], stop)
        else:
            merged.append((start, stop))
    return merged


def _there(works: Sequence[_Work]) -> int:
    """Return how many workers made a shard not long before the last one."""
    longest = max(work.finish - work.start for work in works)
    since = works[-1].finish - max(RECENT, 2 * longest)
    return len({work.marker.worker for work in works if work.finish >= since})


def _recent(works: Sequence[_Work], worked: _Worked, workers: int) -> Speed | None:
    """Return the speed between two moments at which shards were made; None if they are too few.

    Workers that began together finish together, two shards each: the window begins after the first
    such group, whose images were made before it.
    """
    group = 2 * workers
    last = works[-max(_RECENT_SHARDS, 4 * group) :]
    if len(last) < 2 * group:
        return None
    begin = last[group - 1].finish
    seconds = worked.seconds(begin, last[-1].finish)
    return _speed(last[group:], seconds) if seconds > 0 else None


def _speed(works: Sequence[_Work], seconds: float) -> Speed:
    seconds = max(seconds, 1e-6)
    images = sum(work.marker.attempts for work in works)
    samples = sum(work.marker.stop - work.marker.start for work in works)
    return Speed(images / seconds, samples / seconds)


def _worker_seconds(works: Sequence[_Work]) -> float:
    of_worker: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for work in works:
        of_worker[work.marker.worker].append((work.start, work.finish))
    return sum(b - a for times in of_worker.values() for a, b in _merge(times))


def _spare(markers: Sequence[ShardMarker]) -> float | None:
    painted = sum(marker.painted for marker in markers)
    return 1 - sum(marker.attempts for marker in markers) / painted if painted else None


def _shares(markers: Sequence[ShardMarker], seconds: float) -> dict[str, float]:
    timed = [stage for stage in STAGES if any(stage in marker.seconds for marker in markers)]
    busy = {stage: sum(marker.seconds.get(stage, 0.0) for marker in markers) for stage in timed}
    return {stage: value / max(seconds, 1e-6) for stage, value in busy.items()}
