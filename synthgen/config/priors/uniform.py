"""The section of prior `uniform`."""

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator, model_validator

from synthgen.action_units import AU_COUNT, AUS, au_index
from synthgen.config.base import MOST_WEIGHT
from synthgen.config.priors.base import IntensityRange, PriorSection

_NUMBER = re.compile(r"0|[1-9][0-9]?")


class UniformConfig(PriorSection):
    """k active AUs, any k of them alike."""

    prior: Literal["uniform"]
    active: dict[int, float] = Field(
        min_length=1, description="Number of active AUs → weight above 0."
    )
    aus: list[str] = Field(default=list(AUS), min_length=1, description="The AUs to choose from.")
    intensity: IntensityRange | None = Field(
        default=None,
        description="Range of the intensity of each active AU; 0.5 to 5 if total is not given.",
    )
    total: IntensityRange | None = Field(
        default=None,
        description="Range of the sum of the intensities, which is split uniformly at random "
        "among the active AUs; instead of intensity.",
    )

    @field_validator("active", mode="before")
    @classmethod
    def _numbers_as_text(cls, value: object) -> object:
        """Read the keys that JSON made text."""
        if not isinstance(value, Mapping):
            return value
        return {
            int(key) if isinstance(key, str) and _NUMBER.fullmatch(key) else key: weight
            for key, weight in value.items()
        }

    @model_validator(mode="after")
    def _is_possible(self) -> "UniformConfig":
        if len({au_index(name) for name in self.aus}) < len(self.aus):
            raise ValueError(f"aus names an AU twice: {', '.join(self.aus)}")
        for number, weight in self.active.items():
            if not 0 <= number <= len(self.aus):
                raise ValueError(f"active names {number} AUs; there are {len(self.aus)} in aus")
            if not 0 < weight <= MOST_WEIGHT:
                bound = f" and at most {MOST_WEIGHT:g}" if weight > 0 else ""
                raise ValueError(
                    f"weight of {number} active AUs is {weight:g}; it must be above 0{bound}"
                )
        if self.intensity is not None and self.total is not None:
            raise ValueError("intensity and total are both given; leave one out")
        for where in ("intensity", "total"):
            if (given := getattr(self, where)) is not None:
                self._check_intensities(where, given.low, given.high)
        if self.total is not None and self.total.low <= 0:
            raise ValueError(f"total.low is {self.total.low:g}; it must be above 0")
        return self

    @property
    def each(self) -> IntensityRange:
        """The range of each intensity, where no total is given."""
        return self.intensity or IntensityRange(low=0.5, high=5.0)

    def weights(self) -> tuple[float, ...]:
        """Return the probability of each number of active AUs, from 0 to all."""
        total = sum(self.active.values())
        return tuple(self.active.get(number, 0.0) / total for number in range(AU_COUNT + 1))
