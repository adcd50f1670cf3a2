"""What the sections of all priors share."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from synthgen.action_units import MAX_INTENSITY, MIN_INTENSITY
from synthgen.config.base import Section
from synthgen.config.priors.rules import MAX_RULES, RuleConfig
from synthgen.config.quotas import QuotasConfig

FURTHEST = 100.0
"""Largest intensity, up or down, that `allow_out_of_range` allows."""


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


class PriorSection(Section):
    """The keys that every prior has."""

    allow_out_of_range: bool = Field(
        default=False,
        description="Allow intensities outside [0, 5], to which FineFace answers too.",
    )
    source: str | None = Field(
        default=None, description="Where the numbers come from, for people to read."
    )
    sampling: Literal["random", "sobol"] = Field(
        default="random",
        description="Numbers that vectors are drawn with: random, or a scrambled Sobol sequence "
        "that covers all of them more evenly.",
    )
    rules: list[RuleConfig] = Field(
        default=[],
        max_length=MAX_RULES,
        description="What vectors keep: those against a rule are drawn anew.",
    )
    quotas: QuotasConfig | None = Field(
        default=None,
        description="Shares of categories, AUs and levels that hold in the delivered data.",
    )

    @field_validator("rules")
    @classmethod
    def _rules_differ(cls, value: list[RuleConfig]) -> object:
        texts = [rule.text() for rule in value]
        for text in texts:
            if texts.count(text) > 1:
                raise ValueError(f"the rule {text!r} stands there twice")
        return value

    def _check_intensities(self, where: str, *values: float) -> None:
        """Refuse intensities outside [0, 5] that the section does not allow."""
        far = [value for value in values if abs(value) > FURTHEST]
        if far:
            raise ValueError(f"{where} {far[0]:g} is outside [-{FURTHEST:g}, {FURTHEST:g}]")
        outside = [value for value in values if not MIN_INTENSITY <= value <= MAX_INTENSITY]
        if outside and not self.allow_out_of_range:
            raise ValueError(
                f"{where} {outside[0]:g} is outside [0, 5]; "
                "set allow_out_of_range: true to allow it"
            )
