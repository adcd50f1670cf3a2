"""Measure how many portraits a core paints in a second, by edition (budget: 200 and 150).

    OMP_NUM_THREADS=1 python benchmarks/procedural_faces.py

CPU time of this process counts, in the fastest of several hundreds of faces, so that neighbours on
the machine change the figure little.
"""

import time

import numpy as np

from pipelines.procedural import random_identity, render
from pipelines.procedural.drawn_aus import aus_of_edition

BUDGETS = {1: 200.0, 2: 150.0}
"""Edition → faces a second."""

FACES = 1200
CHUNK = 100
SIZE = 128


def main() -> None:
    """Paint random people with random AUs and print the rates."""
    rates = {edition: _rate(edition) for edition in BUDGETS}
    for edition, rate in rates.items():
        print(
            f"procedural faces {SIZE}×{SIZE}, edition {edition}: {rate:.0f} a second on a core; "
            f"budget {BUDGETS[edition]:.0f}; {rate / rates[1]:.2f} of edition 1"
        )


def _rate(edition: int) -> float:
    """Return faces a second."""
    draws = np.random.default_rng(0)
    shape = (FACES, len(aus_of_edition(edition)))
    active = draws.random(shape) < 0.3
    aus = np.where(active, draws.uniform(0.5, 5.0, shape), 0.0).tolist()
    for seed in range(20):
        render(random_identity(seed, edition=edition), aus[seed], SIZE)
    return CHUNK / min(_seconds(aus[i : i + CHUNK], i, edition) for i in range(0, FACES, CHUNK))


def _seconds(aus: list[list[float]], first_seed: int, edition: int) -> float:
    start = time.process_time()
    for offset, vector in enumerate(aus):
        render(random_identity(first_seed + offset, edition=edition), vector, SIZE)
    return time.process_time() - start


if __name__ == "__main__":
    main()
