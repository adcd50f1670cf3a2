"""Priors `combinations` and `grid`: vectors of AUs listed by hand or level by level."""

from dataclasses import dataclass, field
from math import comb
from typing import Literal

import numpy as np
from jaxtyping import Float32, Float64, Int64
from pydantic import Field, model_validator

from samplers.priors.prior import DealtPrior, Part
from samplers.randomness import uniforms
from samplers.shares import blocked_order, blocked_ranks, whole_proportions
from synthgen.action_units import (
    AUS,
    DEFAULT_AUS,
    FACS,
    ActionUnitSet,
)
from synthgen.config.aus_in_use import check_au, default_names
from synthgen.config.base import MOST_WEIGHT, Section
from synthgen.config.priors.base import PriorSection

_STAGE = "expressions/combination"


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
        """Whether a combination has a level."""
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


_SEED = 0
"""The combinations of a grid are the same for every run."""


COMBINED = (2, 3, 4)
"""Number of AUs in a combination of a grid."""

FINEFACE_COMBINATIONS = 50


class GridConfig(PriorSection):
    """Each AU alone at each level, then combinations, over and over in this order."""

    prior: Literal["grid"]  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol: Literal["fineface"] | None = Field(
        default=None,
        description="fineface: the evaluation of the FineFace paper for a prompt, 12 AUs at 5 "
        "intensities and 50 combinations; then no other key of the grid may be given.",
    )
    aus: list[str] = Field(
        default_factory=default_names,
        min_length=1,
        description="The AUs; those of the run where nothing is said.",
    )
    levels: list[float] = Field(
        default=[1.0, 2.0, 3.0, 4.0, 5.0],
        min_length=1,
        max_length=100,
        description="The intensities, none 0.",
    )
    combinations: int = Field(
        default=0,
        ge=0,
        le=5000,
        description="Further cells, each of 2 to 4 of the AUs at levels of their own; drawn once, "
        "the same for every seed.",
    )

    @model_validator(mode="after")
    def _is_possible(self) -> "GridConfig":
        if self.quotas is not None:
            raise ValueError("a grid shows its cells in a fixed order; leave quotas out")
        if self.protocol and self.au_set.names != AUS:
            raise ValueError(
                f"protocol {self.protocol} is about {', '.join(AUS)}; leave action_units out"
            )
        fixed = {"aus": self.action_units} | {
            key: type(self).model_fields[key].default for key in ("levels", "combinations")
        }
        for key, value in fixed.items():
            if self.protocol and getattr(self, key) != value:
                raise ValueError(f"protocol {self.protocol} fixes {key}; leave one of them out")
        self._check_values()
        if self.combinations > (possible := self._possible()):
            raise ValueError(
                f"combinations is {self.combinations}; {len(self.aus)} AUs at {len(self.levels)} "
                f"levels have {possible} of 2 to 4 AUs"
            )
        return self

    @property
    def drawn(self) -> int:
        """Number of combinations of several AUs."""
        return FINEFACE_COMBINATIONS if self.protocol else self.combinations

    def _check_values(self) -> None:
        for values, what in ((self.aus, "aus"), (self.levels, "levels")):
            if len(set(values)) < len(values):
                raise ValueError(f"{what} holds a value twice: {', '.join(map(str, values))}")
        for name in self.aus:
            self.au_set.index(name)
        if 0 in self.levels:
            raise ValueError("levels holds 0; an AU at 0 is not active")
        self._check_intensities("level", *self.levels)

    def _possible(self) -> int:
        return sum(comb(len(self.aus), k) * len(self.levels) ** k for k in COMBINED)

    def build(self) -> "GridPrior":
        """Build the prior."""
        return GridPrior.from_config(self)


@dataclass(frozen=True, slots=True)
class GridPrior(DealtPrior):
    """Cells in a fixed order: position p of a split shows cell p mod n. A stratum is a cell.

    So each n positions hold each cell once, and with `expressions_per_identity: n` each identity
    shows the whole grid.

    Attributes:
        cells: AU vectors, one for each cell.
        action_units: the AUs of a vector.
    """

    cells: tuple[tuple[float, ...], ...]
    action_units: ActionUnitSet = field(default=DEFAULT_AUS, kw_only=True)

    @classmethod
    def from_config(cls, config: GridConfig) -> "GridPrior":
        """Build the prior of a configuration."""
        aus = config.au_set
        alone = [aus.vector({au: level}) for au in config.aus for level in config.levels]
        drawn = _combinations(aus, config.aus, config.levels, config.drawn)
        cells = (*alone, *(aus.vector(combination) for combination in drawn))
        return cls(cells, action_units=aus)

    @property
    def width(self) -> int:
        """Uniforms that a vector takes: one, which changes nothing."""
        return 1

    @property
    def categories(self) -> tuple[str, ...]:
        """Nothing: there are no categories."""
        return ()

    def strata(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Return the cell of each position; neither seed nor split decides."""
        return np.arange(start, stop, dtype=np.int64) % len(self.cells)

    def ranks(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Return how many positions before each have its cell."""
        return np.arange(start, stop, dtype=np.int64) // len(self.cells)

    def draw(
        self, strata: Int64[np.ndarray, " rows"], numbers: Float64[np.ndarray, "rows 1"]
    ) -> Float32[np.ndarray, "rows aus"]:
        """Return the cells' vectors."""
        return np.array(self.cells, dtype=np.float32)[strata]

    def stratum_name(self, stratum: int) -> str:
        """Name the AUs and levels of the cell: `AU6=2.0 AU12=5.0`."""
        return self.action_units.describe(self.cells[stratum])

    def listed(self) -> int:
        """Return the number of cells."""
        return len(self.cells)

    def category_shares(self) -> dict[str, float]:
        """Return nothing: there are no categories."""
        return {}

    def rates(self) -> Float64[np.ndarray, " aus"]:
        """Return the share of cells in which each AU is active."""
        return self._active().mean(axis=0)

    def joint(self) -> Float64[np.ndarray, "aus aus"]:
        """Return the share of cells in which both AUs are active."""
        active = self._active()
        return active.T @ active / len(active)

    def mean_intensities(self) -> Float64[np.ndarray, " aus"]:
        """Return the mean level of each AU over the cells in which it is active."""
        times = self._active().sum(axis=0)
        return np.array(self.cells).sum(axis=0) / np.maximum(times, 1)

    def parts(self) -> tuple[Part, ...]:
        """Return the cells."""
        return tuple(
            Part.of(f"cell {self.action_units.describe(cell)!r}", active, cell, cell)
            for cell, active in zip(self.cells, self._active(), strict=True)
        )

    def _active(self) -> Float64[np.ndarray, "cells aus"]:
        return (np.array(self.cells) != 0).astype(np.float64)


def _combinations(
    vector: ActionUnitSet, aus: list[str], levels: list[float], count: int
) -> list[dict[str, float]]:
    """Draw different combinations of 2 to 4 AUs, each number of AUs in turn, at random levels.

    The order in which AUs and levels are given decides nothing.
    """
    names, ordered = sorted(set(aus), key=vector.index), sorted(levels)
    numbers = [number for number in COMBINED if number <= len(names)]
    found: dict[tuple[tuple[str, float], ...], None] = {}
    trial = 0
    while len(found) < count:
        row = uniforms(_SEED, "expressions/grid", trial, trial + 1, 2 * len(vector))[0]
        chosen = np.sort(np.argsort(row[: len(names)])[: numbers[trial % len(numbers)]])
        picks = (row[len(vector) :][chosen] * len(ordered)).astype(int)
        pairs = zip(chosen, picks, strict=True)
        found[tuple((names[au], ordered[level]) for au, level in pairs)] = None
        trial += 1
    return [dict(combination) for combination in found]
