"""What a run will take: images, hours, bytes, cost; and from where each figure comes."""

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.preflight.earlier import Earlier
from cluster.preflight.measure_result import Measured
from cluster.preflight.memory import image_side
from cluster.preflight.nodes import Node, total_workers
from cluster.preflight.rates import known_bytes, known_rate
from cluster.resources import gpus_per_actor
from synthgen.config import RunConfig

_PARQUET = 1000
"""What a row takes besides its image: vectors, prompt, pages [bytes]."""

_NO_EARLIER = "every image kept, which nobody knows yet"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number and where it comes from.

    Attributes:
        value: the number.
        source: in words.
        bound: whether it is a bound only.
    """

    value: float
    source: str
    bound: bool = False


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is left to do, and what it takes.

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
            side = image_side(config, node.probe.weights.sample_size)
            found = known_rate(config, gpus, side)
            return Figure(*found, bound=True) if found else None
    return None


def _row(
    config: RunConfig, nodes: Sequence[Node], earlier: Earlier | None, measured: Measured | None
) -> Figure | None:
    if earlier and earlier.rows:
        return Figure(earlier.bytes / earlier.rows, "mean of earlier shards")
    if measured:
        return Figure(measured.bytes + _PARQUET, f"mean of {measured.images} measured images")
    sizes = [node.probe.weights.sample_size for node in nodes if node.probe]
    found = known_bytes(config, image_side(config, max(sizes, default=0)))
    return Figure(*found) if found else None


def _gpus(node: Node) -> int:
    return len(node.probe.machine.gpus) if node.probe and node.probe.machine.cuda else 0
