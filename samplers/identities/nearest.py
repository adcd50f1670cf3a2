"""Who in a store is nearest to an embedding, by the cosine."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64

_BLOCK = 1024
"""Queries that are compared at once: with 10,000 rows, 40 MB of similarities."""


class Nearest(NamedTuple):
    """The nearest row of a store for each query.

    Attributes:
        rows: number of the row.
        similarity: cosine [−1, 1].
    """

    rows: Int64[np.ndarray, " queries"]
    similarity: Float32[np.ndarray, " queries"]


def nearest(
    queries: Float32[np.ndarray, "queries width"], rows: Float32[np.ndarray, "rows width"]
) -> Nearest:
    """Compare normalised queries with every normalised row, exactly.

    Args:
        queries: what to look for.
        rows: at least one row.
    """
    found, similarity = [], []
    for start in range(0, len(queries), _BLOCK):
        cosines = queries[start : start + _BLOCK] @ rows.T
        best = cosines.argmax(axis=1)
        found.append(best)
        similarity.append(cosines[np.arange(len(best)), best])
    if not found:
        return Nearest(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
    return Nearest(np.concatenate(found), np.concatenate(similarity))
