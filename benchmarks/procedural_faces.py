"""Measure how many portraits a core paints in a second (budget: 200 at 128×128).

    OMP_NUM_THREADS=1 python benchmarks/procedural_faces.py

CPU time of this process counts, not the clock on the wall, so that neighbours on the machine do not
change the figure.
"""

import time

import numpy as np

from pipelines.procedural import random_identity, render
from synthgen.action_units import AU_COUNT

BUDGET = 200.0
FACES = 600
SIZE = 128


def main() -> None:
    """Paint random people with random AUs and print the rate."""
    draws = np.random.default_rng(0)
    active = draws.random((FACES, AU_COUNT)) < 0.3
    aus = np.where(active, draws.uniform(0.5, 5.0, (FACES, AU_COUNT)), 0.0).tolist()
    for seed in range(20):
        render(random_identity(seed), aus[seed], SIZE)
    start = time.process_time()
    for seed, vector in enumerate(aus):
        render(random_identity(seed), vector, SIZE)
    rate = FACES / (time.process_time() - start)
    print(f"procedural faces {SIZE}×{SIZE}: {rate:.0f} a second on a core; budget {BUDGET:.0f}")


if __name__ == "__main__":
    main()
