"""Rules on AU vectors: kept by drawing anew, refused where a prior cannot keep them.

A position's first vector is the prior's own. While it is against a rule, the position is drawn
again, trial by trial, each trial with stages of its own: so a further rule changes only the samples
that broke it. What comes out is the prior's law given the rules, without bias; with penalties, its
law weighted by what each rule lets pass. Where a prior deals out strata in exact shares
(categories, combinations, cells), these keep their shares and the law holds within each; elsewhere
the stratum is drawn anew, too. A replacement keeps its stratum always.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from samplers.priors.prior import Part, Prior, WrappedPrior, estimate
from samplers.randomness import uniforms
from synthgen.action_units import ActionUnitSet
from synthgen.config.priors import (
    AtLeastRule,
    AtMostRule,
    CapRule,
    ExcludesRule,
    ImpliesRule,
    RuleConfig,
)
from synthgen.errors import ConfigError


@dataclass(slots=True, eq=False)
class Boxes:
    """Sets of active AUs and the intensities that each leaves them; rules narrow them.

    Attributes:
        active: which AUs are active.
        low: lowest intensity of each AU where it is active.
        high: highest intensity of each AU where it is active.
    """

    active: Bool[np.ndarray, "sets aus"]
    low: Float64[np.ndarray, "sets aus"]
    high: Float64[np.ndarray, "sets aus"]

    def possible(self) -> bool:
        """Return whether a set is left in which each active AU has an intensity."""
        return bool((~self.active | (self.low <= self.high)).all(axis=1).any())

    def drop(self, sets: Bool[np.ndarray, " sets"]) -> None:
        """Make some sets impossible."""
        self.active[sets], self.low[sets], self.high[sets] = True, np.inf, -np.inf


@dataclass(frozen=True, slots=True)
class Rule(ABC):
    """Rule that vectors keep.

    Attributes:
        text: the rule in words; names the stage of its penalty's draws.
        penalty: share of the vectors against the rule that are drawn anew (0, 1]; 1: all.
    """

    text: str
    penalty: float

    @abstractmethod
    def broken(self, vectors: Float32[np.ndarray, "rows aus"]) -> Bool[np.ndarray, " rows"]:
        """Return which vectors are against the rule."""

    @abstractmethod
    def narrow(self, boxes: Boxes) -> None:
        """Leave of some boxes what keeps the rule."""

    @abstractmethod
    def named(self, aus: int) -> frozenset[int]:
        """Return which of so many AUs are not alike to the rule."""


@dataclass(frozen=True, slots=True)
class Implies(Rule):
    """Rule that with one AU active another one is, at an intensity or more."""

    one: int
    other: int
    at_least: float

    def broken(self, vectors: Float32[np.ndarray, "rows aus"]) -> Bool[np.ndarray, " rows"]:
        """Return which vectors show the one and not the other, or show it too weakly."""
        shown = (vectors[:, self.other] != 0) & (vectors[:, self.other] >= self.at_least)
        return (vectors[:, self.one] != 0) & ~shown

    def narrow(self, boxes: Boxes) -> None:
        """Raise the lowest intensity of the other."""
        asked = boxes.active[:, self.one]
        low = boxes.low[:, self.other]
        low[asked] = np.maximum(low[asked], self.at_least)
        boxes.drop(asked & ~boxes.active[:, self.other])

    def named(self, aus: int) -> frozenset[int]:
        """Return both AUs."""
        return frozenset({self.one, self.other})


@dataclass(frozen=True, slots=True)
class Count(Rule):
    """Of some AUs, at least and at most so many are active."""

    aus: tuple[int, ...]
    least: int
    most: int

    def broken(self, vectors: Float32[np.ndarray, "rows aus"]) -> Bool[np.ndarray, " rows"]:
        """Return which vectors show fewer or more."""
        return self._outside(vectors != 0)

    def narrow(self, boxes: Boxes) -> None:
        """Drop the sets with fewer or more."""
        boxes.drop(self._outside(boxes.active))

    def named(self, aus: int) -> frozenset[int]:
        """Return the AUs that are counted; where those are all, all are alike."""
        return frozenset(self.aus) if len(self.aus) < aus else frozenset()

    def _outside(self, active: Bool[np.ndarray, "rows aus"]) -> Bool[np.ndarray, " rows"]:
        number = active[:, self.aus].sum(axis=1)
        return (number < self.least) | (number > self.most)


@dataclass(frozen=True, slots=True)
class Cap(Rule):
    """An AU is never stronger than a bound."""

    au: int
    at: float

    def broken(self, vectors: Float32[np.ndarray, "rows aus"]) -> Bool[np.ndarray, " rows"]:
        """Return which vectors show it stronger."""
        return (vectors[:, self.au] != 0) & (vectors[:, self.au] > self.at)

    def narrow(self, boxes: Boxes) -> None:
        """Lower the highest intensity."""
        boxes.high[:, self.au] = np.minimum(boxes.high[:, self.au], self.at)

    def named(self, aus: int) -> frozenset[int]:
        """Return the AU."""
        return frozenset({self.au})


def build_rule(config: RuleConfig, aus: ActionUnitSet) -> Rule:
    """Build the rule of a configuration on vectors of some AUs."""
    head = config.text(), 1.0 if config.penalty is None else config.penalty
    everywhere = tuple(range(len(aus)))
    match config:
        case ImpliesRule():
            least = -np.inf if config.at_least is None else config.at_least
            return Implies(*head, aus.index(config.if_), aus.index(config.then), least)
        case ExcludesRule():
            return Count(*head, tuple(map(aus.index, config.exclude)), 0, 1)
        case AtMostRule():
            return Count(*head, everywhere, 0, config.at_most)
        case AtLeastRule():
            return Count(*head, everywhere, config.at_least, len(aus))
        case CapRule():
            return Cap(*head, aus.index(config.cap), config.at)


WHERE = "expressions.rules"
"""Key of the configuration that names rules."""

MIN_ACCEPTANCE = 0.01
"""Share of a part's vectors that the rules must leave."""

_PROBED = 1 << 14
"""Vectors of the fixed sample."""

_FEWEST = 400
"""Vectors of a part that are enough to estimate its acceptance; a rarer part is not judged."""


def refuse_conflicts(prior: Prior, rules: Sequence[Rule]) -> None:
    """Refuse rules that leave nothing, or too little, of a part of a prior.

    Raises:
        ConfigError: naming the part and a smallest set of rules that cannot be kept together, or
            that leaves less than one vector in a hundred.
    """
    parts = prior.parts()
    for part in parts:
        _refuse_impossible(part, [rule for rule in rules if rule.penalty == 1])
    kept, numbers = _probe(prior, rules)
    for number, part in enumerate(parts):
        _refuse_rare(part, rules, kept[numbers == number])


def _refuse_impossible(part: Part, rules: Sequence[Rule]) -> None:
    try:
        patterns = part.patterns(
            frozenset().union(*(rule.named(len(part.chances)) for rule in rules))
        )
    except ValueError as error:
        raise ConfigError(f"{WHERE}: {error}") from error
    if _possible(part, patterns, rules):
        return
    for chosen in _subsets(rules):
        if not _possible(part, patterns, chosen):
            raise ConfigError(
                f"{WHERE}: no vector of {part.name} keeps {_names(chosen)}; leave one out, "
                "give one a penalty, or change the prior"
            )


def _possible(part: Part, patterns: np.ndarray, rules: Sequence[Rule]) -> bool:
    low, high = (
        np.broadcast_to(part.low, patterns.shape),
        np.broadcast_to(part.high, patterns.shape),
    )
    boxes = Boxes(patterns.copy(), low.copy(), high.copy())
    for rule in rules:
        rule.narrow(boxes)
    return boxes.possible()


def _refuse_rare(
    part: Part, rules: Sequence[Rule], kept: Float64[np.ndarray, "rules rows"]
) -> None:
    if len(kept) < _FEWEST or kept.prod(axis=1).mean() >= MIN_ACCEPTANCE:
        return
    for chosen in _subsets(range(len(rules))):
        if (share := float(kept[:, chosen].prod(axis=1).mean())) < MIN_ACCEPTANCE:
            about = f"about {100 * share:.2f} %" if share else f"less than 1 in {len(kept)}"
            names = _names([rules[number] for number in chosen])
            raise ConfigError(
                f"{WHERE}: {names} leave {about} of the vectors of {part.name}; at least "
                f"{100 * MIN_ACCEPTANCE:.0f} % are needed, so leave one out, or change the prior"
            )


def _probe(
    prior: Prior, rules: Sequence[Rule]
) -> tuple[Float64[np.ndarray, "rows rules"], np.ndarray]:
    """Return how probably each rule lets each vector of a fixed sample pass, and its part."""
    strata = prior.strata(0, "train", 0, _PROBED)
    vectors = prior.vectors(0, "train", 0, strata)
    kept = [np.where(rule.broken(vectors), 1 - rule.penalty, 1.0) for rule in rules]
    return np.stack(kept, axis=1), prior.part_of(strata)


def _subsets(items: Sequence) -> list[tuple]:
    """Return the sets of some items, the smallest first."""
    sizes = range(1, len(items) + 1)
    return [chosen for size in sizes for chosen in combinations(items, size)]


def _names(rules: Sequence[Rule]) -> str:
    return " and ".join(f"{rule.text!r}" for rule in rules)


MAX_TRIALS = 10_000
"""Trials for a position. Rules that leave 1 % of a prior miss all of them once in 10^43."""

_GAP = 512
"""Rows that are drawn and discarded at most to draw two others at once."""

_Draw = tuple[Int64[np.ndarray, " rows"], Float32[np.ndarray, "rows aus"]]


class _Place(NamedTuple):
    """First positions of those that are drawn together."""

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
        rules = tuple(build_rule(config, inner.action_units) for config in configs)
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
