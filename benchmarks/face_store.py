"""Nearest neighbours in a store of 10,000 faces, and people invented far from all of them.

Run: python benchmarks/face_store.py --threads 2
"""

import argparse
import os
import time


def main() -> None:
    """Print seconds of one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    # Before numpy loads its linear algebra.
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    _measure(arguments.rows, arguments.people)


def _measure(rows: int, people: int) -> None:
    import numpy as np

    from samplers.identities import FaceStore, new_people
    from samplers.identities.embeddings import StoreAbout
    from samplers.identities.synthetic import nearest

    draw = np.random.default_rng(0)
    about = StoreAbout(embedder="none", embedder_name="random")
    started = time.perf_counter()
    store = FaceStore.build(draw.normal(size=(rows, 512)), [f"p{n}" for n in range(rows)], about)
    print(f"check {rows} rows: {time.perf_counter() - started:.2f} s")

    started = time.perf_counter()
    made = new_people(store, people, 0, min_distance=0.7, shrinkage=0.1)
    print(f"invent {people} people: {time.perf_counter() - started:.2f} s")

    started = time.perf_counter()
    found = nearest(made.embeddings, store.embeddings)
    seconds = time.perf_counter() - started
    print(f"nearest of {rows} rows for {people} people: {seconds:.3f} s")
    print(f"largest similarity to anyone real: {found.similarity.max():.3f}")


if __name__ == "__main__":
    main()
