"""Gain of one set of recognisers over another on the same test: a paired difference of accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from pipelines.evaluation.outside_statistics import codes_of
from pipelines.recognition.confusions import RESAMPLES

_NORMAL = 1.96


@dataclass(frozen=True, slots=True)
class Gain:
    """Difference of two accuracies.

    Attributes:
        value: the difference, mean over the seeds.
        low: lower end of its 95 % interval.
        high: upper end.
        seeds: the difference of each seed.
    """

    value: float
    low: float
    high: float
    seeds: tuple[float, ...]

    @property
    def shown(self) -> bool:
        """True where the whole interval lies above 0."""
        return self.low > 0


def gain_of(
    after: Bool[np.ndarray, "S n"],
    before: Bool[np.ndarray, "S n"],
    people: Sequence[str],
    seed: int,
) -> Gain:
    """Compare what two sets of recognisers call right, seed by seed and picture by picture.

    The interval is value ± 1.96 · √(s_p² + s_s² / S). s_p is the standard deviation of the
    difference over draws of the people of the test (another test would differ so), s_s that over
    the S seeds (another training would differ so); of one seed it is not known and left out.

    Args:
        after: whether each picture is called right, by the recognisers that should be better.
        before: the same of the others.
        people: whom each picture shows.
        seed: of the draws.
    """
    each = after.astype(np.float64) - before.astype(np.float64)
    value, seeds = float(each.mean()), each.mean(1)
    codes = codes_of(people)
    over_people = _spread(each.mean(0), codes, seed)
    over_seeds = float(seeds.var(ddof=1)) / len(seeds) if len(seeds) > 1 else 0.0
    reach = _NORMAL * float(np.sqrt(over_people + over_seeds))
    return Gain(value, value - reach, value + reach, tuple(float(one) for one in seeds))


def _spread(differences: Float[np.ndarray, " n"], people: np.ndarray, seed: int) -> float:
    """Return the variance of the mean difference over draws of people."""
    count = int(people.max()) + 1
    sums = np.bincount(people, differences, count)
    sizes = np.bincount(people, minlength=count).astype(np.float64)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(np.float64)
    return float(((weights @ sums) / (weights @ sizes)).var())
