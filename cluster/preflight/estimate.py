"""Estimate of a run: images, hours, bytes, cost, each with the source of its figure."""

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.preflight.measure import Measured
from cluster.preflight.nodes import Node, total_workers
from cluster.resolve import gpus_per_actor
from synthgen.config import RunConfig
from synthgen.config.base import Figure, Weights
from synthgen.dataset import ShardMarker, Storage, layout
from synthgen.dataset.markers import readable_markers
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
        rate=_earlier_rate(markers),
    )


def _earlier_rate(markers: Sequence[ShardMarker]) -> float | None:
    """Return images a second of a worker: its images over the time in which it worked a shard."""
    timed = [marker for marker in markers if marker.started and marker.finished]
    pace = measure_pace(timed)
    if pace is None or not pace.worker_seconds:
        return None
    return sum(marker.attempts for marker in timed) / pace.worker_seconds


_PARQUET = 1000
"""Size of a row besides its image: vectors, prompt, pages [bytes]."""

_NO_EARLIER = "every image kept, which nobody knows yet"


@dataclass(frozen=True, slots=True)
class Estimate:
    """Work that is left, and the time and space that it takes.

    Attributes:
        samples: samples that are still to be made.
        acceptance: share of the images that are kept (0, 1]; `bound`: at most.
        rate: images a second of one worker; None: unknown.
        row: bytes of a sample; None: unknown.
        workers: workers that there is room for.
        gpus: GPUs of a worker.
        cpus: CPUs of a worker.
        cost_per_hour: of a worker; None: unknown.
    """

    samples: int
    acceptance: Figure
    rate: Figure | None
    row: Figure | None
    workers: int
    gpus: float
    cpus: int
    cost_per_hour: float | None

    @property
    def images(self) -> float:
        """Images that are to be made."""
        return self.samples / self.acceptance.value

    @property
    def worker_seconds(self) -> float | None:
        """Time of all workers together [s]."""
        return self.images / self.rate.value if self.rate else None

    @property
    def seconds(self) -> float | None:
        """Time of the run [s]; None where it is unknown or no worker has room."""
        together = self.worker_seconds
        return together / self.workers if together is not None and self.workers else None

    @property
    def bytes(self) -> float | None:
        """Size of what is still to be written [bytes]."""
        return self.samples * self.row.value if self.row else None

    @property
    def cost(self) -> float | None:
        """Cost, in the currency of `cluster.cost_per_hour`."""
        together, price = self.worker_seconds, self.cost_per_hour
        return None if together is None or price is None else together / 3600 * price


def estimate(
    config: RunConfig,
    nodes: Sequence[Node],
    earlier: Earlier | None = None,
    measured: Measured | None = None,
) -> Estimate:
    """Say what a run will take, by what is known best.

    Args:
        config: the run.
        nodes: the machines that it would work on.
        earlier: what its own finished shards tell; comes first.
        measured: what a quick measurement showed; comes second, before published figures.
    """
    gpus = {"GPU": float(sum(_gpus(node) for node in nodes))}
    return Estimate(
        samples=config.samples - (earlier.done if earlier else 0),
        acceptance=_acceptance(earlier, measured),
        rate=_rate(config, nodes, earlier, measured),
        row=_row(config, nodes, earlier, measured),
        workers=total_workers(config, nodes),
        gpus=gpus_per_actor(config, gpus),
        cpus=config.pipeline.threads,
        cost_per_hour=config.cluster.cost_per_hour,
    )


def _acceptance(earlier: Earlier | None, measured: Measured | None) -> Figure:
    if earlier and earlier.rows:
        share = earlier.rows / earlier.attempts
        return Figure(share, f"{share:.0%} of {earlier.attempts} images of earlier shards kept")
    if measured and measured.accepted:
        share = measured.accepted / measured.images
        return Figure(share, f"{share:.0%} of {measured.images} measured first attempts kept")
    return Figure(1.0, _NO_EARLIER, bound=True)


def _rate(
    config: RunConfig, nodes: Sequence[Node], earlier: Earlier | None, measured: Measured | None
) -> Figure | None:
    if earlier and earlier.rate:
        return Figure(earlier.rate, "earlier shards of this output")
    if measured:
        return Figure(measured.rate, f"measured on {measured.hardware}")
    for node in nodes:
        if node.probe and node.workers:
            gpus = node.probe.machine.gpus if node.probe.machine.cuda else ()
            return config.pipeline.known_rate(node.probe.weights, [gpu.name for gpu in gpus])
    return None


def _row(
    config: RunConfig, nodes: Sequence[Node], earlier: Earlier | None, measured: Measured | None
) -> Figure | None:
    if earlier and earlier.rows:
        return Figure(earlier.bytes / earlier.rows, "mean of earlier shards")
    if measured:
        return Figure(measured.bytes + _PARQUET, f"mean of {measured.images} measured images")
    if config.output.keep_reference:
        return None  # nobody knows the size of pictures of others
    there = [node.probe.weights for node in nodes if node.probe and node.probe.weights.facts]
    weights = there[0] if there else Weights()
    return config.pipeline.known_bytes(weights, config.output.image_format)


def _gpus(node: Node) -> int:
    return len(node.probe.machine.gpus) if node.probe and node.probe.machine.cuda else 0
