"""Prior `combinations`: vectors of AUs listed by hand."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float32, Float64, Int64
from pydantic import Field, model_validator

from samplers.priors.prior import DealtPrior, Part
from samplers.shares import blocked_order, blocked_ranks, whole_proportions
from synthgen.action_units import DEFAULT_AUS, FACS, ActionUnitSet
from synthgen.config.aus_in_use import AuMapping, check_au
from synthgen.config.base import MOST_WEIGHT, Section
from synthgen.config.priors.base import PriorSection

_STAGE = "expressions/combination"


MAX_COMBINATIONS = 500
"""Most combinations of a list: a block of 1000 positions holds each of them."""


class CombinationConfig(Section):
    """AUs that are active together."""

    aus: AuMapping[float | list[float]] = Field(
        description="AU → intensity, or [lowest, highest], drawn uniformly; {} is the neutral face."
    )
    weight: float = Field(
        default=1.0, gt=0, le=MOST_WEIGHT, description="Weight of the combination, above 0."
    )
    name: str | None = Field(
        default=None,
        min_length=1,
        description="Name of the expression, a label of its rows; without it, AU6+AU12.",
    )
    level: float | None = Field(
        default=None,
        ge=0,
        le=100,
        exclude_if=lambda level: level is None,
        description="How strong the expression is on a scale of yours [0, 100], a label of its "
        "rows; combinations of one name may differ by it.",
    )

    @model_validator(mode="after")
    def _ranges_in_order(self) -> "CombinationConfig":
        for name, value in self.aus.items():
            check_au(name)
            if isinstance(value, list) and (len(value) != 2 or value[0] > value[1]):
                raise ValueError(f"{name} is {value}; it must be [lowest, highest]")
            if 0 in self.range_of(name):
                raise ValueError(f"{name} is {value}; leave out an AU that is not active")
        return self

    @property
    def title(self) -> str:
        """Name of the expression."""
        return self.name or "+".join(name for name in FACS if name in self.aus) or "neutral"

    @property
    def stratum(self) -> str:
        """Name of the stratum: the expression, and its level where it has one."""
        return self.title if self.level is None else f"{self.title} at {self.level:g}"

    def range_of(self, name: str) -> tuple[float, float]:
        """Return the lowest and the highest intensity of an AU; 0 where it is not active."""
        value = self.aus.get(name, 0.0)
        return (value[0], value[-1]) if isinstance(value, list) else (value, value)


class CombinationsConfig(PriorSection):
    """An explicit list of combinations of AUs."""

    prior: Literal["combinations"]  # pyright: ignore[reportIncompatibleVariableOverride]
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
            title = combination.stratum
            if title in seen:
                raise ValueError(f"two combinations are named {title!r}; give one another name")
            seen.add(title)
            for name in combination.aus:
                self._check_intensities(f"{name} of {title!r}", *combination.range_of(name))
        return self

    def build(self) -> "CombinationsPrior":
        """Build the prior."""
        return CombinationsPrior.from_config(self)


@dataclass(frozen=True, slots=True)
class CombinationsPrior(DealtPrior):
    """Combinations of AUs in exact proportion. A stratum is the number of a combination.

    Attributes:
        names: name of the stratum of each combination.
        counts: how often each stands in a block of positions.
        low: for each, the lowest intensity of each AU; 0 where the AU is not active.
        high: for each, the highest intensity of each AU.
        titles: name of each one's expression; empty where their owner named none.
        levels: level of each, or None; empty where none has any.
        action_units: the AUs of a vector.
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]
    low: tuple[tuple[float, ...], ...]
    high: tuple[tuple[float, ...], ...]
    titles: tuple[str, ...] = field(default=(), kw_only=True)
    levels: tuple[float | None, ...] = field(default=(), kw_only=True)
    action_units: ActionUnitSet = field(default=DEFAULT_AUS, kw_only=True)

    @classmethod
    def from_config(cls, config: CombinationsConfig) -> "CombinationsPrior":
        """Build the prior of a configuration."""
        combinations = config.combinations
        counts = whole_proportions({one.stratum: one.weight for one in combinations})
        named = any(one.name for one in combinations)
        leveled = any(one.level is not None for one in combinations)
        ranges = [[one.range_of(au) for au in config.action_units] for one in combinations]
        return cls(
            names=tuple(one.stratum for one in combinations),
            counts=tuple(counts[one.stratum] for one in combinations),
            low=tuple(tuple(low for low, _ in row) for row in ranges),
            high=tuple(tuple(high for _, high in row) for row in ranges),
            titles=tuple(one.title for one in combinations) if named else (),
            levels=tuple(one.level for one in combinations) if leveled else (),
            action_units=config.au_set,
        )

    @property
    def width(self) -> int:
        """Uniforms that a vector takes."""
        return len(self.action_units)

    @property
    def categories(self) -> tuple[str, ...]:
        """Nothing: names of combinations are no emotions."""
        return ()

    @property
    def expressions(self) -> tuple[str, ...]:
        """Names of the combinations, each once; empty where their owner named none."""
        return tuple(dict.fromkeys(self.titles))

    @property
    def has_levels(self) -> bool:
        """True where a combination has a level."""
        return bool(self.levels)

    def expression(self, stratum: int) -> str | None:
        """Return the name of the combination, or None where none has one."""
        return self.titles[stratum] if self.titles else None

    def level(self, stratum: int) -> float | None:
        """Return the level of the combination, or None where it has none."""
        return self.levels[stratum] if self.levels else None

    def strata(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Return the number of the combination of each position."""
        return blocked_order(seed, f"{_STAGE}/{split}", self.counts, start, stop)

    def ranks(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Return how many positions before each have its stratum."""
        return blocked_ranks(seed, f"{_STAGE}/{split}", self.counts, start, stop)

    def draw(
        self, strata: Int64[np.ndarray, " rows"], numbers: Float64[np.ndarray, "rows aus"]
    ) -> Float32[np.ndarray, "rows aus"]:
        """Draw each intensity from its range; column i is AU i's."""
        low, high = np.array(self.low)[strata], np.array(self.high)[strata]
        return (low + (high - low) * numbers).astype(np.float32)

    def stratum_name(self, stratum: int) -> str:
        """Name the combination."""
        return self.names[stratum]

    def listed(self) -> int | None:
        """Return the length of a block that holds each stratum once."""
        return len(self.counts) if set(self.counts) == {1} else None

    def category_shares(self) -> dict[str, float]:
        """Return nothing: there are no categories."""
        return {}

    def rates(self) -> Float64[np.ndarray, " aus"]:
        """Return the share of combinations that hold each AU."""
        return self._shares() @ self._active()

    def joint(self) -> Float64[np.ndarray, "aus aus"]:
        """Return the share of combinations that hold both AUs."""
        active = self._active()
        return (active * self._shares()[:, None]).T @ active

    def mean_intensities(self) -> Float64[np.ndarray, " aus"]:
        """Return the mean of the middles of the ranges."""
        middles = (np.array(self.low) + np.array(self.high)) / 2
        total, rates = self._shares() @ middles, self.rates()
        return np.divide(total, rates, out=np.zeros_like(rates), where=rates > 0)

    def parts(self) -> tuple[Part, ...]:
        """Return the combinations."""
        rows = zip(self.names, self._active(), self.low, self.high, strict=True)
        return tuple(
            Part.of(f"combination {name!r}", active, low, high) for name, active, low, high in rows
        )

    def _active(self) -> Float64[np.ndarray, "combinations aus"]:
        return ((np.array(self.low) != 0) | (np.array(self.high) != 0)).astype(np.float64)

    def _shares(self) -> Float64[np.ndarray, " combinations"]:
        return np.array(self.counts) / sum(self.counts)
