"""Figures of a run with virtual GPUs."""

import itertools
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from virtual_gpu import Batch
from virtual_pool import Ledger, Observed, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A run's figures.

    Attributes:
        gpus: virtual GPUs.
        processes: actors' processes that they share.
        shards: committed shards.
        shard_size: samples of a shard.
        batches: batches painted for them; a shard that was worked twice counts once.
        span: from the first batch to the last commit [s].
        busy: share of all virtual GPUs' time in the span that these batches take by the clock of
            a real GPU: what a wait took longer is not counted.
        busy_while_full: that share, of whatever was painted, from the moment when the last GPU
            began until the last shard was handed out; NaN where there was no such time.
        start: from the first GPU's first batch to the last GPU's [s].
        commits_per_second: shards by span.
        late: how much longer a batch took than a GPU would, on average: this machine's doing [s].
        commit: median from a shard's last batch to its finished marker [s].
        turns: rounds of the driver's loop.
        turn_ms: main thread's CPU time of a turn: waiting, and looking for free actors [ms].
        settle_ms: of a shard that is taken in [ms].
        give_ms: of a shard that is handed out [ms].
        tick_ms: of asking all actors how far they are, once a second [ms].
        driver_cpu: CPU time of the driver's process by wall time; 1 = one core.
        driver_mb: largest resident memory of the driver [MB].
        worker_cpu: CPU time of the actors' processes by wall time; 1 = one core.
        row_ms: CPU time of the actors' processes for a row [ms].
    """

    gpus: int
    processes: int
    shards: int
    shard_size: int
    batches: int
    span: float
    busy: float
    busy_while_full: float
    start: float
    commits_per_second: float
    late: float
    commit: float
    turns: int
    turn_ms: float
    settle_ms: float
    give_ms: float
    tick_ms: float
    driver_cpu: float
    driver_mb: float
    worker_cpu: float
    row_ms: float


def make_point(
    observed: Observed, gpus: int, shard_size: int, batch_seconds: float, driver_mb: float
) -> Point:
    """Work out a run's figures."""
    painted = [batches for ledger in observed.ledgers for batches in ledger.painted if batches]
    every = list(itertools.chain.from_iterable(painted))
    began, ended = min(batch.started for batch in every), max(observed.commits)
    span, shards = ended - began, len(observed.commits)
    useful = sum(_batches_of_shards(painted, shard_size).values())
    full = max(batches[0].started for batches in painted), observed.dry
    worker_cpu = sum(ledger.cpu_seconds for ledger in observed.ledgers)
    return Point(
        gpus=gpus,
        processes=len(observed.ledgers),
        shards=shards,
        shard_size=shard_size,
        batches=useful,
        span=span,
        busy=useful * batch_seconds / (gpus * span),
        busy_while_full=_busy_between(every, *full) / gpus,
        start=full[0] - began,
        commits_per_second=shards / span,
        late=statistics.mean(batch.stopped - batch.started for batch in every) - batch_seconds,
        commit=statistics.median(_commit_seconds(observed.ledgers, shard_size)),
        turns=observed.times["turn"],
        turn_ms=_mean_ms(observed, observed.times["turn"], "turn", "look"),
        settle_ms=_mean_ms(observed, observed.times["settle"], "settle"),
        give_ms=_mean_ms(observed, observed.times["give"], "give"),
        tick_ms=_mean_ms(observed, observed.times["tick"], "ticks"),
        driver_cpu=observed.cpu_seconds / span,
        driver_mb=driver_mb,
        worker_cpu=worker_cpu / span,
        row_ms=1e3 * worker_cpu / (shards * shard_size),
    )


def _batches_of_shards(painted: Iterable[list[Batch]], size: int) -> Counter[tuple[str, int]]:
    """Return how many batches each shard takes: the most that one GPU has painted for it."""
    most: Counter[tuple[str, int]] = Counter()
    for batches in painted:
        most |= Counter((batch.split, batch.position // size) for batch in batches)
    return most


def _busy_between(batches: Iterable[Batch], begin: float, end: float) -> float:
    """Return how many GPUs paint on average between two moments; NaN if they are none."""
    if end <= begin:
        return float("nan")
    inside = (min(batch.stopped, end) - max(batch.started, begin) for batch in batches)
    return sum(max(0.0, seconds) for seconds in inside) / (end - begin)


def _commit_seconds(ledgers: Iterable[Ledger], size: int) -> list[float]:
    """Return how long each shard took from its last batch to the end of its work."""
    last: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    works: list[Work] = []
    for ledger in ledgers:
        works += ledger.works
        for batch in itertools.chain.from_iterable(ledger.painted):
            last[batch.split, batch.position // size].append(batch.stopped)
    return [
        work.stopped - max(t for t in last[work.shard.split, work.shard.number] if t < work.stopped)
        for work in works
    ]


def _mean_ms(observed: Observed, times: int, *parts: str) -> float:
    return 1e3 * sum(observed.seconds[part] for part in parts) / max(1, times)
