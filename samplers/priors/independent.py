"""Prior `independent`: each AU active at its own rate, whatever the others do."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from samplers.priors.prior import Prior
from samplers.priors.support import Part
from samplers.randomness import uniforms
from synthgen.action_units import AU_COUNT, AUS
from synthgen.config import IndependentConfig

_BITS = 1 << np.arange(AU_COUNT, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class IndependentPrior(Prior):
    """Rate and intensity of each AU. A stratum is the set of active AUs, bit i for AU i.

    Attributes:
        active: probability of each AU, in [0, 1].
        low: lowest intensity of each AU where it is active.
        high: highest intensity of each AU where it is active.
    """

    active: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def from_config(cls, config: IndependentConfig) -> "IndependentPrior":
        """Build the prior of a configuration."""
        rates = config.rates()
        return cls(
            active=tuple(au.rate for au in rates),
            low=tuple(au.intensity.low for au in rates),
            high=tuple(au.intensity.high for au in rates),
        )

    @property
    def width(self) -> int:
        """Uniforms that a vector takes."""
        return AU_COUNT

    @property
    def categories(self) -> tuple[str, ...]:
        """Nothing: there are no categories."""
        return ()

    def strata(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Draw the set of active AUs of each position."""
        numbers = uniforms(seed, f"expressions/active/{split}", start, stop, AU_COUNT)
        return (numbers < np.array(self.active)) @ _BITS

    def draw(
        self, strata: Int64[np.ndarray, " rows"], numbers: Float64[np.ndarray, "rows 12"]
    ) -> Float32[np.ndarray, "rows 12"]:
        """Give each active AU an intensity; column i is AU i's."""
        low, high = np.array(self.low), np.array(self.high)
        active = (strata[:, None] & _BITS) != 0
        return np.where(active, low + (high - low) * numbers, 0.0).astype(np.float32)

    def stratum_name(self, stratum: int) -> str:
        """Name the active AUs: `AU6+AU12`, or `neutral`."""
        active = [name for bit, name in enumerate(AUS) if stratum >> bit & 1]
        return "+".join(active) or "neutral"

    def category_shares(self) -> dict[str, float]:
        """Return nothing: there are no categories."""
        return {}

    def rates(self) -> Float64[np.ndarray, " 12"]:
        """Return the rates of the configuration."""
        return np.array(self.active)

    def joint(self) -> Float64[np.ndarray, "12 12"]:
        """Return the products of the rates."""
        rates = np.array(self.active)
        products = rates[:, None] * rates
        products[range(AU_COUNT), range(AU_COUNT)] = rates
        return products

    def parts(self) -> tuple[Part, ...]:
        """Return the whole: no share is fixed."""
        return (Part("this prior", self.active, self.low, self.high),)

    def mean_intensities(self) -> Float64[np.ndarray, " 12"]:
        """Return the middle of each AU's range."""
        return (np.array(self.low) + np.array(self.high)) / 2
