"""Metrics of a run for Prometheus, through Ray's own export; nothing where there is no Ray.

Ray prefixes each name with `ray_` and labels it with its node and worker. Counters count work as it
is done, so also that of a shard that is made again; the markers count what is in the dataset.
"""

import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray.util.metrics import Counter, Gauge

WINDOW = 60.0
"""Time over which images per second are averaged [s]."""


class Metrics:
    """Counts of one worker: images, failures, shards, seconds of its stages, images per second.

    It may be used by several threads.
    """

    def __init__(self, run: str) -> None:
        """Register the metrics if this process is part of a Ray cluster.

        Args:
            run: name of the run, the label `run` of each metric.
        """
        self._rate = _Rate(time.monotonic())
        self._ray = _RayMetrics(run) if _in_ray() else None

    def judged(self, accepted: int, reasons: Mapping[str, int]) -> None:
        """Count judged images: those accepted, and reason → those rejected."""
        self._rate.add(accepted + sum(reasons.values()), time.monotonic())
        if self._ray is None:
            return
        _count(self._ray.accepted, accepted)
        for reason, number in reasons.items():
            _count(self._ray.rejected, number, reason=reason)
        self.refresh()

    def failed(self) -> None:
        """Count a shard, or a batch or sample of one that is made alone, that raised."""
        if self._ray is not None:
            _count(self._ray.failures, 1)

    def committed(self) -> None:
        """Count a committed shard."""
        if self._ray is not None:
            _count(self._ray.shards, 1)

    def stage(self, name: str, seconds: float) -> None:
        """Count seconds that a stage was busy."""
        if self._ray is not None:
            _count(self._ray.seconds, seconds, stage=name)

    def refresh(self) -> None:
        """Say the images per second anew: they fall while no image is judged."""
        if self._ray is not None:
            self._ray.speed.set(self._rate.per_second(time.monotonic()))


class _RayMetrics:
    """The metrics as Ray knows them."""

    def __init__(self, run: str) -> None:
        self.accepted = _counter("images_accepted", "Images that keep the policy.", run)
        self.rejected = _counter("images_rejected", "Images that miss the policy.", run, "reason")
        self.failures = _counter("failures", "Shards, batches and samples that raised.", run)
        self.shards = _counter("shards_committed", "Shards that were committed.", run)
        self.seconds = _counter("stage_seconds", "Seconds that a stage was busy.", run, "stage")
        self.speed = _gauge("images_per_second", f"Images judged, over {WINDOW:.0f} s.", run)


class _Rate:
    """Images per second over the last `WINDOW` seconds, or since the beginning."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._recent: deque[tuple[float, int]] = deque()
        self._lock = threading.Lock()

    def add(self, images: int, now: float) -> None:
        with self._lock:
            self._recent.append((now, images))

    def per_second(self, now: float) -> float:
        since = max(self._began, now - WINDOW)
        with self._lock:
            while self._recent and self._recent[0][0] < since:
                self._recent.popleft()
            return sum(images for _, images in self._recent) / max(now - since, 1e-3)


def _in_ray() -> bool:
    """Tell whether this process is part of a Ray cluster, without importing Ray."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


def _counter(name: str, description: str, run: str, *tags: str) -> "Counter":
    from ray.util.metrics import Counter

    counter = Counter(f"synthgen_{name}_total", description, ("run", *tags))
    return counter.set_default_tags({"run": run})


def _gauge(name: str, description: str, run: str) -> "Gauge":
    from ray.util.metrics import Gauge

    return Gauge(f"synthgen_{name}", description, ("run",)).set_default_tags({"run": run})


def _count(counter: "Counter", number: float, **tags: str) -> None:
    """Add to a counter, which takes no zeros."""
    if number > 0:
        counter.inc(number, tags)
