"""Vectors of a prior by Sobol points in place of random numbers, for even coverage."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from samplers.priors.active_sets import ActiveSetsPrior
from samplers.priors.dealt import DealtPrior
from samplers.priors.prior import Prior
from samplers.priors.wrapping import WrappedPrior
from samplers.sobol import sobol_uniforms
from synthgen.errors import ConfigError


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
