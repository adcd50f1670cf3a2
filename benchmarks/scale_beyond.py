"""From what `scale.py` measured to thousands of GPUs, by the model of `scale_model.py`.

    python benchmarks/scale_beyond.py scale.json [--gpus 100 1000 2000 5000 10000]
        [--shard-sizes 16 32 64 128 256 500] [--shards 20] [--batch-seconds 1]

First the constants that the measurement gives, then the model beside each measured run, then what
it says of more GPUs and other sizes of a shard, and how large shards must be to keep 95 % of the
GPUs busy as long as there is work.
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scale_model import Run, simulate

WANTED = 0.95
DRAWS = 8
COMPARED = ("busy", "busy_while_full", "commits_per_second")


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """Input of the model; names and units are those of `Run`."""

    batch_seconds: float
    judge_seconds: float
    commit_seconds: float
    acceptance: float
    turn_seconds: float
    turn_seconds_per_gpu: float
    tick_seconds_per_gpu: float
    settle_seconds: float
    give_seconds: float


def main(arguments: list[str] | None = None) -> None:
    """Fit, compare, extrapolate, print."""
    options = _options().parse_args(arguments)
    measured = json.loads(options.measured.read_text())
    constants = fit(measured["settings"], measured["points"])
    print("constants: " + ", ".join(f"{k} {v:.3g}" for k, v in asdict(constants).items()))
    print(f"\n{'':6} {'busy':>16} {'while full':>16} {'commits/s':>16}")
    print(f"{'GPUs':>6} {'measured   model':>16} {'measured   model':>16} {'measured   model':>16}")
    for point in measured["points"]:
        print(_compared(point, modelled(constants, point)))
    if options.batch_seconds:
        constants = replace(constants, batch_seconds=options.batch_seconds)
    extrapolate(constants, options)


def fit(settings: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> Constants:
    """Return the constants of measured runs; a turn's time is a straight line over the GPUs.

    Args:
        settings: what the runs were asked for.
        points: their figures, of two different numbers of GPUs at least.
    """
    gpus = [point["gpus"] for point in points]
    if len(set(gpus)) < 2:
        raise SystemExit("the costs for each GPU need runs with two different numbers of GPUs")
    slope, fixed = np.polyfit(gpus, [point["turn_ms"] for point in points], 1)
    ticks = [point["tick_ms"] / point["gpus"] for point in points]
    judge = settings["judge_seconds"]
    return Constants(
        batch_seconds=settings["batch_seconds"],
        judge_seconds=judge,
        commit_seconds=max(0.0, _median(points, "commit") - judge),
        acceptance=settings["acceptance"],
        turn_seconds=max(0.0, fixed) / 1e3,
        turn_seconds_per_gpu=max(0.0, slope) / 1e3,
        tick_seconds_per_gpu=ticks[int(np.argmax(gpus))] / 1e3,
        settle_seconds=_median(points, "settle_ms") / 1e3,
        give_seconds=_median(points, "give_ms") / 1e3,
    )


def modelled(constants: Constants, point: Mapping[str, Any]) -> dict[str, float]:
    """Return what the model says of a measured run, this machine's lateness included.

    Which images are rejected is drawn, so what is returned are means over several draws.
    """
    slow = constants.batch_seconds + point["late"]
    run = Run(
        gpus=point["gpus"],
        shards=point["shards"],
        shard_size=point["shard_size"],
        start_seconds=point["start"],
        **{**asdict(constants), "batch_seconds": slow},
    )
    courses = [simulate(replace(run, seed=seed)) for seed in range(DRAWS)]
    means = {
        name: statistics.mean(getattr(course, name) for course in courses) for name in COMPARED
    }
    return {**means, "busy": means["busy"] * constants.batch_seconds / slow}


def extrapolate(constants: Constants, options: argparse.Namespace) -> None:
    """Print what the model says of each number of GPUs and size of a shard."""
    print(
        f"\nbusy while full, driver's load; {options.shards} shards for each GPU, "
        f"{constants.batch_seconds:g} s a batch"
    )
    print(f"{'shard':>6} " + " ".join(f"{gpus:>8} GPUs" for gpus in options.gpus))
    enough: dict[int, int] = {}
    for size in sorted(options.shard_sizes):
        cells = []
        for gpus in options.gpus:
            shards = gpus * options.shards
            course = simulate(Run(gpus=gpus, shards=shards, shard_size=size, **asdict(constants)))
            cells.append(f"{course.busy_while_full:6.1%} {min(course.driver, 9.99):6.1%}")
            if course.busy_while_full >= WANTED:
                enough.setdefault(gpus, size)
        print(f"{size:6d} " + " ".join(cells), flush=True)
    for gpus in options.gpus:
        size = enough.get(gpus)
        what = "none of these sizes keeps" if size is None else f"shards of {size} keep"
        print(f"{gpus:6d} GPUs: {what} {WANTED:.0%} of them busy")


def _compared(point: Mapping[str, Any], course: Mapping[str, float]) -> str:
    busy, full, commits = (f"{point[name]:8.3f} {course[name]:7.3f}" for name in COMPARED)
    return f"{point['gpus']:6d} {busy} {full} {commits}"


def _median(points: Sequence[Mapping[str, Any]], name: str) -> float:
    return statistics.median(point[name] for point in points)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("measured", type=Path, help="what `scale.py --out` kept")
    parser.add_argument("--gpus", type=int, nargs="+", default=[100, 1000, 2000, 5000, 10_000])
    parser.add_argument("--shard-sizes", type=int, nargs="+", default=[16, 32, 64, 128, 256, 500])
    parser.add_argument("--shards", type=int, default=20, help="shards for each GPU")
    parser.add_argument("--batch-seconds", type=float, help="time of a batch on another GPU")
    return parser


if __name__ == "__main__":
    main()
