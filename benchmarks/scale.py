"""One to a thousand virtual GPUs on one machine, with the real driver: what does it keep busy?

    python benchmarks/scale.py [--gpus 1 10 100] [--shards 20] [--shard-size 32]
        [--batch-seconds 5.3] [--judge-seconds 1] [--acceptance 0.8] [--per-process 50]
        [--out scale.json]

Real: the plan, the driver, its schedule, executor and Ray's calls, the workers with their rounds,
rows, commits and markers, the files. Not real: the wait of `--batch-seconds` in place of a GPU's
work, images of five pixels, and a verifier that reads in them what was asked for and accepts a
fixed share; and up to `--per-process` virtual GPUs live in threads of one Ray actor, so that Ray
places fewer actors than it would.

16 images in 5.3 s are what an A100 was measured to make of SD 1.5, 512×512, float16, compiled: 1.50
images a second at 50 steps, here at our 25. Each number of GPUs runs in a process of its own, whose
memory and CPU time are the driver's. `scale_model.py` goes on from what `--out` keeps.
"""

import argparse
import json
import math
import multiprocessing
import tempfile
import threading
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from unittest import mock

import psutil
from scale_point import Point, make_point
from virtual_gpu import VirtualGpu
from virtual_pool import Observed, VirtualExecutor

import cluster.actors
from cluster.driver import generate
from synthgen.config import RunConfig, parse_config

BATCH = 16
CATEGORIES = ["neutral", "happy", "sad", "surprised", "fearful", "angry", "disgusted"]
SLOT = [str(value) for value in range(1000)]

HEAD = (
    f"{'GPUs':>5} {'in':>4} {'shards':>7} {'span':>8} {'busy':>7} {'full':>7} {'commits/s':>9} "
    f"{'driver: CPU':>11} {'memory':>8} {'turn':>8} {'settle':>8} {'give':>8} {'tick':>8} "
    f"{'workers: CPU':>12} {'row':>8} {'late':>7}"
)


def main(arguments: list[str] | None = None) -> None:
    """Run, print and keep."""
    options = _options().parse_args(arguments)
    print(HEAD, flush=True)
    points = []
    for gpus in options.gpus:
        with _new_process() as process:
            points.append(process.submit(measure, gpus, options).result())
        print(_line(points[-1]), flush=True)
        if options.out:
            settings = {key: value for key, value in vars(options).items() if key != "out"}
            data = {"settings": settings, "points": [asdict(point) for point in points]}
            options.out.write_text(json.dumps(data, indent=1))


def measure(gpus: int, options: argparse.Namespace) -> Point:
    """Run a number of virtual GPUs with this process as the driver."""
    observed, memory = Observed(), _Memory()
    make = partial(VirtualExecutor, per_process=options.per_process, observed=observed)
    load = VirtualGpu(options.batch_seconds, options.judge_seconds, options.acceptance)
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as folder,
        mock.patch.object(cluster.actors, "RayExecutor", make),
        memory,
    ):
        generate(configuration(gpus, options, folder), "ray", load=load)
    return make_point(
        observed, gpus, options.shard_size, options.batch_seconds, memory.largest / 1e6
    )


def configuration(gpus: int, options: argparse.Namespace, folder: str) -> RunConfig:
    """Return a run with a number of shards for each GPU."""
    samples = gpus * options.shards * options.shard_size
    return parse_config(
        {
            "name": "scale",
            "seed": 7,
            "samples": samples,
            "output": {
                "path": f"{folder}/out",
                "shard_size": options.shard_size,
                "splits": {"train": 1.0},
            },
            "expressions": {"prior": "emotions", "categories": CATEGORIES},
            "identities": {
                "source": "prompts",
                "template": "a portrait of {one} {two}",
                "slots": {"one": SLOT, "two": SLOT},
                "expressions_per_identity": max(1, math.ceil(samples / 100_000)),
            },
            "pipeline": {
                "name": "fineface",
                "weights": {"base": "virtual", "fineface": "virtual"},
                "batch_size": BATCH,
            },
            "verify": {"max_attempts": 4},
            "cluster": {"actors": gpus, "gpus_per_actor": 0},
        }
    )


class _Memory:
    """Watches this process's resident memory."""

    def __init__(self) -> None:
        self.largest = 0
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> None:
        self._watch.start()

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._watch.join()

    def _look(self) -> None:
        process = psutil.Process()
        while not self._over.wait(0.5):
            self.largest = max(self.largest, process.memory_info().rss)


def _new_process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


def _line(point: Point) -> str:
    costs = (point.turn_ms, point.settle_ms, point.give_ms, point.tick_ms)
    return (
        f"{point.gpus:5d} {point.processes:4d} {point.shards:7d} {point.span:6.1f} s "
        f"{point.busy:7.1%} {point.busy_while_full:7.1%} {point.commits_per_second:9.2f} "
        f"{point.driver_cpu:11.1%} {point.driver_mb:5.0f} MB "
        + " ".join(f"{cost:5.2f} ms" for cost in costs)
        + f" {point.worker_cpu:12.1%} {point.row_ms:5.2f} ms {point.late:5.2f} s"
    )


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 10, 100], help="virtual GPUs")
    parser.add_argument("--shards", type=int, default=20, help="shards for each")
    parser.add_argument("--shard-size", type=int, default=32, help="samples of a shard")
    parser.add_argument("--batch-seconds", type=float, default=5.3, help="time of a batch of 16")
    parser.add_argument(
        "--judge-seconds", type=float, default=1.0, help="time to measure and encode a batch"
    )
    parser.add_argument("--acceptance", type=float, default=0.8, help="share of images kept")
    parser.add_argument("--per-process", type=int, default=50, help="virtual GPUs in a process")
    parser.add_argument("--folder", help="where datasets are written meanwhile")
    parser.add_argument("--out", type=Path, help="file to keep the figures in")
    return parser


if __name__ == "__main__":
    main()
