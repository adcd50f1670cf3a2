"""Time of a spec, and memory of the plan of a million samples.

Run: python benchmarks/plan.py
"""

import pickle
import statistics
import time
import tracemalloc

from samplers import build_plan, load_prior
from synthgen.config import parse_config

SAMPLES = 1_000_000
CATEGORIES = ["neutral", "happy", "sad", "surprised", "fearful", "angry", "disgusted"]
VALUES = [str(value) for value in range(64)]


def configuration(slots: int, weighted: bool = False) -> dict:
    """Return a configuration of a million samples with 64**slots tuples."""
    values = {value: 1.0 + int(value) % 3 for value in VALUES} if weighted else VALUES
    names = [f"slot{number}" for number in range(slots)]
    return {
        "name": "benchmark",
        "seed": 7,
        "samples": SAMPLES,
        "output": {"path": "out"},
        "expressions": {"prior": "emotions", "categories": CATEGORIES},
        "identities": {
            "source": "prompts",
            "template": " ".join(f"{{{name}}}" for name in names),
            "slots": dict.fromkeys(names, values),
            "expressions_per_identity": 10,
        },
        "pipeline": {"name": "procedural"},
    }


def measure_plan(title: str, data: dict) -> None:
    """Print set-up time, memory and the time of specs."""
    config = parse_config(data)
    begin = time.perf_counter()
    plan = build_plan(config)
    set_up = time.perf_counter() - begin
    alone = statistics.median(_seconds(lambda i=i: plan.sample(i)) for i in range(0, SAMPLES, 499))
    bulk = _seconds(lambda: plan.specs("train", 0, 20_000)) / 20_000
    tracemalloc.start()
    plan = build_plan(config)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(
        f"{title:28} set-up {set_up:5.2f} s, kept {kept / 1e6:5.1f} MB, peak {peak / 1e6:6.1f} MB, "
        f"pickled {len(pickle.dumps(plan)) / 1e6:4.1f} MB; "
        f"a spec alone {alone * 1e6:4.0f} µs, in bulk {bulk * 1e6:4.1f} µs"
    )


def measure_prior() -> None:
    """Print how many AU vectors a prior draws in a second."""
    rates = {"AU1": {"rate": 0.3}, "AU12": {"rate": 0.5}}
    for section in (
        {"prior": "emotions", "categories": CATEGORIES},
        {"prior": "independent", "aus": rates},
    ):
        prior = load_prior(section)
        seconds = _seconds(lambda prior=prior: prior.sample(200_000, seed=0))
        print(f"prior {section['prior']:22} {200_000 / seconds:,.0f} vectors/s")


def _seconds(call) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


if __name__ == "__main__":
    measure_plan("262144 tuples", configuration(slots=3))
    measure_plan("262144 weighted tuples", configuration(slots=3, weighted=True))
    measure_plan("2**36 tuples (Feistel)", configuration(slots=6))
    measure_prior()
