"""What every prior over AU vectors does."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from jaxtyping import Float32, Float64, Int64

from samplers.randomness import uniforms
from synthgen.action_units import AU_COUNT

FIRST_SPLIT = "train"
"""The split whose draw `Prior.sample` is."""

_CHUNK = 8192
"""Rows drawn at once, so that many rows need little memory beside their own."""


class Prior(ABC):
    """A distribution of AU vectors, drawn in two steps: a stratum, then a vector from it.

    Strata are whole numbers that a prior gives its own meaning. A replacement of a sample keeps the
    stratum and draws the vector anew.
    """

    width: ClassVar[int]
    """Uniforms that a vector takes; each AU's numbers have columns of their own."""

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
    ) -> Float32[np.ndarray, "rows 12"]:
        """Turn uniforms into AU vectors, each of its stratum."""

    @abstractmethod
    def stratum_name(self, stratum: int) -> str:
        """Name a stratum for people to read."""

    @abstractmethod
    def category_shares(self) -> dict[str, float]:
        """Return the exact share of each category."""

    @abstractmethod
    def rates(self) -> Float64[np.ndarray, " 12"]:
        """Return the exact share of samples in which each AU is active."""

    @abstractmethod
    def mean_intensities(self) -> Float64[np.ndarray, " 12"]:
        """Return the exact mean intensity of each AU where it is active."""

    def ambiguous(self) -> tuple[tuple[str, ...], ...]:
        """Return the groups of categories that the 12 AUs of their prototypes cannot tell apart."""
        return ()

    def category(self, stratum: int) -> str | None:
        """Return the category of a stratum, or None where the prior has none."""
        return self.categories[stratum] if self.categories else None

    def vectors(
        self,
        seed: int,
        split: str,
        start: int,
        strata: Int64[np.ndarray, " rows"],
        replacement: int = 0,
    ) -> Float32[np.ndarray, "rows 12"]:
        """Draw the AU vectors of the positions from `start` of a split, one for each stratum."""
        stage = f"expressions/vector/{split}"
        if replacement:
            stage += f"/replacement-{replacement}"
        return self.draw(strata, uniforms(seed, stage, start, start + len(strata), self.width))

    def sample(self, n: int, seed: int) -> Float32[np.ndarray, "n 12"]:
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
