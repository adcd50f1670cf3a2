"""Base classes of priors over AU vectors, and their support: the values they may show at all."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from samplers.priors.au_sets import set_members, set_numbers
from samplers.randomness import uniforms
from synthgen.action_units import DEFAULT_AUS, ActionUnitSet
from synthgen.config.quotas import QuotaCells

MOST_NAMED = 14
"""Most AUs that rules may tell apart where a part sometimes shows them: 2^14 sets are looked at."""


@dataclass(frozen=True, slots=True)
class Part:
    """A share of a prior that rules must not change, and the vectors that it may hold.

    Attributes:
        name: for people to read.
        chances: of each AU: 0 never active, 1 always, else sometimes.
        low: lowest intensity of each AU where it is active.
        high: highest intensity of each AU where it is active.
        numbers: how many AUs may be active; None for any number.
    """

    name: str
    chances: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    numbers: frozenset[int] | None = None

    @classmethod
    def of(
        cls,
        name: str,
        chances: Iterable[float],
        low: Iterable[float] | None = None,
        high: Iterable[float] | None = None,
        numbers: Iterable[int] | None = None,
    ) -> "Part":
        """Describe a part; intensities without bounds may be anything."""
        of_each = tuple(map(float, chances))
        return cls(
            name,
            of_each,
            (-np.inf,) * len(of_each) if low is None else tuple(map(float, low)),
            (np.inf,) * len(of_each) if high is None else tuple(map(float, high)),
            None if numbers is None else frozenset(numbers),
        )

    def patterns(self, named: Iterable[int]) -> Bool[np.ndarray, "patterns aus"]:
        """Return the sets of active AUs that are possible, as far as rules tell them apart.

        Of the AUs that no rule names, a set of each size stands for all of that size: so there are
        2^k · (n + 1) of them at most, for k of n AUs that are named.

        Args:
            named: the AUs that are not alike to the rules.

        Raises:
            ValueError: if these are more than `MOST_NAMED` of those that the part sometimes shows.
        """
        chances = np.array(self.chances)
        sometimes = (chances > 0) & (chances < 1)
        told = np.zeros(len(chances), dtype=bool)
        told[list(named)] = True
        told |= np.greater(self.low, self.high)
        free, alike = np.flatnonzero(sometimes & told), np.flatnonzero(sometimes & ~told)
        if len(free) > MOST_NAMED:
            raise ValueError(
                f"the rules tell {len(free)} AUs of {self.name} apart; at most {MOST_NAMED} are "
                "possible, so name fewer AUs in rules"
            )
        sets = (np.arange(1 << len(free))[:, None] >> np.arange(len(free)) & 1).astype(bool)
        sizes = np.tri(len(alike) + 1, len(alike), -1, dtype=bool)  # the first 0, 1, … of them
        patterns = np.zeros((len(sets) * len(sizes), len(chances)), dtype=bool)
        patterns[:, chances >= 1] = True
        patterns[:, free] = np.repeat(sets, len(sizes), axis=0)
        patterns[:, alike] = np.tile(sizes, (len(sets), 1))
        if self.numbers is None:
            return patterns
        return patterns[np.isin(patterns.sum(axis=1), list(self.numbers))]


FIRST_SPLIT = "train"
"""The split whose draw `Prior.sample` is."""

ESTIMATE_SIZE = 1 << 18
"""Vectors of the sample on which is counted what has no closed form: the standard error of a rate
is below 0.001."""

_ESTIMATE_CHUNK = 1 << 16

_CHUNK = 8192
"""Rows drawn at once, so that many rows need little memory beside their own."""


class Prior(ABC):
    """A distribution of AU vectors, drawn in two steps: a stratum, then a vector from it.

    Strata are whole numbers that a prior gives its own meaning. A replacement of a sample keeps the
    stratum and draws the vector anew.

    A prior must define `width` and `draw`; then it has one stratum and no categories, and its
    shares and rates are estimated. Rules and quotas work on any prior. `sampling: sobol` takes a
    subclass of `DealtPrior` or `ActiveSetsPrior`. Draws are addressed: the stratum and the vector
    of a position follow from (seed, split, position), alone as among others.
    """

    action_units: ActionUnitSet = DEFAULT_AUS
    """The AUs of a vector, in its order."""

    balanced: ClassVar[bool] = False
    """True where strata are dealt out in exact shares, which a further trial under rules keeps.

    Where they are not, the stratum is a part of the random draw, and a further trial draws it anew.
    """

    @property
    @abstractmethod
    def width(self) -> int:
        """Uniforms that a vector takes."""

    @property
    def categories(self) -> tuple[str, ...]:
        """Emotion categories in the order of the ClassLabel; empty where the prior has none."""
        return ()

    def strata(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Return the strata of the positions start … stop−1 of a split: one stratum."""
        return np.zeros(stop - start, dtype=np.int64)

    @abstractmethod
    def draw(
        self, strata: Int64[np.ndarray, " rows"], numbers: Float64[np.ndarray, "rows width"]
    ) -> Float32[np.ndarray, "rows aus"]:
        """Turn uniforms into AU vectors, each of its stratum."""

    def stratum_name(self, stratum: int) -> str:
        """Name a stratum for people to read."""
        return self.category(stratum) or f"stratum {stratum}"

    def category_shares(self) -> dict[str, float]:
        """Return the share of each category, estimated as `joint` unless a prior knows it."""
        if not self.categories:
            return {}
        strata = self.strata(0, FIRST_SPLIT, 0, ESTIMATE_SIZE)
        kinds, counts = np.unique(strata, return_counts=True)
        shares = dict.fromkeys(self.categories, 0.0)
        for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True):
            if (name := self.category(kind)) is not None:
                shares[name] += count / ESTIMATE_SIZE
        return shares

    def rates(self) -> Float64[np.ndarray, " aus"]:
        """Return the share of samples in which each AU is active, estimated as `joint`.

        A prior that knows it says it exactly, but under rules.
        """
        return np.diagonal(estimate(self).joint).copy()

    def mean_intensities(self) -> Float64[np.ndarray, " aus"]:
        """Return the mean intensity of each AU where it is active, estimated as `joint`."""
        return estimate(self).means

    def asked_rates(self) -> Float64[np.ndarray, " aus"]:
        """Return the rates that were asked for, before any rule."""
        return self.rates()

    def joint(self) -> Float64[np.ndarray, "aus aus"]:
        """Return P(AU i and AU j active); the diagonal holds the rates.

        Estimated on a fixed sample of 2^18 vectors (standard error below 0.001) unless a prior
        knows it exactly.
        """
        return estimate(self).joint

    def ambiguous(self) -> tuple[tuple[str, ...], ...]:
        """Return the groups of categories that the AUs of their prototypes cannot tell apart."""
        return ()

    def notes(self) -> tuple[str, ...]:
        """Return what a reader of the plan should know about the prior, a sentence each."""
        return ()

    def listed(self) -> int | None:
        """Return the length of the list of expressions that the prior goes through over and over.

        Position by position, each stretch of that length that starts at a multiple of it holds each
        stratum once. None where there is no such list.
        """
        return None

    def quota_cells(self) -> QuotaCells | None:
        """Return the cells whose shares are held, or None where there are no quotas."""
        return None

    def fingerprint(self) -> dict[str, str]:
        """Return name → sha256 of each file that the prior is a function of."""
        return {}

    def category(self, stratum: int) -> str | None:
        """Return the category of a stratum, or None where it has none."""
        return self.categories[stratum] if self.categories else None

    @property
    def expressions(self) -> tuple[str, ...]:
        """Names that the owner gave to expressions, each once; empty where there are none."""
        return ()

    @property
    def has_levels(self) -> bool:
        """True where strata have a level."""
        return False

    def expression(self, stratum: int) -> str | None:
        """Return the name of the expression of a stratum, or None where it has none."""
        return None

    def level(self, stratum: int) -> float | None:
        """Return the level of the expression of a stratum, or None where it has none."""
        return None

    def conditions(self, stratum: int, aus: tuple[float, ...]) -> Mapping[str, Any]:
        """Return what else a spec of this stratum and AU vector is to show: those of `gives`."""
        return {}

    def parts(self) -> tuple[Part, ...]:
        """Return the parts whose shares rules must not change, and what each may show.

        A part may claim more than it draws: what no claim allows is impossible.
        """
        return (Part.of("this prior", self.rates()),)

    def part_of(self, strata: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " rows"]:
        """Return the number of the part of each stratum."""
        return np.zeros_like(strata)

    def vectors(
        self,
        seed: int,
        split: str,
        start: int,
        strata: Int64[np.ndarray, " rows"],
        replacement: int = 0,
    ) -> Float32[np.ndarray, "rows aus"]:
        """Draw the AU vectors of the positions from `start` of a split, one for each stratum."""
        return self.draw(strata, self._numbers(seed, split, start, len(strata), replacement))

    def trial(
        self,
        seed: int,
        split: str,
        start: int,
        strata: Int64[np.ndarray, " rows"],
        replacement: int,
        number: int,
    ) -> tuple[Int64[np.ndarray, " rows"], Float32[np.ndarray, "rows aus"]]:
        """Draw positions once more, for rules that refused what they drew before.

        Args:
            seed: seed of the run.
            split: the split.
            start: first position.
            strata: what the positions were given.
            replacement: number of the spec; a replacement keeps its stratum.
            number: trial, from 1; each has stages of its own.

        Returns:
            Strata and vectors.
        """
        place = f"{split}/trial-{number}"
        if not self.balanced and not replacement:
            strata = self.strata(seed, place, start, start + len(strata))
        return strata, self.vectors(seed, place, start, strata, replacement)

    def _numbers(
        self, seed: int, split: str, start: int, count: int, replacement: int
    ) -> Float64[np.ndarray, "rows width"]:
        """Return the uniforms of the vectors at `count` positions."""
        stage = f"expressions/vector/{split}"
        if replacement:
            stage += f"/replacement-{replacement}"
        return uniforms(seed, stage, start, start + count, self.width)

    def sample(self, n: int, seed: int) -> Float32[np.ndarray, "n aus"]:
        """Draw n AU vectors: those of a run whose one split is `train`.

        Args:
            n: number of vectors, from 0; a larger n keeps the earlier vectors.
            seed: seed of the draw [0, 2^63).
        """
        vectors = np.empty((n, len(self.action_units)), dtype=np.float32)
        for start in range(0, n, _CHUNK):
            stop = min(start + _CHUNK, n)
            strata = self.strata(seed, FIRST_SPLIT, start, stop)
            vectors[start:stop] = self.vectors(seed, FIRST_SPLIT, start, strata)
        return vectors


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Frequencies in a sample of a prior.

    Attributes:
        joint: share of vectors in which AU i and AU j are active; the diagonal holds the rates.
        means: mean intensity of each AU where it is active; 0 where it never is.
    """

    joint: Float64[np.ndarray, "aus aus"]
    means: Float64[np.ndarray, " aus"]


@lru_cache(maxsize=16)
def estimate(prior: Prior) -> Estimate:
    """Count the first `ESTIMATE_SIZE` vectors of a prior at seed 0, once for equal priors."""
    aus = len(prior.action_units)
    both, totals = np.zeros((aus, aus)), np.zeros(aus)
    for start in range(0, ESTIMATE_SIZE, _ESTIMATE_CHUNK):
        strata = prior.strata(0, FIRST_SPLIT, start, start + _ESTIMATE_CHUNK)
        vectors = prior.vectors(0, FIRST_SPLIT, start, strata).astype(np.float64)
        active = (vectors != 0).astype(np.float64)
        both += active.T @ active  # whole numbers: exact in any order
        totals += vectors.sum(axis=0)
    return Estimate(both / ESTIMATE_SIZE, totals / np.maximum(np.diagonal(both), 1))


class DealtPrior(Prior, ABC):
    """A prior whose strata come in blocks that hold each in its exact share.

    Rules keep these shares: each stratum is a part of its own.
    """

    balanced: ClassVar[bool] = True

    @abstractmethod
    def ranks(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Return how many positions before each of start … stop−1 have its stratum."""

    def part_of(self, strata: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " rows"]:
        """Return the strata: each is a part."""
        return strata


class ActiveSetsPrior(Prior, ABC):
    """A prior whose stratum is the set of active AUs, bit i for AU i; it has no categories."""

    stage: ClassVar[str]
    """Stage of the numbers that decide the sets."""

    @property
    @abstractmethod
    def set_width(self) -> int:
        """Uniforms that decide a set."""

    @abstractmethod
    def active(
        self, numbers: Float64[np.ndarray, "rows set_width"]
    ) -> Bool[np.ndarray, "rows aus"]:
        """Turn uniforms into sets of active AUs."""

    @property
    def categories(self) -> tuple[str, ...]:
        """Nothing: there are no categories."""
        return ()

    def strata(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Draw the set of active AUs of each position."""
        numbers = uniforms(seed, f"{self.stage}/{split}", start, stop, self.set_width)
        return self.sets(numbers)

    def sets(self, numbers: Float64[np.ndarray, "rows set_width"]) -> Int64[np.ndarray, " rows"]:
        """Turn uniforms into strata."""
        return set_numbers(self.active(numbers))

    def complete(
        self,
        strata: Int64[np.ndarray, " rows"],
        set_numbers: Float64[np.ndarray, "rows set_width"],
        numbers: Float64[np.ndarray, "rows width"],
    ) -> Float32[np.ndarray, "rows aus"]:
        """Turn uniforms into AU vectors, those that decided the strata at hand."""
        return self.draw(strata, numbers)

    def members(self, strata: Int64[np.ndarray, " rows"]) -> Bool[np.ndarray, "rows aus"]:
        """Return which AUs are active in each stratum."""
        return set_members(strata, len(self.action_units))

    def stratum_name(self, stratum: int) -> str:
        """Name the active AUs: `AU6+AU12`, or `neutral`."""
        active = [name for bit, name in enumerate(self.action_units.names) if stratum >> bit & 1]
        return "+".join(active) or "neutral"

    def category_shares(self) -> dict[str, float]:
        """Return nothing: there are no categories."""
        return {}


@dataclass(frozen=True, slots=True)
class WrappedPrior(Prior, ABC):
    """Base of a prior around another one, which answers for it.

    Attributes:
        inner: the other prior.
    """

    inner: Prior

    @property
    def action_units(self) -> ActionUnitSet:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The AUs of a vector."""
        return self.inner.action_units

    @property
    def width(self) -> int:
        """Uniforms that a vector takes."""
        return self.inner.width

    @property
    def categories(self) -> tuple[str, ...]:
        """Emotion categories in the order of the ClassLabel."""
        return self.inner.categories

    def strata(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Return the strata of the positions start … stop−1 of a split."""
        return self.inner.strata(seed, split, start, stop)

    def draw(
        self, strata: Int64[np.ndarray, " rows"], numbers: Float64[np.ndarray, "rows width"]
    ) -> Float32[np.ndarray, "rows aus"]:
        """Turn uniforms into AU vectors, each of its stratum."""
        return self.inner.draw(strata, numbers)

    def stratum_name(self, stratum: int) -> str:
        """Name a stratum for people to read."""
        return self.inner.stratum_name(stratum)

    def category_shares(self) -> dict[str, float]:
        """Return the exact share of each category."""
        return self.inner.category_shares()

    def rates(self) -> Float64[np.ndarray, " aus"]:
        """Return the share of samples in which each AU is active."""
        return self.inner.rates()

    def mean_intensities(self) -> Float64[np.ndarray, " aus"]:
        """Return the mean intensity of each AU where it is active."""
        return self.inner.mean_intensities()

    def asked_rates(self) -> Float64[np.ndarray, " aus"]:
        """Return the rates that were asked for, before any rule."""
        return self.inner.asked_rates()

    def joint(self) -> Float64[np.ndarray, "aus aus"]:
        """Return P(AU i and AU j active)."""
        return self.inner.joint()

    def ambiguous(self) -> tuple[tuple[str, ...], ...]:
        """Return the groups of categories that cannot be told apart."""
        return self.inner.ambiguous()

    def notes(self) -> tuple[str, ...]:
        """Return what a reader of the plan should know."""
        return self.inner.notes()

    def listed(self) -> int | None:
        """Return the length of the list of expressions."""
        return self.inner.listed()

    def fingerprint(self) -> dict[str, str]:
        """Return name → sha256 of each file that the prior is a function of."""
        return self.inner.fingerprint()

    def category(self, stratum: int) -> str | None:
        """Return the category of a stratum, or None where it has none."""
        return self.inner.category(stratum)

    @property
    def expressions(self) -> tuple[str, ...]:
        """Names that the owner gave to expressions."""
        return self.inner.expressions

    @property
    def has_levels(self) -> bool:
        """True where strata have a level."""
        return self.inner.has_levels

    def expression(self, stratum: int) -> str | None:
        """Return the name of the expression of a stratum, or None where it has none."""
        return self.inner.expression(stratum)

    def level(self, stratum: int) -> float | None:
        """Return the level of the expression of a stratum, or None where it has none."""
        return self.inner.level(stratum)

    def conditions(self, stratum: int, aus: tuple[float, ...]) -> Mapping[str, Any]:
        """Return what else a spec of this stratum and AU vector is to show."""
        return self.inner.conditions(stratum, aus)

    def parts(self) -> tuple[Part, ...]:
        """Return the parts whose shares rules must not change."""
        return self.inner.parts()

    def part_of(self, strata: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " rows"]:
        """Return the number of the part of each stratum."""
        return self.inner.part_of(strata)
