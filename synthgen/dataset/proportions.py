"""Statistics of counts: a share with its interval, and the correlation of two yes-or-no facts."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

from synthgen.dataset.markdown import percent

_ERROR = 0.05
"""Share of intervals that miss, and of comparisons in which chance is taken for more."""


@dataclass(frozen=True, slots=True)
class Proportion:
    """A share of cases, with its 95 % interval by Wilson's score.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22
    (1927). All figures are NaN without cases.

    Attributes:
        hits: cases that count.
        total: cases.
        worth: independent cases that they are worth; None: each is one.
    """

    hits: int
    total: int
    worth: float | None = None

    @property
    def share(self) -> float:
        """The share itself [0, 1]."""
        return self.hits / self.total if self.total else math.nan

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self._end(-1)

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self._end(1)

    def differs_from(self, other: "Proportion") -> bool:
        """Return whether the two intervals have nothing in common; False without cases."""
        return self.low > other.high or self.high < other.low

    def text(self, written: Callable[[float], str] = percent) -> str:
        """Write the share with its interval; a dash without cases."""
        if not self.total:
            return "–"
        return f"{written(self.share)} ({written(self.low)} to {written(self.high)})"

    def _end(self, side: int) -> float:
        if not self.total:
            return math.nan
        if self.hits == (self.total if side > 0 else 0):
            return float(side > 0)  # without what rounding leaves over
        z, n = _deviation(_ERROR), self.worth or self.total
        middle = self.share + z**2 / (2 * n)
        spread = z * math.sqrt(self.share * (1 - self.share) / n + z**2 / (4 * n**2))
        return (middle + side * spread) / (1 + z**2 / n)


def clustered(
    total: int, hits: int, groups: int, squares: int, products: int, hit_squares: int
) -> Proportion:
    """Return a share of cases that come in groups, such as images of people.

    Cases of a group may go together, and are then worth fewer: as many as would give the variance
    of the share as a ratio of sums over the groups. E. L. Korn and B. I. Graubard, "Confidence
    intervals for proportions with small expected number of positive counts estimated from survey
    data", Survey Methodology 24 (1998).

    Args:
        total: cases.
        hits: those that count.
        groups: groups.
        squares: sum over the groups of their cases squared.
        products: sum of cases times hits.
        hit_squares: sum of hits squared.
    """
    if groups < 2 or not 0 < hits < total:
        return Proportion(hits, total)
    share = hits / total
    spread = hit_squares - 2 * share * products + share**2 * squares
    worth = share * (1 - share) * total**2 / spread if spread > 0 else total
    return Proportion(hits, total, worth if worth < total * (1 - 1e-9) else None)


def phi(both: int, first: int, second: int, total: int) -> float:
    """Return the correlation of two yes-or-no facts [-1, 1]; NaN where either never changes.

    Args:
        both: cases in which both hold.
        first: cases in which the first holds.
        second: cases in which the second holds.
        total: all cases.
    """
    scale = float(first) * (total - first) * second * (total - second)
    return (total * both - first * second) / math.sqrt(scale) if scale > 0 else math.nan


def chance_phi(total: int, pairs: int) -> float:
    """Return the |φ| that the largest of some pairs of unrelated facts reaches 1 time in 20.

    n·φ² is χ² of one degree of freedom; the level is shared out among the pairs (Bonferroni).

    Args:
        total: cases.
        pairs: pairs of facts that are compared.
    """
    return _deviation(_ERROR / max(pairs, 1)) / math.sqrt(total) if total else math.nan


def rows_for(strength: float, pairs: int) -> int:
    """Return the cases from which `chance_phi` is below a |φ|."""
    return math.ceil((_deviation(_ERROR / max(pairs, 1)) / strength) ** 2)


def _deviation(error: float) -> float:
    """Return how many standard deviations a normal value exceeds on either side so often."""
    return NormalDist().inv_cdf(1 - error / 2)
