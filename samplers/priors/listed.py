"""Priors `combinations` and `grid`: vectors of AUs listed by hand or level by level."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Float64, Int64

from samplers.priors.prior import DealtPrior, Part
from samplers.randomness import uniforms
from samplers.shares import blocked_order, blocked_ranks, whole_proportions
from synthgen.action_units import DEFAULT_AUS, ActionUnitSet
from synthgen.config.priors import CombinationsConfig, GridConfig
from synthgen.config.priors.sections import COMBINED

_STAGE = "expressions/combination"


@dataclass(frozen=True, slots=True)
class CombinationsPrior(DealtPrior):
    """Combinations of AUs in exact proportion. A stratum is the number of a combination.

    Attributes:
        names: name of each combination.
        counts: how often each stands in a block of positions.
        low: for each, the lowest intensity of each AU; 0 where the AU is not active.
        high: for each, the highest intensity of each AU.
        action_units: the AUs of a vector.
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]
    low: tuple[tuple[float, ...], ...]
    high: tuple[tuple[float, ...], ...]
    action_units: ActionUnitSet = field(default=DEFAULT_AUS, kw_only=True)

    @classmethod
    def from_config(cls, config: CombinationsConfig) -> "CombinationsPrior":
        """Build the prior of a configuration."""
        combinations = config.combinations
        counts = whole_proportions({one.title: one.weight for one in combinations})
        ranges = [[one.range_of(au) for au in config.action_units] for one in combinations]
        return cls(
            names=tuple(one.title for one in combinations),
            counts=tuple(counts[one.title] for one in combinations),
            low=tuple(tuple(low for low, _ in row) for row in ranges),
            high=tuple(tuple(high for _, high in row) for row in ranges),
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
