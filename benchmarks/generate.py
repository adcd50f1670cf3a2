"""images/s of `generate`, first batch to last commit, against the same work in one plain loop.

Both paint, measure, judge and encode the same attempts with the same loaded pipeline and verifier,
one worker; the plain loop retries nothing, writes nothing and pads nothing. Budget: 97 %. With
`--workers N`, N workers on a local Ray against one: images/s while all are at work. Two must reach
1.8 times one where the cores allow.

    python benchmarks/generate.py [--pipeline procedural|mini] [--images 2000] [--rounds 1]
    python benchmarks/generate.py --workers 2 [--pipeline procedural|mini] [--images 2000]

Images that are discarded, because they only filled a shard's last batches up, count for nothing:
the smaller a shard (`--shard-size`), the more of them there are. They are told.
"""

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime

from cluster.actors import RayExecutor
from cluster.batches import encode_image
from cluster.executors import Executor, InlineExecutor
from cluster.schedule import Schedule
from pipelines.loading import fix_arithmetic, load_checks, load_source, pick_device
from pipelines.policy import joined
from samplers.plan import build_plan
from synthgen.config import RunConfig, load_config
from synthgen.dataset import ShardMarker

EXAMPLES = {"procedural": "examples/drawn-faces.yaml", "mini": "examples/quickstart.yaml"}


def work_all(executor: Executor, config: RunConfig) -> tuple[list[ShardMarker], float]:
    """Work a run; return its markers, and the seconds from the first batch to the last commit."""
    markers: list[ShardMarker] = []
    started = time.perf_counter()
    executor.run(Schedule(build_plan(config).shards(), 1), markers.append, lambda counts: None)
    return markers, time.perf_counter() - started


def generate_rate(config: RunConfig) -> float:
    """Return images a second of one worker in this process; print where its time went."""
    with InlineExecutor(config, build_plan(config)) as executor:
        markers, seconds = work_all(executor, config)
    stages = sorted({stage for marker in markers for stage in marker.seconds})
    shares = {s: sum(marker.seconds.get(s, 0) for marker in markers) / seconds for s in stages}
    print("  busy: " + "  ".join(f"{stage} {share:.0%}" for stage, share in shares.items()))
    needed = sum(marker.attempts for marker in markers)
    painted = sum(marker.painted for marker in markers)
    print(f"  {needed} images from {painted} generated: {1 - needed / painted:.1%} discarded")
    return needed / seconds


def pool_rate(config: RunConfig, workers: int) -> float:
    """Return images a second of workers on a local Ray, all of them loaded and none done yet."""
    cluster = config.cluster.model_copy(update={"actors": workers, "speculate": False})
    # A folder of its own: a shard that is there already keeps its marker, and who made it.
    output = config.output.model_copy(update={"path": f"{config.output.path}-{workers}"})
    config = config.model_copy(update={"cluster": cluster, "output": output})
    with RayExecutor(config) as executor:
        executor.fingerprint()
        markers, _ = work_all(executor, config)
    return steady_rate(markers, workers)


def steady_rate(markers: Sequence[ShardMarker], workers: int) -> float:
    """Return images a second between the last worker's first shard and the first one's last.

    A shard's images are taken as made evenly from its beginning to its end.

    Raises:
        ValueError: if other than that many workers made the shards.
    """
    spans: dict[str, list[tuple[float, float, int]]] = {}
    for marker in markers:
        span = (_time(marker.started), _time(marker.finished), marker.attempts)
        spans.setdefault(marker.worker, []).append(span)
    if len(spans) != workers:
        raise ValueError(f"{len(spans)} workers made the shards, not {workers}; raise --images")
    begin = max(min(start for start, _, _ in own) for own in spans.values())
    end = min(max(stop for _, stop, _ in own) for own in spans.values())
    images = sum(
        attempts * max(0.0, min(stop, end) - max(start, begin)) / (stop - start)
        for own in spans.values()
        for start, stop, attempts in own
    )
    return images / (end - begin)


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def plain_rate(config: RunConfig) -> float:
    """Return images a second of the plain loop."""
    plan = build_plan(config)
    fix_arithmetic(config.pipeline.threads)
    source = load_source(config.pipeline, pick_device())
    checks = load_checks(config, pick_device())
    attempts = [plan.attempt(plan.sample(index), 0) for index in range(config.samples)]
    size = config.pipeline.fixed_batch_size
    started = time.perf_counter()
    for start in range(0, len(attempts), size):
        batch = attempts[start : start + size]
        images = source.generate(batch)
        specs = [attempt.spec for attempt in batch]
        found = [check.measure(images, specs) for check in checks]
        for spec, image, *measured in zip(specs, images, *found, strict=True):
            verdicts = (c.verdict(spec, m) for c, m in zip(checks, measured, strict=True))
            if joined(verdicts).accepted:
                encode_image(image, config.output.image_format, config.output.quality)
    return len(attempts) / (time.perf_counter() - started)


def _configuration(arguments: argparse.Namespace, folder: str) -> RunConfig:
    overrides = [
        f"output.path={folder}/out",
        f"output.shard_size={arguments.shard_size}",
        "output.splits={train: 1.0}",
        f"samples={arguments.images}",
        f"identities.expressions_per_identity={math.ceil(arguments.images / 200)}",
        *arguments.set,
    ]
    return load_config(EXAMPLES[arguments.pipeline], overrides)


def _round(arguments: argparse.Namespace) -> float:
    with tempfile.TemporaryDirectory() as folder:
        config = _configuration(arguments, folder)
        if arguments.workers == 1:
            names, rates = ("plain", "generate"), (plain_rate(config), generate_rate(config))
        else:
            names = ("1 worker", f"{arguments.workers} workers")
            rates = (pool_rate(config, 1), pool_rate(config, arguments.workers))
    ratio = rates[1] / rates[0]
    print("  ".join(f"{name} {rate:.2f}/s" for name, rate in zip(names, rates, strict=True)))
    print(f"ratio {ratio:.3f}", flush=True)
    return ratio


def main() -> None:
    """Time both in turn and print the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pipeline", choices=list(EXAMPLES), default="procedural")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--shard-size", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    ratios = [_round(arguments) for _ in range(arguments.rounds)]
    budget = "0.97" if arguments.workers == 1 else f"{0.9 * arguments.workers:.1f}"
    print(f"median ratio {statistics.median(ratios):.3f} (budget {budget})")


if __name__ == "__main__":
    main()
