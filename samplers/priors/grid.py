"""Prior `grid`: AUs, or emotion categories, level by level."""

from dataclasses import dataclass, field
from math import comb
from typing import Literal

import numpy as np
from jaxtyping import Float32, Float64, Int64
from pydantic import Field, model_validator

from samplers.priors.emotions import ambiguous_groups, choose_prototypes, prototype_table
from samplers.priors.prior import DealtPrior, Part
from samplers.randomness import uniforms
from synthgen.action_units import AUS, DEFAULT_AUS, ActionUnitSet
from synthgen.config.aus_in_use import AuName, default_names
from synthgen.config.priors.base import PriorSection

_SEED = 0
"""The combinations of a grid are the same for every run."""


COMBINED = (2, 3, 4)
"""Number of AUs in a combination of a grid."""

FINEFACE_COMBINATIONS = 50


LEVELS = [1.0, 2.0, 3.0, 4.0, 5.0]
"""Intensities of a grid where nothing is said."""


def _is_nothing(value: object) -> bool:
    """Tell keys that are not stored: those that configurations did not always have."""
    return not value


class GridConfig(PriorSection):
    """Each AU alone at each level, then combinations; or each category at each intensity.

    Over and over in this order.
    """

    prior: Literal["grid"]  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol: Literal["fineface"] | None = Field(
        default=None,
        description="fineface: the evaluation of the FineFace paper for a prompt, 12 AUs at 5 "
        "intensities and 50 combinations; then no other key of the grid may be given.",
    )
    aus: list[AuName] = Field(
        default_factory=default_names,
        min_length=1,
        description="The AUs; those of the run where nothing is said.",
    )
    levels: list[float] = Field(
        default=LEVELS,
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
    categories: list[str] | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        exclude_if=_is_nothing,
        description="Emotion categories in place of aus, levels and combinations: the AUs of each "
        "one's prototype at each of the intensities, and the neutral face once.",
    )
    intensities: list[float] | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        exclude_if=_is_nothing,
        description="The intensities of the categories, none 0; 1 to 5 where nothing is said.",
    )
    allow_ambiguous: bool = Field(
        default=False,
        exclude_if=_is_nothing,
        description="Allow two categories whose prototypes are the same on the AUs of the run.",
    )

    @model_validator(mode="after")
    def _is_possible(self) -> "GridConfig":
        if self.quotas is not None:
            raise ValueError("a grid shows its cells in a fixed order; leave quotas out")
        if self.protocol and self.au_set.names != AUS:
            raise ValueError(
                f"protocol {self.protocol} is about {', '.join(AUS)}; leave action_units out"
            )
        for key in self._given():
            if self.protocol:
                raise ValueError(f"protocol {self.protocol} fixes {key}; leave one of them out")
            if self.categories:
                raise ValueError(
                    f"a grid of categories has no {key}; leave one of categories and {key} out, "
                    "and say the strengths of categories by intensities"
                )
        self._check_categories()
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

    def _given(self) -> list[str]:
        """Return the keys of a grid of AUs that say something."""
        plain = {"aus": self.action_units} | {
            key: type(self).model_fields[key].default for key in ("levels", "combinations")
        }
        return [key for key, value in plain.items() if getattr(self, key) != value]

    def _check_categories(self) -> None:
        if not self.categories:
            for key in ("intensities", "allow_ambiguous"):
                if getattr(self, key):
                    raise ValueError(f"{key} is about categories; name these, too, or leave it out")
            return
        if self.protocol:
            raise ValueError(
                f"protocol {self.protocol} is about AUs; leave one of protocol and categories out"
            )
        strengths = self.intensities or LEVELS
        for values, what in ((self.categories, "categories"), (strengths, "intensities")):
            if len(set(values)) < len(values):
                raise ValueError(f"{what} holds a value twice: {', '.join(map(str, values))}")
        if 0 in strengths:
            raise ValueError("intensities holds 0; the neutral face is the category neutral")
        self._check_intensities("intensity", *strengths)

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
        shows: for each cell, its category and that one's intensity; empty for a grid of AUs.
        action_units: the AUs of a vector.
    """

    cells: tuple[tuple[float, ...], ...]
    shows: tuple[tuple[str, float], ...] = ()
    action_units: ActionUnitSet = field(default=DEFAULT_AUS, kw_only=True)

    @classmethod
    def from_config(cls, config: GridConfig) -> "GridPrior":
        """Build the prior of a configuration.

        Raises:
            ConfigError: if a category is unknown, cannot be shown, or is ambiguous.
        """
        aus = config.au_set
        if config.categories:
            return cls._of_categories(config, config.categories)
        alone = [aus.vector({au: level}) for au in config.aus for level in config.levels]
        drawn = _combinations(aus, config.aus, config.levels, config.drawn)
        cells = (*alone, *(aus.vector(combination) for combination in drawn))
        return cls(cells, action_units=aus)

    @classmethod
    def _of_categories(cls, config: GridConfig, names: list[str]) -> "GridPrior":
        aus = config.au_set
        cells, shows = [], []
        for prototype in choose_prototypes(names, config.allow_ambiguous, aus):
            strengths = config.intensities or LEVELS
            for level in strengths if prototype.shown else [0.0]:
                cells.append(aus.vector(dict.fromkeys(prototype.shown, level)))
                shows.append((prototype.name, level))
        return cls(tuple(cells), tuple(shows), action_units=aus)

    @property
    def width(self) -> int:
        """Uniforms that a vector takes: one, which changes nothing."""
        return 1

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories of the cells; empty for a grid of AUs."""
        return tuple(dict.fromkeys(name for name, _ in self.shows))

    @property
    def expressions(self) -> tuple[str, ...]:
        """The categories."""
        return self.categories

    @property
    def has_levels(self) -> bool:
        """True where cells have a level: those of categories do."""
        return bool(self.shows)

    def category(self, stratum: int) -> str | None:
        """Return the category of a cell, or None in a grid of AUs."""
        return self.shows[stratum][0] if self.shows else None

    def expression(self, stratum: int) -> str | None:
        """Return the category of a cell, or None in a grid of AUs."""
        return self.category(stratum)

    def level(self, stratum: int) -> float | None:
        """Return the intensity of a cell's category, 0 of the neutral face; else None."""
        return self.shows[stratum][1] if self.shows else None

    def ambiguous(self) -> tuple[tuple[str, ...], ...]:
        """Return the groups of categories whose prototypes are the same on the AUs."""
        table = prototype_table(self.action_units)
        groups = ambiguous_groups([table[name] for name in self.categories])
        return tuple(tuple(prototype.name for prototype in group) for group in groups)

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
        """Name the cell by AUs and levels, `AU6=2.0 AU12=5.0`, or by its category, `happy at 3`."""
        if not self.shows:
            return self.action_units.describe(self.cells[stratum])
        name, level = self.shows[stratum]
        return f"{name} at {level:g}" if level else name

    def listed(self) -> int:
        """Return the number of cells."""
        return len(self.cells)

    def category_shares(self) -> dict[str, float]:
        """Return the share of cells that each category has."""
        names = [name for name, _ in self.shows]
        return {name: names.count(name) / len(names) for name in self.categories}

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
            Part.of(f"cell {self.stratum_name(number)!r}", active, cell, cell)
            for number, (cell, active) in enumerate(zip(self.cells, self._active(), strict=True))
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
