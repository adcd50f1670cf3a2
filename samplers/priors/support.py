"""What a part of a prior may show at all: the ground on which rules are refused."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from synthgen.action_units import AU_COUNT

_NUMBERS = frozenset(range(AU_COUNT + 1))

MOST_NAMED = 14
"""Most AUs that rules may tell apart where a part sometimes shows them: 2^14 sets are looked at."""


@dataclass(frozen=True, slots=True)
class Part:
    """A share of a prior that rules must not change, and the vectors that it may hold.

    Attributes:
        name: for people to read.
        chances: of each AU: 0 never active, 1 always, else sometimes.
        low: lowest intensity of each AU where it is active.
        high: highest intensity of each AU where it is active.
        numbers: how many AUs may be active.
    """

    name: str
    chances: tuple[float, ...]
    low: tuple[float, ...] = (-np.inf,) * AU_COUNT
    high: tuple[float, ...] = (np.inf,) * AU_COUNT
    numbers: frozenset[int] = _NUMBERS

    @classmethod
    def of(
        cls,
        name: str,
        chances: Iterable[float],
        low: Iterable[float] | None = None,
        high: Iterable[float] | None = None,
        numbers: Iterable[int] = _NUMBERS,
    ) -> "Part":
        """Describe a part; intensities without bounds may be anything."""
        return cls(
            name,
            tuple(map(float, chances)),
            (-np.inf,) * AU_COUNT if low is None else tuple(map(float, low)),
            (np.inf,) * AU_COUNT if high is None else tuple(map(float, high)),
            frozenset(numbers),
        )

    def patterns(self, named: Iterable[int]) -> Bool[np.ndarray, "patterns aus"]:
        """Return the sets of active AUs that are possible, as far as rules tell them apart.

        Of the AUs that no rule names, a set of each size stands for all of that size: so there are
        2^k · (n + 1) of them at most, for k of n AUs that are named.

        Args:
            named: the AUs that are not alike to the rules.

        Raises:
            ValueError: if these are more than `MOST_NAMED` of those that the part sometimes shows.
        """
        chances = np.array(self.chances)
        sometimes = (chances > 0) & (chances < 1)
        told = np.zeros(len(chances), dtype=bool)
        told[list(named)] = True
        told |= np.greater(self.low, self.high)
        free, alike = np.flatnonzero(sometimes & told), np.flatnonzero(sometimes & ~told)
        if len(free) > MOST_NAMED:
            raise ValueError(
                f"the rules tell {len(free)} AUs of {self.name} apart; at most {MOST_NAMED} are "
                "possible, so name fewer AUs in rules"
            )
        sets = (np.arange(1 << len(free))[:, None] >> np.arange(len(free)) & 1).astype(bool)
        sizes = np.tri(len(alike) + 1, len(alike), -1, dtype=bool)  # the first 0, 1, … of them
        patterns = np.zeros((len(sets) * len(sizes), len(chances)), dtype=bool)
        patterns[:, chances >= 1] = True
        patterns[:, free] = np.repeat(sets, len(sizes), axis=0)
        patterns[:, alike] = np.tile(sizes, (len(sets), 1))
        return patterns[np.isin(patterns.sum(axis=1), list(self.numbers))]
