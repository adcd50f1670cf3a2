"""Quotas on a prior: cells in exact proportion, each filled by the prior's own draws.

A sample's cell comes first; then the prior is drawn until its vector lies in the cell, trial by
trial, each trial a stage of its own. So the law inside a cell is the prior's, given the cell, and
a sample whose first draw lies in its cell already keeps it. Replacements keep the cell.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from samplers.priors.prior import FIRST_SPLIT, Prior
from samplers.priors.wrapping import WrappedPrior
from samplers.spread import spread_counts, spread_order
from synthgen.config.quota_cells import QuotaCells
from synthgen.config.quotas import QuotasConfig
from synthgen.errors import ConfigError

WHERE = "expressions.quotas"
"""Key of the configuration that names quotas."""

PROBED = 20_000
"""Draws that tell how often a prior fills each cell."""

RAREST = 20
"""Of these draws, a cell must hold so many: one in a thousand."""

MAX_TRIALS = 50_000
"""Trials for one sample. A cell of one draw in a thousand misses all of them once in 10^21."""

_SPARSE = 8
"""Trials for less than an eighth of the rows are drawn row by row."""


@dataclass(frozen=True, slots=True)
class QuotaPrior(WrappedPrior):
    """A prior whose cells hold quotas. A stratum is the prior's own and a cell.

    Attributes:
        cells: the cells.
        counts: how often each stands in a block of positions.
    """

    cells: QuotaCells
    counts: tuple[int, ...]

    @classmethod
    def build(cls, inner: Prior, config: QuotasConfig) -> "QuotaPrior":
        """Put quotas on a prior.

        Raises:
            ConfigError: if a category is unknown, cells overlap or are too many, or the prior
                fills a cell less than once in a thousand draws.
        """
        try:
            cells = config.cells(inner.categories)
        except ValueError as error:
            raise ConfigError(f"{WHERE}: {error}") from error
        prior = cls(inner, cells, spread_counts(cells.shares))
        prior._refuse_rare()
        return prior

    def strata(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Return the cell of each position and the prior's stratum that was found to fill it."""
        return _first_specs(self, seed, split, start, stop)[0].copy()

    def vectors(
        self,
        seed: int,
        split: str,
        start: int,
        strata: Int64[np.ndarray, " rows"],
        replacement: int = 0,
    ) -> Float32[np.ndarray, "rows 12"]:
        """Return the vectors that were found with the strata, or replacements of these strata."""
        if not replacement:
            return _first_specs(self, seed, split, start, start + len(strata))[1].copy()
        own, cells = np.divmod(strata, len(self.counts))

        def draw(trial: int, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
            place, part = _trial_split(split, trial), own[low:high]
            return part, self.inner.vectors(seed, place, start + low, part, replacement)

        return self.fill(cells, draw)[1]

    def draw(
        self, strata: Int64[np.ndarray, " rows"], numbers: Float64[np.ndarray, "rows width"]
    ) -> Float32[np.ndarray, "rows 12"]:
        """Turn uniforms into vectors of the prior's strata, wherever these lie."""
        return self.inner.draw(strata // len(self.counts), numbers)

    def category(self, stratum: int) -> str | None:
        """Return the category of a stratum, or None where the prior has none."""
        return self.inner.category(stratum // len(self.counts))

    def stratum_name(self, stratum: int) -> str:
        """Name the prior's stratum and, in brackets, the cell."""
        own, cell = divmod(stratum, len(self.counts))
        return f"{self.inner.stratum_name(own)} [{self.cells.names[cell]}]"

    def part_of(self, strata: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " rows"]:
        """Return the number of the part of each stratum."""
        return self.inner.part_of(strata // len(self.counts))

    def category_shares(self) -> dict[str, float]:
        """Return the share of each category, counted over a fixed draw."""
        _, labels = _own_draw(self)
        if labels is None:
            return {}
        shares = np.bincount(labels, minlength=len(self.categories)) / len(labels)
        return dict(zip(self.categories, shares.tolist(), strict=False))

    def rates(self) -> Float64[np.ndarray, " 12"]:
        """Return the share of samples in which each AU is active, counted over a fixed draw."""
        vectors, _ = _own_draw(self)
        return (vectors != 0).mean(axis=0)

    def mean_intensities(self) -> Float64[np.ndarray, " 12"]:
        """Return the mean intensity of each AU where it is active, over a fixed draw."""
        vectors, _ = _own_draw(self)
        return vectors.sum(axis=0, dtype=np.float64) / np.maximum((vectors != 0).sum(axis=0), 1)

    def joint(self) -> Float64[np.ndarray, "12 12"]:
        """Return P(AU i and AU j active), counted over a fixed draw."""
        vectors, _ = _own_draw(self)
        active = (vectors != 0).astype(np.float64)
        return active.T @ active / len(active)

    def fill(
        self,
        cells: Int64[np.ndarray, " rows"],
        draw: Callable[[int, int, int], tuple[np.ndarray, np.ndarray]],
    ) -> tuple[Int64[np.ndarray, " rows"], Float32[np.ndarray, "rows 12"]]:
        """Draw until each row lies in its cell; a row's draws are its own trials alone.

        Args:
            cells: cell of each row.
            draw: from (trial, first row, row after the last) to strata and vectors of the prior.

        Raises:
            ConfigError: if no trial fills a cell.
        """
        strata, vectors = draw(0, 0, len(cells))
        strata, vectors = strata.copy(), vectors.copy()
        open_rows = np.flatnonzero(~self._inside(cells, strata, vectors))
        for trial in range(1, MAX_TRIALS):
            if not len(open_rows):
                return strata, vectors
            for low, high in _stretches(open_rows, len(cells)):
                strata_now, vectors_now = draw(trial, low, high)
                rows = open_rows[(open_rows >= low) & (open_rows < high)]
                found = self._inside(cells[rows], strata_now[rows - low], vectors_now[rows - low])
                kept = rows[found]
                strata[kept], vectors[kept] = strata_now[kept - low], vectors_now[kept - low]
                open_rows = np.setdiff1d(open_rows, kept, assume_unique=True)
        raise ConfigError(
            f"{WHERE}: {MAX_TRIALS} draws of the prior did not fill the cell "
            f"{self.cells.names[int(cells[open_rows[0]])]!r}; join it with another one"
        )

    def _inside(
        self, cells: np.ndarray, strata: np.ndarray, vectors: np.ndarray
    ) -> Bool[np.ndarray, " rows"]:
        return self.cells.holds(cells, vectors, _labels(self.inner, strata))

    def _refuse_rare(self) -> None:
        strata = self.inner.strata(0, FIRST_SPLIT, 0, PROBED)
        vectors = self.inner.vectors(0, FIRST_SPLIT, 0, strata)
        found = self.cells.numbers(vectors, _labels(self.inner, strata))
        names = self.cells.names
        counts = np.bincount(found, minlength=len(names))[: len(names)]
        if counts.min() < RAREST:
            rarest = int(counts.argmin())
            raise ConfigError(
                f"{WHERE}: the prior fills the cell {names[rarest]!r} in {counts[rarest]} of "
                f"{PROBED} draws; at least {RAREST} are needed, so change the prior or leave "
                "this cell out"
            )


def _labels(prior: Prior, strata: np.ndarray) -> Int64[np.ndarray, " rows"] | None:
    """Return the category number of each stratum, as `QuotaCells.holds` takes them."""
    if not prior.categories:
        return None
    known = [*prior.categories, None]
    kinds, kind = np.unique(strata, return_inverse=True)
    numbers = [known.index(prior.category(int(stratum))) for stratum in kinds]
    return np.array(numbers, dtype=np.int64)[kind]


def _trial_split(split: str, trial: int) -> str:
    return f"{split}/quota-trial-{trial}" if trial else split


def _stretches(open_rows: np.ndarray, rows: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of rows to draw: all at once, or where few are open, these one by one."""
    if len(open_rows) * _SPARSE >= rows:
        yield int(open_rows[0]), int(open_rows[-1]) + 1
    else:
        for row in open_rows.tolist():
            yield row, row + 1


@lru_cache(maxsize=8)
def _first_specs(
    prior: QuotaPrior, seed: int, split: str, start: int, stop: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return strata and vectors of the positions start … stop−1; they are found together."""
    inner, counts = prior.inner, prior.counts
    cells = spread_order(seed, f"expressions/quota/{split}", counts, start, stop)

    def draw(trial: int, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
        place = _trial_split(split, trial)
        strata = inner.strata(seed, place, start + low, start + high)
        return strata, inner.vectors(seed, place, start + low, strata)

    strata, vectors = prior.fill(cells, draw)
    return strata * len(counts) + cells, vectors


@lru_cache(maxsize=4)
def _own_draw(prior: QuotaPrior) -> tuple[np.ndarray, np.ndarray | None]:
    strata = prior.strata(0, FIRST_SPLIT, 0, PROBED)
    return prior.vectors(0, FIRST_SPLIT, 0, strata), _labels(prior, strata)
