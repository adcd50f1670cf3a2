"""Quotas on a prior: cells in exact proportion, each filled by the prior's own draws.

A sample's cell comes first; then the prior is drawn until its vector lies in the cell, trial by
trial, each trial a stage of its own. So the law inside a cell is the prior's, given the cell, and
a sample whose first draw lies in its cell already keeps it. Replacements keep the cell.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from samplers.priors.prior import FIRST_SPLIT, Prior, WrappedPrior
from samplers.shares import spread_counts, spread_order
from synthgen.config.quotas import QuotaCells, QuotasConfig
from synthgen.errors import ConfigError

WHERE = "expressions.quotas"
"""Key of the configuration that names quotas."""

PROBED = 20_000
"""Draws that tell how often a prior fills each cell; 60 for each cell of more than 333."""

RAREST = 20
"""Of these draws, a cell must hold so many: one in a thousand, or a third of an even share."""

MAX_TRIALS = 1_000_000
"""Trials for one sample. A cell of one draw in 30,000 misses all of them once in 10^14."""

_SPARSE = 64
"""Trials for fewer than one row in so many are drawn row by row."""

_ALONE, _BATCH = 8, 64
"""After so many rounds of one trial for each row come rounds of so many."""

_Draw = Callable[[str, int, int, int], tuple[np.ndarray, np.ndarray]]


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
                hardly ever fills a cell.
        """
        try:
            cells = config.cells(inner.categories, inner.action_units)
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
    ) -> Float32[np.ndarray, "rows aus"]:
        """Return the vectors that were found with the strata, or replacements of these strata."""
        if not replacement:
            return _first_specs(self, seed, split, start, start + len(strata))[1].copy()
        own, cells = np.divmod(strata, len(self.counts))

        def draw(place: str, low: int, high: int, times: int) -> tuple[np.ndarray, np.ndarray]:
            part, first = np.repeat(own[low:high], times), (start + low) * times
            return part, self.inner.vectors(seed, place, first, part, replacement)

        return self.fill(cells, draw, _rounds(split, batched=True))[1]

    def draw(
        self, strata: Int64[np.ndarray, " rows"], numbers: Float64[np.ndarray, "rows width"]
    ) -> Float32[np.ndarray, "rows aus"]:
        """Turn uniforms into vectors of the prior's strata, wherever these lie."""
        return self.inner.draw(strata // len(self.counts), numbers)

    def quota_cells(self) -> QuotaCells:
        """Return the cells."""
        return self.cells

    def category(self, stratum: int) -> str | None:
        """Return the category of a stratum, or None where the prior has none."""
        return self.inner.category(stratum // len(self.counts))

    def expression(self, stratum: int) -> str | None:
        """Return the name of the expression of a stratum, or None where it has none."""
        return self.inner.expression(stratum // len(self.counts))

    def level(self, stratum: int) -> float | None:
        """Return the level of the expression of a stratum, or None where it has none."""
        return self.inner.level(stratum // len(self.counts))

    def conditions(self, stratum: int, aus: tuple[float, ...]) -> Mapping[str, Any]:
        """Return what else a spec of this stratum and AU vector is to show."""
        return self.inner.conditions(stratum // len(self.counts), aus)

    def stratum_name(self, stratum: int) -> str:
        """Name the prior's stratum and, in brackets, the cell."""
        own, cell = divmod(stratum, len(self.counts))
        return f"{self.inner.stratum_name(own)} [{self.cells.names[cell]}]"

    def part_of(self, strata: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " rows"]:
        """Return the number of the part of each stratum."""
        return self.inner.part_of(strata // len(self.counts))

    def category_shares(self) -> dict[str, float]:
        """Return the share of each category, estimated by the fixed draw."""
        probe = _probe(self)
        if probe.labels is None:
            return {}
        shares = np.bincount(probe.labels, probe.weights, minlength=len(self.categories))
        return dict(zip(self.categories, shares.tolist(), strict=False))

    def rates(self) -> Float64[np.ndarray, " aus"]:
        """Return the share of samples in which each AU is active, estimated by the fixed draw."""
        return np.diagonal(self.joint()).copy()

    def mean_intensities(self) -> Float64[np.ndarray, " aus"]:
        """Return the mean intensity of each AU where it is active, by the fixed draw."""
        probe = _probe(self)
        return probe.weights @ probe.vectors / np.maximum(self.rates(), 1e-300)

    def joint(self) -> Float64[np.ndarray, "aus aus"]:
        """Return P(AU i and AU j active), estimated by the fixed draw."""
        probe = _probe(self)
        active = (probe.vectors != 0).astype(np.float64)
        return (active * probe.weights[:, None]).T @ active

    def fill(
        self, cells: Int64[np.ndarray, " rows"], draw: _Draw, rounds: Iterator[tuple[str, int]]
    ) -> tuple[Int64[np.ndarray, " rows"], Float32[np.ndarray, "rows aus"]]:
        """Draw until each row lies in its cell; a row's draws are its own trials alone.

        Args:
            cells: cell of each row.
            draw: from (place, first row, row after the last, times) to strata and vectors of the
                prior, `times` for each row.
            rounds: place and times of each round.

        Raises:
            ConfigError: if no trial fills a cell.
        """
        strata = np.empty(len(cells), dtype=np.int64)
        vectors = np.empty((len(cells), len(self.action_units)), dtype=np.float32)
        open_rows = np.arange(len(cells))
        while len(open_rows):
            place, times = next(rounds, ("", 0))
            if not times:
                raise ConfigError(
                    f"{WHERE}: {MAX_TRIALS} draws of the prior did not fill the cell "
                    f"{self.cells.names[int(cells[open_rows[0]])]!r}; join it with another one"
                )
            left = []
            for rows in _stretches(open_rows, times):
                low, high = int(rows[0]), int(rows[-1]) + 1
                own, drawn = draw(place, low, high, times)
                inside = self._inside(np.repeat(cells[low:high], times), own, drawn)
                fits = inside.reshape(-1, times)[rows - low]
                found = fits.any(axis=1)
                first = ((rows - low) * times + fits.argmax(axis=1))[found]
                strata[rows[found]], vectors[rows[found]] = own[first], drawn[first]
                left.append(rows[~found])
            open_rows = np.concatenate(left)
        return strata, vectors

    def _inside(
        self, cells: np.ndarray, strata: np.ndarray, vectors: np.ndarray
    ) -> Bool[np.ndarray, " rows"]:
        return self.cells.holds(cells, vectors, _labels(self.inner, strata))

    def _refuse_rare(self) -> None:
        probe, names = _probe(self), self.cells.names
        if probe.counts.min() < RAREST:
            rarest = int(probe.counts.argmin())
            raise ConfigError(
                f"{WHERE}: the prior fills the cell {names[rarest]!r} in {probe.counts[rarest]} of "
                f"{len(probe.vectors)} draws; at least {RAREST} are needed, so change the prior or "
                "leave this cell out"
            )


def _labels(prior: Prior, strata: np.ndarray) -> Int64[np.ndarray, " rows"] | None:
    """Return the category number of each stratum, as `QuotaCells.holds` takes them."""
    if not prior.categories:
        return None
    known = [*prior.categories, None]
    kinds, kind = np.unique(strata, return_inverse=True)
    numbers = [known.index(prior.category(int(stratum))) for stratum in kinds]
    return np.array(numbers, dtype=np.int64)[kind]


def _is_balanced(prior: Prior) -> bool:
    while isinstance(prior, WrappedPrior):
        prior = prior.inner
    return prior.balanced


def _rounds(split: str, *, batched: bool) -> Iterator[tuple[str, int]]:
    """Yield the split that each round draws for, and the draws of each row in it.

    Many at once are for draws that do not know of each other: strata that are dealt out in blocks
    do, and would be biased.
    """
    yield split, 1
    for trial in range(1, _ALONE if batched else MAX_TRIALS):
        yield f"{split}/quota-trial-{trial}", 1
    for batch in range(-(-MAX_TRIALS // _BATCH) if batched else 0):
        yield f"{split}/quota-batch-{batch}", _BATCH


def _stretches(open_rows: np.ndarray, times: int) -> Iterator[np.ndarray]:
    """Yield the rows to draw for at once: all, or where few of them are open, each alone."""
    if times == 1 and len(open_rows) * _SPARSE >= open_rows[-1] + 1 - open_rows[0]:
        yield open_rows
    else:
        yield from open_rows[:, None]


@lru_cache(maxsize=8)
def _first_specs(
    prior: QuotaPrior, seed: int, split: str, start: int, stop: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return strata and vectors of the positions start … stop−1; they are found together."""
    inner, counts = prior.inner, prior.counts
    cells = spread_order(seed, f"expressions/quota/{split}", counts, start, stop)

    def draw(place: str, low: int, high: int, times: int) -> tuple[np.ndarray, np.ndarray]:
        first, last = (start + low) * times, (start + high) * times
        strata = inner.strata(seed, place, first, last)
        return strata, inner.vectors(seed, place, first, strata)

    rounds = _rounds(split, batched=not _is_balanced(inner))
    strata, vectors = prior.fill(cells, draw, rounds)
    return strata * len(counts) + cells, vectors


@dataclass(frozen=True, slots=True, eq=False)
class _Probe:
    """A fixed draw of a prior without its quotas.

    Attributes:
        vectors: AU vectors, [draws, aus].
        labels: category numbers, or None.
        counts: draws in each cell.
        weights: of each draw, so that each cell weighs as much as its quota.
    """

    vectors: np.ndarray
    labels: np.ndarray | None
    counts: np.ndarray
    weights: np.ndarray


@lru_cache(maxsize=4)
def _probe(prior: QuotaPrior) -> _Probe:
    inner, cells = prior.inner, prior.cells
    draws = max(PROBED, 3 * RAREST * len(cells.names))
    strata = inner.strata(0, FIRST_SPLIT, 0, draws)
    vectors, labels = inner.vectors(0, FIRST_SPLIT, 0, strata), _labels(inner, strata)
    found = cells.numbers(vectors, labels)
    counts = np.bincount(found, minlength=len(cells.names))[: len(cells.names)]
    weights = np.append(np.array(cells.shares) / np.maximum(counts, 1), 0.0)
    return _Probe(vectors, labels, counts, weights[np.minimum(found, len(cells.names))])
