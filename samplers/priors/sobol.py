"""Sobol points in place of random numbers, addressed by (seed, stage, row).

A digital sequence in base 2 (Sobol 1967; direction numbers of Joe & Kuo 2008), scrambled by a
random linear matrix and a digital shift (Matoušek 1998), which a hash of seed and stage decides.
Row i is the XOR of the direction numbers that the Gray code of i selects: it needs none before it.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt64

from samplers.priors.prior import ActiveSetsPrior, DealtPrior, Prior, WrappedPrior
from samplers.randomness import derive_seed
from synthgen.errors import ConfigError

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
    from scipy.stats import qmc  # half a second, for those who draw by Sobol sequences

    engine = qmc.Sobol(width, bits=_BITS, rng=np.random.default_rng(derive_seed(seed, stage)))
    return engine._sv.T.copy(), engine._shift.copy()


@dataclass(frozen=True, slots=True)
class SobolPrior(WrappedPrior):
    """A prior whose first vectors are drawn by Sobol sequences.

    Where strata are dealt out, each has a sequence of its own, whose k-th row the k-th position of
    the stratum takes. Where the set of active AUs is drawn, one sequence decides sets and
    intensities. Replacements, and what rules or quotas draw again, take random numbers: a point
    that was refused has no second one of its own.

    Attributes:
        inner: the other prior.
    """

    inner: DealtPrior | ActiveSetsPrior

    @classmethod
    def build(cls, inner: Prior, name: str) -> "SobolPrior":
        """Give a prior Sobol points.

        Raises:
            ConfigError: if the prior is drawn in another way, which cannot take them.
        """
        if not isinstance(inner, DealtPrior | ActiveSetsPrior):
            raise ConfigError(
                f"expressions.sampling is 'sobol'; prior {name!r} can have 'random' alone"
            )
        return cls(inner)

    def strata(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Return the strata; drawn sets of active AUs by the first columns of the sequence."""
        if not isinstance(self.inner, ActiveSetsPrior):
            return self.inner.strata(seed, split, start, stop)
        numbers = _set_numbers(self.inner, seed, split, start, stop)
        return self.inner.sets(numbers[:, : self.inner.set_width])

    def vectors(
        self,
        seed: int,
        split: str,
        start: int,
        strata: Int64[np.ndarray, " rows"],
        replacement: int = 0,
    ) -> Float32[np.ndarray, "rows aus"]:
        """Draw the AU vectors of the positions from `start` of a split, one for each stratum."""
        stop = start + len(strata)
        if replacement:
            return self.inner.vectors(seed, split, start, strata, replacement)
        if isinstance(self.inner, ActiveSetsPrior):
            numbers = _set_numbers(self.inner, seed, split, start, stop)
            sets, rest = np.split(numbers, [self.inner.set_width], axis=1)
            return self.inner.complete(strata, sets, rest)
        numbers = np.empty((len(strata), self.width))
        ranks = self.inner.ranks(seed, split, start, stop)
        for stratum in np.unique(strata).tolist():
            rows = strata == stratum
            stage = f"expressions/sobol/{split}/stratum-{stratum}"
            numbers[rows] = sobol_uniforms(seed, stage, ranks[rows], self.width)
        return self.inner.draw(strata, numbers)

    def trial(
        self,
        seed: int,
        split: str,
        start: int,
        strata: Int64[np.ndarray, " rows"],
        replacement: int,
        number: int,
    ) -> tuple[Int64[np.ndarray, " rows"], Float32[np.ndarray, "rows aus"]]:
        """Draw positions once more, by random numbers."""
        return self.inner.trial(seed, split, start, strata, replacement, number)


def _set_numbers(
    inner: ActiveSetsPrior, seed: int, split: str, start: int, stop: int
) -> Float64[np.ndarray, "rows columns"]:
    """Return the numbers that decide the set, then those that decide the vector."""
    rows = np.arange(start, stop, dtype=np.int64)
    return sobol_uniforms(seed, f"expressions/sobol/{split}", rows, inner.set_width + inner.width)
