"""What every prior over AU vectors does."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from jaxtyping import Float32, Float64, Int64

from samplers.priors.support import Part
from samplers.randomness import uniforms
from synthgen.action_units import AU_COUNT

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
    """

    balanced: ClassVar[bool] = False
    """Whether strata are dealt out in exact shares, which a further trial under rules keeps.

    Where they are not, the stratum is a part of the random draw, and a further trial draws it anew.
    """

    @property
    @abstractmethod
    def width(self) -> int:
        """Uniforms that a vector takes."""

    @property
    @abstractmethod
    def categories(self) -> tuple[str, ...]:
        """Emotion categories in the order of the ClassLabel; empty where the prior has none."""

    @abstractmethod
    def strata(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Return the strata of the positions start … stop−1 of a split."""

    @abstractmethod
    def draw(
        self, strata: Int64[np.ndarray, " rows"], numbers: Float64[np.ndarray, "rows width"]
    ) -> Float32[np.ndarray, "rows aus"]:
        """Turn uniforms into AU vectors, each of its stratum."""

    @abstractmethod
    def stratum_name(self, stratum: int) -> str:
        """Name a stratum for people to read."""

    @abstractmethod
    def category_shares(self) -> dict[str, float]:
        """Return the exact share of each category."""

    @abstractmethod
    def rates(self) -> Float64[np.ndarray, " aus"]:
        """Return the share of samples in which each AU is active: exact, but under rules."""

    @abstractmethod
    def mean_intensities(self) -> Float64[np.ndarray, " aus"]:
        """Return the mean intensity of each AU where it is active: exact, but under rules."""

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

    def fingerprint(self) -> dict[str, str]:
        """Return name → sha256 of each file that the prior is a function of."""
        return {}

    def category(self, stratum: int) -> str | None:
        """Return the category of a stratum, or None where it has none."""
        return self.categories[stratum] if self.categories else None

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
        vectors = np.empty((n, AU_COUNT), dtype=np.float32)
        for start in range(0, n, _CHUNK):
            stop = min(start + _CHUNK, n)
            strata = self.strata(seed, FIRST_SPLIT, start, stop)
            vectors[start:stop] = self.vectors(seed, FIRST_SPLIT, start, strata)
        return vectors


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """What a sample of a prior holds.

    Attributes:
        joint: share of vectors in which AU i and AU j are active; the diagonal holds the rates.
        means: mean intensity of each AU where it is active; 0 where it never is.
    """

    joint: Float64[np.ndarray, "aus aus"]
    means: Float64[np.ndarray, " aus"]


@lru_cache(maxsize=16)
def estimate(prior: Prior) -> Estimate:
    """Count the first `ESTIMATE_SIZE` vectors of a prior at seed 0, once for equal priors."""
    both, totals = np.zeros((AU_COUNT, AU_COUNT)), np.zeros(AU_COUNT)
    for start in range(0, ESTIMATE_SIZE, _ESTIMATE_CHUNK):
        strata = prior.strata(0, FIRST_SPLIT, start, start + _ESTIMATE_CHUNK)
        vectors = prior.vectors(0, FIRST_SPLIT, start, strata).astype(np.float64)
        active = (vectors != 0).astype(np.float64)
        both += active.T @ active  # whole numbers: exact in any order
        totals += vectors.sum(axis=0)
    return Estimate(both / ESTIMATE_SIZE, totals / np.maximum(np.diagonal(both), 1))
