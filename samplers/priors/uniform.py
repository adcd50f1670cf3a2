"""Prior `uniform`: k active AUs, any k of them alike."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from pydantic import Field, field_validator, model_validator

from samplers.priors.prior import ActiveSetsPrior, Part
from synthgen.action_units import DEFAULT_AUS, ActionUnitSet
from synthgen.config.aus_in_use import AuName, default_names
from synthgen.config.base import MOST_WEIGHT
from synthgen.config.priors.base import IntensityRange, PriorSection

_NUMBER = re.compile(r"0|[1-9][0-9]?")


class UniformConfig(PriorSection):
    """k active AUs, any k of them alike."""

    prior: Literal["uniform"]  # pyright: ignore[reportIncompatibleVariableOverride]
    active: dict[int, float] = Field(
        min_length=1, description="Number of active AUs → weight above 0."
    )
    aus: list[AuName] = Field(
        default_factory=default_names,
        min_length=1,
        description="The AUs to choose from; those of the run where nothing is said.",
    )
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
        if len({self.au_set.index(name) for name in self.aus}) < len(self.aus):
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
        return tuple(
            self.active.get(number, 0.0) / total for number in range(len(self.action_units) + 1)
        )

    def build(self) -> "UniformPrior":
        """Build the prior."""
        return UniformPrior.from_config(self)


@dataclass(frozen=True, slots=True)
class UniformPrior(ActiveSetsPrior):
    """k by its weights, then any k of the AUs. A stratum is the set of active AUs, bit i for AU i.

    Intensities are uniform in a range, each by itself; or their sum is uniform in a range and is
    split uniformly over the simplex: Dirichlet(1, …, 1), by exponentials over their sum.

    Attributes:
        weights: probability of each number of active AUs, from 0 to all.
        choice: positions of the AUs to choose from.
        low: lowest intensity, or lowest sum.
        high: highest intensity, or highest sum.
        split: whether low and high bound the sum.
        action_units: the AUs of a vector.
    """

    weights: tuple[float, ...]
    choice: tuple[int, ...]
    low: float
    high: float
    split: bool
    action_units: ActionUnitSet = field(default=DEFAULT_AUS, kw_only=True)

    stage: ClassVar[str] = "expressions/uniform"

    @classmethod
    def from_config(cls, config: UniformConfig) -> "UniformPrior":
        """Build the prior of a configuration."""
        bounds = config.total or config.each
        return cls(
            weights=config.weights(),
            choice=tuple(sorted(config.au_set.index(name) for name in config.aus)),
            low=bounds.low,
            high=bounds.high,
            split=config.total is not None,
            action_units=config.au_set,
        )

    @property
    def set_width(self) -> int:
        """Uniforms that decide a set: one for the number of AUs, and one for each AU."""
        return 1 + len(self.action_units)

    @property
    def width(self) -> int:
        """Uniforms that a vector takes: one for each AU, and one for a sum."""
        return len(self.action_units) + self.split

    def active(
        self, numbers: Float64[np.ndarray, "rows set_width"]
    ) -> Bool[np.ndarray, "rows aus"]:
        """Decide k by column 0, and the k smallest of the AUs' keys by the others."""
        most = max(number for number, weight in enumerate(self.weights) if weight)
        count = np.searchsorted(np.cumsum(self.weights)[:most], numbers[:, 0], side="right")
        keys = np.full((len(numbers), len(self.action_units)), np.inf)
        keys[:, self.choice] = numbers[:, 1:][:, self.choice]
        ranks = np.argsort(np.argsort(keys, axis=1, kind="stable"), axis=1, kind="stable")
        return ranks < count[:, None]

    def draw(
        self, strata: Int64[np.ndarray, " rows"], numbers: Float64[np.ndarray, "rows width"]
    ) -> Float32[np.ndarray, "rows aus"]:
        """Give each active AU an intensity; column i is AU i's, the last one the sum's."""
        active = self.members(strata)
        if not self.split:
            intensity = self.low + (self.high - self.low) * numbers
            return np.where(active, intensity, 0.0).astype(np.float32)
        total = self.low + (self.high - self.low) * numbers[:, -1:]
        return (total * _simplex(active, numbers[:, :-1])).astype(np.float32)

    def rates(self) -> Float64[np.ndarray, " aus"]:
        """Return Σ P(k) · k / n for the n AUs to choose from."""
        rates = np.zeros(len(self.action_units))
        rates[list(self.choice)] = self._mean_number() / len(self.choice)
        return rates

    def joint(self) -> Float64[np.ndarray, "aus aus"]:
        """Return Σ P(k) · k (k − 1) / (n (n − 1)) for each two of the n AUs."""
        aus = len(self.action_units)
        number, size = np.arange(aus + 1), len(self.choice)
        pairs = float(np.array(self.weights) @ (number * (number - 1)))
        joint = np.zeros((aus, aus))
        joint[np.ix_(self.choice, self.choice)] = pairs / max(size * (size - 1), 1)
        np.fill_diagonal(joint, self.rates())
        return joint

    def mean_intensities(self) -> Float64[np.ndarray, " aus"]:
        """Return the middle of the range; of a sum, the mean share of it that an AU has."""
        middle = (self.low + self.high) / 2
        if self.split and (number := self._mean_number()):
            middle *= (1 - self.weights[0]) / number
        return np.full(len(self.action_units), middle)

    def parts(self) -> tuple[Part, ...]:
        """Return the whole: no share is fixed."""
        aus = len(self.action_units)
        chances = [0.5 * (au in self.choice) for au in range(aus)]
        low, high = [0.0 if self.split else self.low] * aus, [self.high] * aus
        numbers = [number for number, weight in enumerate(self.weights) if weight]
        return (Part.of("this prior", chances, low, high, numbers),)

    def _mean_number(self) -> float:
        return float(np.array(self.weights) @ np.arange(len(self.weights)))


def _simplex(
    active: Bool[np.ndarray, "rows aus"], numbers: Float64[np.ndarray, "rows aus"]
) -> Float64[np.ndarray, "rows aus"]:
    """Return shares of the active AUs, uniform among those that add up to 1."""
    exponentials = np.where(active, -np.log(numbers), 0.0)
    total = np.zeros(len(active))
    for au in range(active.shape[1]):  # in fixed order: a row has the same bits alone and in bulk
        total += exponentials[:, au]
    return exponentials / np.where(total > 0, total, 1.0)[:, None]
