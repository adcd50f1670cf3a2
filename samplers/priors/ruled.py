"""Rules on a prior, kept by drawing anew what is against them.

A position's first vector is the prior's own. While it is against a rule, the position is drawn
again, trial by trial, each trial with stages of its own: so a further rule changes only the samples
that broke it. What comes out is the prior's law given the rules, without bias; with penalties, its
law weighted by what each rule lets pass. Where a prior deals out strata in exact shares
(categories, combinations, cells), these keep their shares and the law holds within each; elsewhere
the stratum is drawn anew, too. A replacement keeps its stratum always.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from samplers.priors.conflicts import WHERE, refuse_conflicts
from samplers.priors.prior import Prior, estimate
from samplers.priors.rules import Rule, build_rule
from samplers.priors.wrapping import WrappedPrior
from samplers.randomness import uniforms
from synthgen.config.priors import RuleConfig
from synthgen.errors import ConfigError

MAX_TRIALS = 10_000
"""Trials for a position. Rules that leave 1 % of a prior miss all of them once in 10^43."""

_GAP = 64
"""Rows that are drawn in vain at most to draw two others at once."""

_Draw = tuple[Int64[np.ndarray, " rows"], Float32[np.ndarray, "rows aus"]]


class _Place(NamedTuple):
    """Where positions begin that are drawn together."""

    seed: int
    split: str
    start: int
    replacement: int = 0

    def after(self, rows: int) -> "_Place":
        """Return the place some rows further."""
        return self._replace(start=self.start + rows)

    def coins(self, purpose: str, rows: int) -> Float64[np.ndarray, " rows"]:
        """Draw a number for each row, for a purpose alone."""
        stage = f"expressions/rule/{self.split}/replacement-{self.replacement}/{purpose}"
        return uniforms(self.seed, stage, self.start, self.start + rows, 1)[:, 0]


@dataclass(frozen=True, slots=True)
class RuledPrior(WrappedPrior):
    """A prior whose vectors keep rules. Strata are the prior's own.

    Attributes:
        rules: the rules.
    """

    rules: tuple[Rule, ...]

    @classmethod
    def build(cls, inner: Prior, configs: Sequence[RuleConfig]) -> "RuledPrior":
        """Put rules on a prior.

        Raises:
            ConfigError: naming a smallest set of rules that leaves nothing, or too little.
        """
        rules = tuple(build_rule(config) for config in configs)
        refuse_conflicts(inner, rules)
        return cls(inner, rules)

    def strata(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Return the strata of the first trials that keep the rules."""
        return _first_specs(self, _Place(seed, split, start), stop)[0].copy()

    def vectors(
        self,
        seed: int,
        split: str,
        start: int,
        strata: Int64[np.ndarray, " rows"],
        replacement: int = 0,
    ) -> Float32[np.ndarray, "rows aus"]:
        """Return the vectors of the first trials that keep the rules."""
        place = _Place(seed, split, start, replacement)
        if not replacement:
            return _first_specs(self, place, start + len(strata))[1].copy()
        return self.settle(place, strata)[1]

    def trial(
        self,
        seed: int,
        split: str,
        start: int,
        strata: Int64[np.ndarray, " rows"],
        replacement: int,
        number: int,
    ) -> _Draw:
        """Return a further draw that keeps these rules, for rules around them."""
        place = _Place(seed, split, start, replacement)
        return self.settle(place, strata, number * MAX_TRIALS)

    def rates(self) -> Float64[np.ndarray, " aus"]:
        """Return the rates given the rules, estimated on a fixed sample of 2^18 vectors."""
        return np.diagonal(estimate(self).joint).copy()

    def joint(self) -> Float64[np.ndarray, "aus aus"]:
        """Return P(AU i and AU j active) given the rules, estimated on the same sample."""
        return estimate(self).joint

    def mean_intensities(self) -> Float64[np.ndarray, " aus"]:
        """Return the mean intensities given the rules, estimated on the same sample."""
        return estimate(self).means

    def settle(self, place: _Place, given: np.ndarray, first: int = 0) -> _Draw:
        """Draw each position until it keeps the rules.

        Args:
            place: where the positions begin.
            given: their strata before any rule.
            first: number of the first trial.

        Raises:
            ConfigError: if none of `MAX_TRIALS` trials of a position keeps them.
        """
        strata, vectors, passed = self._try(place, given, first)
        strata, vectors = strata.copy(), vectors.copy()
        open_rows = np.flatnonzero(~passed)
        for number in range(first + 1, first + MAX_TRIALS):
            if not len(open_rows):
                return strata, vectors
            still_open = []
            for rows in _stretches(open_rows):
                low, high = int(rows[0]), int(rows[-1]) + 1
                tried = self._try(place.after(low), given[low:high], number)
                own, drawn, passed = (values[rows - low] for values in tried)
                strata[rows[passed]], vectors[rows[passed]] = own[passed], drawn[passed]
                still_open.append(rows[~passed])
            open_rows = np.concatenate(still_open)
        raise ConfigError(
            f"{WHERE}: {MAX_TRIALS} draws of stratum "
            f"{self.stratum_name(int(given[open_rows[0]]))!r} are all against the rules; "
            "leave one out"
        )

    def _try(
        self, place: _Place, strata: np.ndarray, number: int
    ) -> tuple[np.ndarray, np.ndarray, Bool[np.ndarray, " rows"]]:
        """Return strata and vectors of a trial, and which of them pass."""
        seed, split, start, replacement = place
        if number:
            strata, vectors = self.inner.trial(seed, split, start, strata, replacement, number)
        else:
            vectors = self.inner.vectors(seed, split, start, strata, replacement)
        passed = np.ones(len(strata), dtype=bool)
        for rule in self.rules:
            broken = rule.broken(vectors)
            if rule.penalty < 1 and broken.any():
                broken &= place.coins(f"{rule.text}/trial-{number}", len(strata)) < rule.penalty
            passed &= ~broken
        return strata, vectors, passed


@lru_cache(maxsize=4)
def _first_specs(prior: RuledPrior, place: _Place, stop: int) -> _Draw:
    """Return strata and vectors of the positions from a place to stop−1; they are found together.

    The plan asks for the strata, then for the vectors: the second time they are remembered.
    """
    given = prior.inner.strata(place.seed, place.split, place.start, stop)
    return prior.settle(place, given)


def _stretches(open_rows: Int64[np.ndarray, " rows"]) -> list[np.ndarray]:
    """Cut rows where the gap between two costs more than a draw of its own."""
    return np.split(open_rows, np.flatnonzero(np.diff(open_rows) > _GAP) + 1)
