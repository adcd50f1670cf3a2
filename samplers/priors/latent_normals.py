"""Latent normals of the AUs: mixed, cut at their thresholds, and drawn again within a cut.

AU j is active where z_j > t_j, with z = L w and w independent standard normals. Arrays are laid out
[aus, rows], so that every operation is one over whole rows and each row is the same alone and in
bulk, to the bit.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.special import ndtr, ndtri

from samplers.priors.au_sets import set_numbers
from samplers.randomness import normals

SWEEPS = 4
"""Times that each normal is drawn again, given the others, for a replacement."""

_FEW = 16
"""Rows up to which one call on all terms is quicker than one for each AU."""


@dataclass(frozen=True, slots=True, eq=False)
class LatentNormals:
    """Correlated normals with a threshold each.

    Attributes:
        factor: lower triangular L, L Lᵀ = the correlation matrix.
        thresholds: t; −∞ where an AU is always active, ∞ where never.
    """

    factor: Float64[np.ndarray, "aus aus"]
    thresholds: Float64[np.ndarray, " aus"]

    @classmethod
    def build(
        cls, correlation: Float64[np.ndarray, "aus aus"], rates: Float64[np.ndarray, " aus"]
    ) -> "LatentNormals":
        """Build the normals of a positive definite correlation matrix and of rates [0, 1]."""
        return cls(_cholesky(correlation), -ndtri(rates))

    def drawn(
        self, numbers: Float64[np.ndarray, "rows aus"]
    ) -> tuple[Float64[np.ndarray, "aus rows"], Float64[np.ndarray, "aus rows"]]:
        """Turn uniforms into w and z."""
        independent = ndtri(numbers.T.copy())
        return independent, self.mix(independent)

    def mix(self, independent: Float64[np.ndarray, "aus rows"]) -> Float64[np.ndarray, "aus rows"]:
        """Return L w; the terms of a sum are added in the order of the AUs, few rows or many."""
        if independent.shape[1] <= _FEW:
            terms = self.factor.T[:, :, None] * independent[:, None]
            return np.add.accumulate(terms, axis=0)[-1]
        mixed = self.factor[:, :1] * independent[0]
        for column in range(1, len(self.factor)):
            below = mixed[column:]
            np.add(below, self.factor[column:, column, None] * independent[column], out=below)
        return mixed

    def active(self, mixed: Float64[np.ndarray, "aus rows"]) -> Bool[np.ndarray, "aus rows"]:
        """Return which AUs are active."""
        return mixed > self.thresholds[:, None]

    def begin(
        self, active: Bool[np.ndarray, "aus rows"], numbers: Float64[np.ndarray, "aus rows"]
    ) -> Float64[np.ndarray, "aus rows"]:
        """Find w with given active AUs, AU by AU, each given those before it.

        This is the importance density of Geweke, Hajivassiliou and Keane, near the conditional law
        but not equal to it.

        Args:
            active: the AUs that are to be active.
            numbers: uniforms.
        """
        independent = np.zeros(numbers.shape)
        for au in range(len(self.factor)):
            given = np.zeros(numbers.shape[1])
            for before in range(au):
                given = given + self.factor[au, before] * independent[before]
            bound = (self.thresholds[au] - given) / self.factor[au, au]
            low = np.where(active[au], bound, -np.inf)
            high = np.where(active[au], np.inf, bound)
            independent[au] = _between(low, high, numbers[au])
        return independent

    def draw_again(
        self,
        independent: Float64[np.ndarray, "aus rows"],
        active: Bool[np.ndarray, "aus rows"],
        numbers: Float64[np.ndarray, "steps rows"],
    ) -> Float64[np.ndarray, "aus rows"]:
        """Draw w again, given the active AUs: a Gibbs sampler that begins at a given w.

        Each step draws one w_k from its law given the others, a normal cut to an interval (Geweke,
        "Efficient simulation from the multivariate normal … subject to linear constraints", 1991).
        That leaves the conditional law as it is: where the given w is a draw from it, so is the
        result, whatever the number of steps.

        Args:
            independent: w to begin at, with these active AUs.
            active: the AUs that stay active.
            numbers: uniforms; step s draws w_(s mod aus).
        """
        independent = independent.copy()
        mixed = self.mix(independent)
        for step, number in enumerate(numbers):
            column = step % len(self.factor)
            low, high = self._interval(column, independent[column], mixed, active)
            drawn = _between(low, high, number)
            mixed = mixed + self.factor[:, column, None] * (drawn - independent[column])
            independent[column] = drawn
        return independent

    def _interval(
        self,
        column: int,
        value: Float64[np.ndarray, " rows"],
        mixed: Float64[np.ndarray, "aus rows"],
        active: Bool[np.ndarray, "aus rows"],
    ) -> tuple[Float64[np.ndarray, " rows"], Float64[np.ndarray, " rows"]]:
        """Return where w_column may lie so that no AU changes between active and not."""
        bearing = np.flatnonzero(self.factor[:, column])
        weight = self.factor[bearing, column, None]
        bound = value + (self.thresholds[bearing, None] - mixed[bearing]) / weight
        from_below = active[bearing] == (weight > 0)
        low = np.where(from_below, bound, -np.inf).max(axis=0)
        high = np.where(from_below, np.inf, bound).min(axis=0)
        return np.minimum(low, value), np.maximum(high, value)


def _between(
    low: Float64[np.ndarray, " rows"],
    high: Float64[np.ndarray, " rows"],
    numbers: Float64[np.ndarray, " rows"],
) -> Float64[np.ndarray, " rows"]:
    """Draw standard normals cut to intervals, in the tail where the numbers are precise."""
    flip = low > 0
    left, right = np.where(flip, -high, low), np.where(flip, -low, high)
    below = ndtr(left)
    drawn = ndtri(below + numbers * (ndtr(right) - below))
    nearest = np.where(np.isfinite(right), right, left)
    drawn = np.where(np.isfinite(drawn), drawn, nearest)
    return np.clip(np.where(flip, -drawn, drawn), low, high)


def _cholesky(matrix: Float64[np.ndarray, "n n"]) -> Float64[np.ndarray, "n n"]:
    """Factor a positive definite matrix by sums in fixed order, whatever library is installed."""
    factor = np.zeros_like(matrix)
    for row in range(len(matrix)):
        for column in range(row + 1):
            rest = float(matrix[row, column])
            for before in range(column):
                rest -= float(factor[row, before]) * float(factor[column, before])
            factor[row, column] = rest**0.5 if row == column else rest / factor[column, column]
    return factor


_SIZE = 1 << 16
_STAGE = "expressions/normals bank"


@dataclass(frozen=True, slots=True, eq=False)
class NormalsBank:
    """Draws of w, sorted by which AUs they make active.

    Attributes:
        independent: w of each draw.
        sets: the sets of active AUs that occur, ascending.
        firsts: number of the first draw of each, and the number of all.
    """

    independent: Float64[np.ndarray, "aus draws"]
    sets: Int64[np.ndarray, " sets"]
    firsts: Int64[np.ndarray, " firsts"]

    def pick(
        self, strata: Int64[np.ndarray, " rows"], numbers: Float64[np.ndarray, " rows"]
    ) -> tuple[Float64[np.ndarray, "aus rows"], Bool[np.ndarray, " rows"]]:
        """Pick a draw of each set of active AUs by a uniform; the mask tells where there is one."""
        place = np.minimum(np.searchsorted(self.sets, strata), len(self.sets) - 1)
        first = self.firsts[place]
        count = np.where(self.sets[place] == strata, self.firsts[place + 1] - first, 0)
        number = np.minimum(first + (numbers * count).astype(np.int64), _SIZE - 1)
        return self.independent[:, number], count > 0


@lru_cache(maxsize=8)
def bank_of(latent: LatentNormals) -> NormalsBank:
    """Return the stock of latent normals; it is filled at the first call."""
    independent = normals(0, _STAGE, 0, _SIZE, len(latent.factor)).T.copy()
    drawn = set_numbers(latent.active(latent.mix(independent)).T)
    order = np.argsort(drawn, kind="stable")
    sets, firsts = np.unique(drawn[order], return_index=True)
    return NormalsBank(independent[:, order], sets, np.append(firsts, _SIZE))
