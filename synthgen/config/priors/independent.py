"""The section of prior `independent`."""

from typing import Literal

from pydantic import Field, model_validator

from synthgen.action_units import AUS, au_index
from synthgen.config.base import Section
from synthgen.config.priors.base import IntensityRange, PriorSection


class AURate(Section):
    """How often one AU is active, and how strongly."""

    rate: float = Field(
        ge=0, le=1, description="Share of samples in which the AU is active [0, 1]."
    )
    intensity: IntensityRange = Field(
        default=IntensityRange(low=0.5, high=5.0), description="Range of its intensity when active."
    )


class IndependentConfig(PriorSection):
    """Each AU active at its own rate, whatever the others do."""

    prior: Literal["independent"]
    aus: dict[str, AURate] = Field(
        min_length=1, description="Rate and intensity of each AU; an AU not named is never active."
    )

    @model_validator(mode="after")
    def _aus_allowed(self) -> "IndependentConfig":
        for name, au in self.aus.items():
            au_index(name)
            where = f"intensity of {name}"
            self._check_intensities(where, au.intensity.low, au.intensity.high)
        return self

    def rates(self) -> list[AURate]:
        """Return the rates in the order of an AU vector."""
        return [self.aus.get(name, AURate(rate=0.0)) for name in AUS]
