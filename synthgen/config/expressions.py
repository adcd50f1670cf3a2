"""Section `expressions`: the prior over AU vectors."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from synthgen.action_units import AUS, MAX_INTENSITY, MIN_INTENSITY, au_index
from synthgen.config.base import Section


class IntensityRange(Section):
    """A range of AU intensities; values are drawn uniformly from it."""

    low: float = Field(default=2.0, description="Lowest intensity of an active AU, in [0, 5].")
    high: float = Field(default=5.0, description="Highest intensity of an active AU, in [0, 5].")

    @model_validator(mode="after")
    def _in_order(self) -> "IntensityRange":
        if self.low > self.high:
            raise ValueError(
                f"low is {self.low:g} and high is {self.high:g}; low must not be larger"
            )
        return self

    def outside(self) -> list[float]:
        """Return the bounds that lie outside [0, 5]."""
        return [v for v in (self.low, self.high) if not MIN_INTENSITY <= v <= MAX_INTENSITY]


class _Expressions(Section):
    allow_out_of_range: bool = Field(
        default=False,
        description="Allow intensities outside [0, 5], to which FineFace answers too.",
    )

    def _check_range(self, where: str, intensity: IntensityRange) -> None:
        if (outside := intensity.outside()) and not self.allow_out_of_range:
            raise ValueError(
                f"{where} {outside[0]:g} is outside [0, 5]; "
                "set allow_out_of_range: true to allow it"
            )


class EmotionsConfig(_Expressions):
    """Prototypes of emotions with their variants (Du, Tao & Martinez, PNAS 2014)."""

    prior: Literal["emotions"]
    categories: list[str] | dict[str, float] = Field(
        min_length=1,
        description="Emotion categories in equal shares, or a mapping to weights above 0. Shares "
        "are exact in each block of at most 1000 samples of a split; finer ones are rounded to "
        "0.001 or more.",
    )
    intensity: IntensityRange = Field(
        default=IntensityRange(), description="Range of the intensity of each active AU."
    )
    variants: bool = Field(
        default=True,
        description="Add the variant AUs of a category as often as its subjects showed them.",
    )
    allow_ambiguous: bool = Field(
        default=False,
        description="Allow two categories whose prototypes are the same on the 12 AUs.",
    )

    @field_validator("categories")
    @classmethod
    def _weights_are_positive(cls, value: list[str] | dict[str, float]) -> object:
        if isinstance(value, list) and len(set(value)) < len(value):
            double = next(name for name in value if value.count(name) > 1)
            raise ValueError(f"category {double!r} stands there twice; give it a weight instead")
        for name, weight in value.items() if isinstance(value, dict) else ():
            if weight <= 0:
                raise ValueError(f"weight of {name} is {weight:g}; it must be above 0")
        return value

    @model_validator(mode="after")
    def _intensity_allowed(self) -> "EmotionsConfig":
        self._check_range("intensity", self.intensity)
        return self

    def weights(self) -> dict[str, float]:
        """Return the weight of each category."""
        if isinstance(self.categories, dict):
            return dict(self.categories)
        return dict.fromkeys(self.categories, 1.0)


class AURate(Section):
    """How often one AU is active, and how strongly."""

    rate: float = Field(
        ge=0, le=1, description="Share of samples in which the AU is active [0, 1]."
    )
    intensity: IntensityRange = Field(
        default=IntensityRange(low=0.5, high=5.0), description="Range of its intensity when active."
    )


class IndependentConfig(_Expressions):
    """Each AU active at its own rate, whatever the others do."""

    prior: Literal["independent"]
    aus: dict[str, AURate] = Field(
        min_length=1, description="Rate and intensity of each AU; an AU not named is never active."
    )

    @model_validator(mode="after")
    def _aus_allowed(self) -> "IndependentConfig":
        for name, au in self.aus.items():
            au_index(name)
            self._check_range(f"intensity of {name}", au.intensity)
        return self

    def rates(self) -> list[AURate]:
        """Return the 12 rates in the order of an AU vector."""
        return [self.aus.get(name, AURate(rate=0.0)) for name in AUS]


ExpressionsConfig = Annotated[EmotionsConfig | IndependentConfig, Field(discriminator="prior")]
