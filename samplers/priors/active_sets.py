"""Priors that draw the set of active AUs first, then intensities for it."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from samplers.priors.au_sets import set_members, set_numbers
from samplers.priors.prior import Prior
from samplers.randomness import uniforms
from synthgen.action_units import AU_COUNT, AUS


class ActiveSetsPrior(Prior, ABC):
    """A prior whose stratum is the set of active AUs, bit i for AU i; it has no categories."""

    stage: ClassVar[str]
    """Stage of the numbers that decide the sets."""

    set_width: ClassVar[int]
    """Uniforms that decide a set."""

    @abstractmethod
    def active(
        self, numbers: Float64[np.ndarray, "rows set_width"]
    ) -> Bool[np.ndarray, "rows aus"]:
        """Turn uniforms into sets of active AUs."""

    @property
    def categories(self) -> tuple[str, ...]:
        """Nothing: there are no categories."""
        return ()

    def strata(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Draw the set of active AUs of each position."""
        numbers = uniforms(seed, f"{self.stage}/{split}", start, stop, self.set_width)
        return self.sets(numbers)

    def sets(self, numbers: Float64[np.ndarray, "rows set_width"]) -> Int64[np.ndarray, " rows"]:
        """Turn uniforms into strata."""
        return set_numbers(self.active(numbers))

    def complete(
        self,
        strata: Int64[np.ndarray, " rows"],
        set_numbers: Float64[np.ndarray, "rows set_width"],
        numbers: Float64[np.ndarray, "rows width"],
    ) -> Float32[np.ndarray, "rows aus"]:
        """Turn uniforms into AU vectors, those that decided the strata at hand."""
        return self.draw(strata, numbers)

    def members(self, strata: Int64[np.ndarray, " rows"]) -> Bool[np.ndarray, "rows aus"]:
        """Return which AUs are active in each stratum."""
        return set_members(strata, AU_COUNT)

    def stratum_name(self, stratum: int) -> str:
        """Name the active AUs: `AU6+AU12`, or `neutral`."""
        active = [name for bit, name in enumerate(AUS) if stratum >> bit & 1]
        return "+".join(active) or "neutral"

    def category_shares(self) -> dict[str, float]:
        """Return nothing: there are no categories."""
        return {}
