"""Measure how many portraits a core paints in a second (budget: 200 at 128×128).

    OMP_NUM_THREADS=1 python benchmarks/procedural_faces.py

CPU time of this process counts, in the fastest of several hundreds of faces, so that neighbours on
the machine change the figure little.
"""

import time

import numpy as np

from pipelines.procedural import random_identity, render
from synthgen.action_units import AU_COUNT

BUDGET = 200.0
FACES = 1200
CHUNK = 100
SIZE = 128


def main() -> None:
    """Paint random people with random AUs and print the rate."""
    draws = np.random.default_rng(0)
    active = draws.random((FACES, AU_COUNT)) < 0.3
    aus = np.where(active, draws.uniform(0.5, 5.0, (FACES, AU_COUNT)), 0.0).tolist()
    for seed in range(20):
        render(random_identity(seed), aus[seed], SIZE)
    fastest = min(_seconds(aus[i : i + CHUNK], i) for i in range(0, FACES, CHUNK))
    rate = CHUNK / fastest
    print(f"procedural faces {SIZE}×{SIZE}: {rate:.0f} a second on a core; budget {BUDGET:.0f}")


def _seconds(aus: list[list[float]], first_seed: int) -> float:
    start = time.process_time()
    for offset, vector in enumerate(aus):
        render(random_identity(first_seed + offset), vector, SIZE)
    return time.process_time() - start


if __name__ == "__main__":
    main()
