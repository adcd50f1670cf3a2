"""images/s of `generate`, first batch to last commit, against the same work in one plain loop.

Both paint, measure, judge and encode the same attempts with the same loaded pipeline and verifier,
one worker; the plain loop retries nothing, writes nothing and pads nothing. Budget: 97 %.

    python benchmarks/generate.py [CONFIG] [--samples 1000] [--rounds 3]
"""

import argparse
import statistics
import tempfile
import time

from cluster.executors import InlineExecutor
from cluster.rows import encode_image
from cluster.schedule import Schedule
from pipelines.loading import fix_arithmetic, load_source, load_verifier, pick_device
from pipelines.policy import judge
from samplers.plan import build_plan
from synthgen.config import RunConfig, load_config


def generate_rate(config: RunConfig) -> float:
    """Images a second from the first batch to the last commit."""
    plan = build_plan(config)
    images = 0

    def count(marker) -> None:
        nonlocal images
        images += marker.attempts

    with InlineExecutor(config, plan) as executor:
        started = time.perf_counter()
        executor.run(Schedule(plan.shards(), 1), count, lambda counts: None)
        return images / (time.perf_counter() - started)


def plain_rate(config: RunConfig) -> float:
    """Images a second of the plain loop."""
    plan = build_plan(config)
    fix_arithmetic(config.pipeline.threads)
    source = load_source(config.pipeline, pick_device())
    verifier = load_verifier(config.verify, pick_device())
    attempts = [plan.attempt(plan.sample(index), 0) for index in range(config.samples)]
    started = time.perf_counter()
    size = config.pipeline.batch_size
    for start in range(0, len(attempts), size):
        batch = attempts[start : start + size]
        images = source.paint(batch)
        found = verifier.measure(images)
        for attempt, image, aus, faces in zip(batch, images, found.aus, found.faces, strict=True):
            if judge(attempt.spec.aus, aus, int(faces), config.verify.policy).accepted:
                encode_image(image, config.output.image_format)
    return len(attempts) / (time.perf_counter() - started)


def main() -> None:
    """Time both in turn and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", nargs="?", default="examples/quickstart.yaml")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    ratios = []
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            overrides = [
                f"output.path={folder}/out",
                "output.shard_size=500",
                f"samples={arguments.samples}",
                f"identities.expressions_per_identity={-(-arguments.samples // 200)}",
            ]
            config = load_config(arguments.config, overrides)
            plain, generated = plain_rate(config), generate_rate(config)
        ratios.append(generated / plain)
        print(f"plain {plain:6.1f}/s  generate {generated:6.1f}/s  ratio {ratios[-1]:.2f}")
    print(f"median ratio {statistics.median(ratios):.2f} (budget 0.97)")


if __name__ == "__main__":
    main()
