"""The section of prior `combinations`."""

from typing import Literal

from pydantic import Field, model_validator

from synthgen.action_units import AUS, au_index
from synthgen.config.base import MOST_WEIGHT, Section
from synthgen.config.priors.base import PriorSection

MAX_COMBINATIONS = 500
"""Most combinations of a list: a block of 1000 positions holds each of them."""


class CombinationConfig(Section):
    """AUs that are active together."""

    aus: dict[str, float | list[float]] = Field(
        description="AU → intensity, or [lowest, highest], drawn uniformly; {} is the neutral face."
    )
    weight: float = Field(
        default=1.0, gt=0, le=MOST_WEIGHT, description="Weight of the combination, above 0."
    )
    name: str | None = Field(
        default=None, min_length=1, description="Name of the stratum; without it, AU6+AU12."
    )

    @model_validator(mode="after")
    def _ranges_in_order(self) -> "CombinationConfig":
        for name, value in self.aus.items():
            au_index(name)
            if isinstance(value, list) and (len(value) != 2 or value[0] > value[1]):
                raise ValueError(f"{name} is {value}; it must be [lowest, highest]")
            if 0 in self.range_of(name):
                raise ValueError(f"{name} is {value}; leave out an AU that is not active")
        return self

    @property
    def title(self) -> str:
        """Name of the stratum."""
        return self.name or "+".join(name for name in AUS if name in self.aus) or "neutral"

    def range_of(self, name: str) -> tuple[float, float]:
        """Return the lowest and the highest intensity of an AU; 0 where it is not active."""
        value = self.aus.get(name, 0.0)
        return (value[0], value[-1]) if isinstance(value, list) else (value, value)


class CombinationsConfig(PriorSection):
    """An explicit list of combinations of AUs."""

    prior: Literal["combinations"]
    combinations: list[CombinationConfig] = Field(
        min_length=1,
        max_length=MAX_COMBINATIONS,
        description="Combinations. Shares are exact in each block of at most 1000 samples of a "
        "split; finer ones are rounded to 0.001 or more.",
    )

    @model_validator(mode="after")
    def _are_allowed(self) -> "CombinationsConfig":
        seen = set()
        for combination in self.combinations:
            title = combination.title
            if title in seen:
                raise ValueError(f"two combinations are named {title!r}; give one another name")
            seen.add(title)
            for name in combination.aus:
                self._check_intensities(f"{name} of {title!r}", *combination.range_of(name))
        return self
