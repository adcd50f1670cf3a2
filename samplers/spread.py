"""Cells in exact proportion and spread evenly: any stretch of positions holds its share of each.

For quotas, which must hold in small splits too; `proportions.blocked_order` shuffles freely.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Int64

from samplers.randomness import uniforms

_BLOCK = 1000
"""Positions of a block of up to a hundred cells; of more cells it has ten for each."""

_EXACT = 1e-6
"""A count that is nearer than this to a whole number is one."""


def spread_counts(shares: tuple[float, ...]) -> tuple[int, ...]:
    """Return how often each cell stands in a block: the shortest that holds the shares exactly.

    Where no block of 1000 does, the shares are rounded by largest remainder, each count at least 1.

    Args:
        shares: share of each cell, above 0; they add up to 1.
    """
    sizes = np.arange(len(shares), _BLOCK + 1)[:, None]
    exact = sizes * np.array(shares)
    whole = np.rint(exact)
    fits = (np.abs(exact - whole) < _EXACT).all(axis=1) & (whole >= 1).all(axis=1)
    if fits.any():
        return tuple(whole[fits.argmax()].astype(int).tolist())
    return _rounded(np.array(shares), max(_BLOCK, 10 * len(shares)))


def spread_order(
    seed: int, stage: str, counts: tuple[int, ...], start: int, stop: int
) -> Int64[np.ndarray, " rows"]:
    """Return the cell of each position start … stop−1.

    Positions are cut into blocks of `sum(counts)`. In each, the k-th of the n positions of a cell
    stands at (k + u) / n of the block, u drawn anew for each.
    """
    size = sum(counts)
    first, last = start // size, -(-stop // size)
    blocks = [_block(seed, stage, counts, block) for block in range(first, last)]
    order = np.concatenate([np.empty(0, np.int64), *blocks])
    return order[start - first * size : stop - first * size]


@lru_cache(maxsize=64)
def _block(
    seed: int, stage: str, counts: tuple[int, ...], block: int
) -> Int64[np.ndarray, " rows"]:
    cells = np.repeat(np.arange(len(counts)), counts)
    places = np.concatenate([np.arange(count) for count in counts])
    numbers = uniforms(seed, stage, block, block + 1, len(cells))[0]
    keys = (places + numbers) / np.array(counts)[cells]
    return cells[np.argsort(keys, kind="stable")]


def _rounded(shares: np.ndarray, size: int) -> tuple[int, ...]:
    parts = shares * (size - len(shares))
    counts = 1 + parts.astype(int)
    remainders = parts - parts.astype(int)
    counts[np.argsort(-remainders, kind="stable")[: size - counts.sum()]] += 1
    return tuple(counts.tolist())
