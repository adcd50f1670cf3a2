"""Sobol points addressed by (seed, stage, row): the same alone and in bulk, to the bit.

A digital sequence in base 2 (Sobol 1967; direction numbers of Joe & Kuo 2008), scrambled by a
random linear matrix and a digital shift (Matoušek 1998), which a hash of seed and stage decides.
Row i is the XOR of the direction numbers that the Gray code of i selects: it needs none before it.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float64, Int64, UInt64
from scipy.stats import qmc

from samplers.randomness import derive_seed

_BITS = 52

MAX_ROWS = 1 << 40
"""Rows of a sequence."""


def sobol_uniforms(
    seed: int, stage: str, rows: Int64[np.ndarray, " rows"], width: int
) -> Float64[np.ndarray, "rows width"]:
    """Return some rows of a scrambled Sobol sequence, in the open interval (0, 1).

    Of 2^k rows from a multiple of 2^k, each column has one in each of 2^k equal bins.

    Args:
        seed: seed of the run [0, 2^63).
        stage: name of the purpose; other names give other scrambles.
        rows: numbers of the rows [0, 2^40).
        width: numbers in a row.

    Returns:
        Odd multiples of 2^-53.
    """
    if width < 1 or (len(rows) and not 0 <= rows.min() <= rows.max() < MAX_ROWS):
        raise ValueError(f"there are no such rows of width {width}: {rows}")
    directions, shift = _scramble(seed, stage, width)
    return (_points(rows, directions, shift).astype(np.float64) + 0.5) * 2.0**-_BITS


def _points(
    rows: Int64[np.ndarray, " rows"],
    directions: UInt64[np.ndarray, "bits width"],
    shift: UInt64[np.ndarray, " width"],
) -> UInt64[np.ndarray, "rows width"]:
    gray = rows ^ (rows >> 1)
    points = np.broadcast_to(shift, (len(rows), len(shift))).copy()
    for bit in range(int(gray.max(initial=0)).bit_length()):
        points[(gray >> bit & 1) == 1] ^= directions[bit]
    return points


@lru_cache(maxsize=1024)
def _scramble(
    seed: int, stage: str, width: int
) -> tuple[UInt64[np.ndarray, "bits width"], UInt64[np.ndarray, " width"]]:
    """Return scrambled direction numbers and the shift.

    SciPy gives points in order alone, so these are read from its engine.
    """
    engine = qmc.Sobol(width, bits=_BITS, rng=np.random.default_rng(derive_seed(seed, stage)))
    return engine._sv.T.copy(), engine._shift.copy()
