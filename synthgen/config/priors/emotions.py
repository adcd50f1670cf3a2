"""The section of prior `emotions`."""

from collections import Counter
from typing import Literal

from pydantic import Field, field_validator, model_validator

from synthgen.config.base import MOST_WEIGHT, Section
from synthgen.config.priors.base import IntensityRange, PriorSection


class BlendConfig(Section):
    """Two categories in one face: a category of its own, named `happy+surprised`."""

    of: list[str] = Field(min_length=2, max_length=2, description="The two categories.")
    weight: float = Field(
        default=1.0, gt=0, le=MOST_WEIGHT, description="Weight of the blend, above 0."
    )
    share: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="Share of the first (0, 1). The one with the larger share shows at full "
        "intensity, the other one scaled by the ratio of the shares; AUs of both are full.",
    )

    @model_validator(mode="after")
    def _two_different(self) -> "BlendConfig":
        if self.of[0] == self.of[1]:
            raise ValueError(f"{self.of[0]!r} cannot be blended with itself")
        return self

    @property
    def name(self) -> str:
        """Name of the category."""
        return "+".join(self.of)


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
    profile: Literal["independent", "common"] = Field(
        default="independent",
        description="Intensities of the AUs of one expression: each drawn alone, or close to one "
        "that they have in common.",
    )
    spread: float = Field(
        default=0.5,
        ge=0,
        le=1000,
        description="Profile common: how far an AU is from the common intensity at most; more "
        "than the range of intensities is as much as the range.",
    )
    blends: list[BlendConfig] = Field(
        default=[], max_length=100, description="Further categories, each of two of the table."
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
            double = next(name for name, count in Counter(value).items() if count > 1)
            raise ValueError(f"category {double!r} stands there twice; give it a weight instead")
        for name, weight in value.items() if isinstance(value, dict) else ():
            if not 0 < weight <= MOST_WEIGHT:
                bound = f" and at most {MOST_WEIGHT:g}" if weight > 0 else ""
                raise ValueError(f"weight of {name} is {weight:g}; it must be above 0{bound}")
        return value

    @field_validator("blends")
    @classmethod
    def _blends_differ(cls, value: list[BlendConfig]) -> object:
        seen = set()
        for blend in value:
            if frozenset(blend.of) in seen:
                raise ValueError(f"{' and '.join(sorted(blend.of))} are blended twice")
            seen.add(frozenset(blend.of))
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
