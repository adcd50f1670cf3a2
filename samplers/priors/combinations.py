"""Prior `combinations`: an explicit list of sets of AUs, each intensity in a range of its own."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from samplers.priors.dealt import DealtPrior
from samplers.priors.proportions import blocked_order, blocked_ranks, whole_proportions
from samplers.priors.support import Part
from synthgen.action_units import AU_COUNT, AUS
from synthgen.config.priors import CombinationsConfig

_STAGE = "expressions/combination"


@dataclass(frozen=True, slots=True)
class CombinationsPrior(DealtPrior):
    """Combinations of AUs in exact proportion. A stratum is the number of a combination.

    Attributes:
        names: name of each combination.
        counts: how often each stands in a block of positions.
        low: for each, the lowest intensity of each AU; 0 where the AU is not active.
        high: for each, the highest intensity of each AU.
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]
    low: tuple[tuple[float, ...], ...]
    high: tuple[tuple[float, ...], ...]

    @classmethod
    def from_config(cls, config: CombinationsConfig) -> "CombinationsPrior":
        """Build the prior of a configuration."""
        combinations = config.combinations
        counts = whole_proportions({one.title: one.weight for one in combinations})
        ranges = [[one.range_of(au) for au in AUS] for one in combinations]
        return cls(
            names=tuple(one.title for one in combinations),
            counts=tuple(counts[one.title] for one in combinations),
            low=tuple(tuple(low for low, _ in row) for row in ranges),
            high=tuple(tuple(high for _, high in row) for row in ranges),
        )

    @property
    def width(self) -> int:
        """Uniforms that a vector takes."""
        return AU_COUNT

    @property
    def categories(self) -> tuple[str, ...]:
        """Nothing: names of combinations are no emotions."""
        return ()

    def strata(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Return the number of the combination of each position."""
        return blocked_order(seed, f"{_STAGE}/{split}", self.counts, start, stop)

    def ranks(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Return how many positions before each have its stratum."""
        return blocked_ranks(seed, f"{_STAGE}/{split}", self.counts, start, stop)

    def draw(
        self, strata: Int64[np.ndarray, " rows"], numbers: Float64[np.ndarray, "rows aus"]
    ) -> Float32[np.ndarray, "rows aus"]:
        """Draw each intensity from its range; column i is AU i's."""
        low, high = np.array(self.low)[strata], np.array(self.high)[strata]
        return (low + (high - low) * numbers).astype(np.float32)

    def stratum_name(self, stratum: int) -> str:
        """Name the combination."""
        return self.names[stratum]

    def listed(self) -> int | None:
        """Return the length of a block that holds each stratum once."""
        return len(self.counts) if set(self.counts) == {1} else None

    def category_shares(self) -> dict[str, float]:
        """Return nothing: there are no categories."""
        return {}

    def rates(self) -> Float64[np.ndarray, " aus"]:
        """Return the share of combinations that hold each AU."""
        return self._shares() @ self._active()

    def joint(self) -> Float64[np.ndarray, "aus aus"]:
        """Return the share of combinations that hold both AUs."""
        active = self._active()
        return (active * self._shares()[:, None]).T @ active

    def mean_intensities(self) -> Float64[np.ndarray, " aus"]:
        """Return the mean of the middles of the ranges."""
        middles = (np.array(self.low) + np.array(self.high)) / 2
        total, rates = self._shares() @ middles, self.rates()
        return np.divide(total, rates, out=np.zeros(AU_COUNT), where=rates > 0)

    def parts(self) -> tuple[Part, ...]:
        """Return the combinations."""
        rows = zip(self.names, self._active(), self.low, self.high, strict=True)
        return tuple(
            Part.of(f"combination {name!r}", active, low, high) for name, active, low, high in rows
        )

    def _active(self) -> Float64[np.ndarray, "combinations aus"]:
        return ((np.array(self.low) != 0) | (np.array(self.high) != 0)).astype(np.float64)

    def _shares(self) -> Float64[np.ndarray, " combinations"]:
        return np.array(self.counts) / sum(self.counts)
