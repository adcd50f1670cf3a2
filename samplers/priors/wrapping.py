"""A prior around another one, which answers for it."""

from abc import ABC
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from samplers.priors.prior import Prior
from samplers.priors.support import Part


@dataclass(frozen=True, slots=True)
class WrappedPrior(Prior, ABC):
    """What a prior around another one says as that one does.

    Attributes:
        inner: the other prior.
    """

    inner: Prior

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

    def parts(self) -> tuple[Part, ...]:
        """Return the parts whose shares rules must not change."""
        return self.inner.parts()

    def part_of(self, strata: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " rows"]:
        """Return the number of the part of each stratum."""
        return self.inner.part_of(strata)
