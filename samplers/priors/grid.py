"""Prior `grid`: each AU alone at each level, then combinations, over and over."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from samplers.priors.dealt import DealtPrior
from samplers.priors.support import Part
from samplers.randomness import uniforms
from synthgen.action_units import AU_COUNT, au_index, au_vector, describe
from synthgen.config.priors import GridConfig
from synthgen.config.priors.grid import COMBINED

_SEED = 0
"""The combinations of a grid are the same for every run."""


@dataclass(frozen=True, slots=True)
class GridPrior(DealtPrior):
    """Cells in a fixed order: position p of a split shows cell p mod n. A stratum is a cell.

    So each n positions hold each cell once, and with `expressions_per_identity: n` each identity
    shows the whole grid.

    Attributes:
        cells: AU vectors, one for each cell.
    """

    cells: tuple[tuple[float, ...], ...]

    @classmethod
    def from_config(cls, config: GridConfig) -> "GridPrior":
        """Build the prior of a configuration."""
        alone = [au_vector({au: level}) for au in config.aus for level in config.levels]
        drawn = _combinations(config.aus, config.levels, config.drawn)
        return cls((*alone, *(au_vector(combination) for combination in drawn)))

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
        return describe(self.cells[stratum])

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
            Part.of(f"cell {describe(cell)!r}", active, cell, cell)
            for cell, active in zip(self.cells, self._active(), strict=True)
        )

    def _active(self) -> Float64[np.ndarray, "cells aus"]:
        return (np.array(self.cells) != 0).astype(np.float64)


def _combinations(aus: list[str], levels: list[float], count: int) -> list[dict[str, float]]:
    """Draw different combinations of 2 to 4 AUs, each number of AUs in turn, at random levels.

    The order in which AUs and levels are given decides nothing.
    """
    names, ordered = sorted(set(aus), key=au_index), sorted(levels)
    numbers = [number for number in COMBINED if number <= len(names)]
    found: dict[tuple[tuple[str, float], ...], None] = {}
    trial = 0
    while len(found) < count:
        row = uniforms(_SEED, "expressions/grid", trial, trial + 1, 2 * AU_COUNT)[0]
        chosen = np.sort(np.argsort(row[: len(names)])[: numbers[trial % len(numbers)]])
        picks = (row[AU_COUNT:][chosen] * len(ordered)).astype(int)
        pairs = zip(chosen, picks, strict=True)
        found[tuple((names[au], ordered[level]) for au, level in pairs)] = None
        trial += 1
    return [dict(combination) for combination in found]
