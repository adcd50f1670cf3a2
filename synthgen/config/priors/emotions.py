"""The section of prior `emotions`."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from synthgen.config.priors.base import IntensityRange, PriorSection


class EmotionsConfig(PriorSection):
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
        self._check_intensities("intensity", self.intensity.low, self.intensity.high)
        return self

    def weights(self) -> dict[str, float]:
        """Return the weight of each category."""
        if isinstance(self.categories, dict):
            return dict(self.categories)
        return dict.fromkeys(self.categories, 1.0)
