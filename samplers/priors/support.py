"""What a part of a prior may show at all: the ground on which rules are refused."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from synthgen.action_units import AU_COUNT

_NUMBERS = frozenset(range(AU_COUNT + 1))
_PATTERNS = (np.arange(1 << AU_COUNT)[:, None] >> np.arange(AU_COUNT) & 1).astype(bool)


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

    def patterns(self) -> Bool[np.ndarray, "patterns aus"]:
        """Return the sets of active AUs that are possible."""
        chances = np.array(self.chances)
        never, always = (chances <= 0)[None], (chances >= 1)[None]
        possible = ~(_PATTERNS & never).any(axis=1) & ~(~_PATTERNS & always).any(axis=1)
        possible &= np.isin(_PATTERNS.sum(axis=1), list(self.numbers))
        return _PATTERNS[possible]
