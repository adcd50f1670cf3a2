"""Speed of the copula prior's draws, and how well they meet the request.

Times are those of the processor, so that other work on the machine counts less.

Run: OMP_NUM_THREADS=1 python benchmarks/priors.py
"""

import statistics
import time
from collections.abc import Callable

import numpy as np

from samplers import Prior, build_plan, load_prior
from samplers.priors.correlation import joint_probability, latent_correlation
from synthgen.action_units import AUS
from synthgen.config import parse_config

DRAWS = 1_000_000
ROUNDS = 5
SAMPLES = 1_000_000
ALONE = 2_000

LEVELS = {"A": 0.4, "B": 0.3, "C": 0.2, "D": 0.07, "E": 0.03}
KINDS = [
    {"levels": LEVELS},
    {"beta": {"a": 2.0, "b": 3.0}},
    {"quantiles": [0.5, 1.2, 2.0, 3.1, 5.0]},
    {"intensity": {"low": 0.5, "high": 5.0}},
]


def section(rate: float) -> dict:
    """Return 12 AUs of one rate with marginals of all kinds, all pairs going together."""
    marginals = {au: {"rate": rate, **KINDS[number % 4]} for number, au in enumerate(AUS)}
    pairs = {
        f"{one}+{other}": 0.7 ** (j - i)
        for i, one in enumerate(AUS)
        for j, other in enumerate(AUS)
        if i < j
    }
    return {"prior": "copula", "marginals": marginals, "correlation": pairs}


def configuration(expressions: dict) -> dict:
    """Return a configuration of a million samples."""
    values = [str(value) for value in range(64)]
    names = ["a", "b", "c"]
    return {
        "name": "benchmark",
        "seed": 7,
        "samples": SAMPLES,
        "output": {"path": "out"},
        "expressions": expressions,
        "identities": {
            "source": "prompts",
            "template": " ".join(f"{{{name}}}" for name in names),
            "slots": dict.fromkeys(names, values),
            "expressions_per_identity": 10,
        },
        "pipeline": {"name": "procedural"},
    }


def measure_draws(rate: float) -> None:
    """Print vectors a second, in bulk and drawn again for given strata, and accuracy."""
    begin = time.process_time()
    prior = load_prior(section(rate))
    set_up = time.process_time() - begin
    prior.sample(8_192, seed=0)
    seconds = [_seconds(lambda: prior.sample(DRAWS, seed=0)) for _ in range(ROUNDS)]
    vectors = prior.sample(DRAWS, seed=0)
    active = (vectors != 0).astype(np.float32)
    joint = (active.T @ active).astype(np.float64) / DRAWS
    strata = prior.strata(0, "train", 0, 8_192)
    prior.vectors(0, "train", 0, strata, replacement=1)
    again = _seconds(lambda: prior.vectors(0, "train", 0, strata, replacement=2)) / 8_192
    print(
        f"copula, 12 AUs at rate {rate:4.2f}: set-up {set_up * 1e3:4.1f} ms, "
        f"{DRAWS / min(seconds):9,.0f} vectors/s (median {DRAWS / statistics.median(seconds):,.0f})"
        f", replacements {1 / again:8,.0f}/s, largest error of a rate "
        f"{np.abs(np.diag(joint) - rate).max():.4f}, of a pair "
        f"{np.abs(joint - prior.joint()).max():.4f}"
    )
    _check_alone(prior, vectors)


def measure_plan() -> None:
    """Print how long a sample of a million-sample plan takes alone."""
    begin = time.process_time()
    plan = build_plan(parse_config(configuration(section(0.15))))
    set_up = time.process_time() - begin
    step = SAMPLES // ALONE
    times = [_seconds(lambda i=i: plan.sample(i * step)) for i in range(ALONE)]
    print(
        f"plan of {SAMPLES:,} samples: set-up {set_up:.2f} s, a sample alone "
        f"{statistics.median(times) * 1e6:.0f} µs (of 100 allowed), "
        f"nine of ten under {np.quantile(times, 0.9) * 1e6:.0f} µs"
    )


def measure_calibration() -> None:
    """Print how fast and how exactly joint probabilities become correlations, and back."""
    generator = np.random.default_rng(0)
    rate, other = generator.uniform(0.01, 0.99, (2, 6_600))
    joint = joint_probability(rate, other, generator.uniform(-0.95, 0.95, 6_600))
    found = latent_correlation(rate, other, joint)
    seconds = _seconds(lambda: latent_correlation(rate, other, joint))
    missed = np.abs(joint_probability(rate, other, found) - joint).max()
    print(f"tetrachoric: {seconds / 6_600 * 1e6:.1f} µs a pair, joint missed by {missed:.1e}")


def _check_alone(prior: Prior, vectors: np.ndarray) -> None:
    for row in range(0, DRAWS, DRAWS // ALONE):
        stratum = prior.strata(0, "train", row, row + 1)
        if not np.array_equal(prior.vectors(0, "train", row, stratum)[0], vectors[row]):
            raise SystemExit(f"row {row} drawn alone differs from the bulk")
    print(f"    {ALONE} rows drawn alone equal the bulk to the bit")


def _seconds(call: Callable[[], object]) -> float:
    begin = time.process_time()
    call()
    return time.process_time() - begin


if __name__ == "__main__":
    for asked in (0.05, 0.15, 0.4):
        measure_draws(asked)
    measure_plan()
    measure_calibration()
