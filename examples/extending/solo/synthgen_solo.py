"""Prior `solo` for synthgen: one Action Unit at a time, each as often as every other."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float32, Float64, Int64
from pydantic import Field

from synthgen.extending import ActionUnitSet, IntensityRange, Prior, PriorSection


class Solo(PriorSection):
    """Section `expressions` with `prior: solo`."""

    intensity: IntensityRange = Field(
        default=IntensityRange(), description="Range of the intensity of the one active AU."
    )

    def build(self) -> "SoloPrior":
        """Build the prior."""
        return SoloPrior(self.intensity.low, self.intensity.high, self.au_set)


@dataclass(frozen=True, slots=True)
class SoloPrior(Prior):
    """One AU after another. A stratum is the place of the AU among those of the run.

    Attributes:
        low: lowest intensity.
        high: highest intensity.
        action_units: the AUs of the run.
    """

    balanced: ClassVar[bool] = True

    low: float
    high: float
    action_units: ActionUnitSet

    @property
    def width(self) -> int:
        """Uniforms that a vector takes: one, for the intensity."""
        return 1

    @property
    def categories(self) -> tuple[str, ...]:
        """None: an AU is no emotion."""
        return ()

    def strata(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Go through the AUs over and over."""
        return np.arange(start, stop, dtype=np.int64) % len(self.action_units)

    def draw(
        self, strata: Int64[np.ndarray, " rows"], numbers: Float64[np.ndarray, "rows width"]
    ) -> Float32[np.ndarray, "rows aus"]:
        """Turn uniforms into vectors."""
        vectors = np.zeros((len(strata), len(self.action_units)), np.float32)
        vectors[np.arange(len(strata)), strata] = self.low + (self.high - self.low) * numbers[:, 0]
        return vectors

    def stratum_name(self, stratum: int) -> str:
        """Return the name of the AU."""
        return self.action_units.names[stratum]

    def category_shares(self) -> dict[str, float]:
        """Return nothing: there are no categories."""
        return {}

    def rates(self) -> Float64[np.ndarray, " aus"]:
        """Return the share of samples in which each AU is active."""
        return np.full(len(self.action_units), 1 / len(self.action_units))

    def mean_intensities(self) -> Float64[np.ndarray, " aus"]:
        """Return the mean intensity of each AU where it is active."""
        return np.full(len(self.action_units), (self.low + self.high) / 2)
