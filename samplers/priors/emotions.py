"""Prior `emotions`: prototypes of emotion categories with their variants.

Du, Tao & Martinez, "Compound facial expressions of emotion", PNAS 2014; table in `emotions.yaml`.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float32, Float64, Int64

from samplers.priors.prior import Prior
from samplers.priors.proportions import blocked_order, whole_proportions
from samplers.priors.prototypes import (
    Prototype,
    ambiguous_groups,
    choose_prototypes,
    prototype_table,
)
from samplers.priors.support import Part
from synthgen.action_units import AU_COUNT, AUS
from synthgen.config import EmotionsConfig


@dataclass(frozen=True, slots=True)
class EmotionsPrior(Prior):
    """Emotion categories in exact proportion. A stratum is the number of a category.

    Attributes:
        names: categories, in the order of the ClassLabel.
        counts: how often each stands in a block of positions.
        chances: for each category, the probability that each AU is active: 1 for its prototype, the
            share of subjects for its variants, else 0.
        low: lowest intensity of an active AU.
        high: highest intensity of an active AU.
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]
    chances: tuple[tuple[float, ...], ...]
    low: float
    high: float

    balanced: ClassVar[bool] = True

    @classmethod
    def from_config(cls, config: EmotionsConfig) -> "EmotionsPrior":
        """Build the prior of a configuration.

        Categories given as a list keep its order; those given with weights take the table's.

        Raises:
            ConfigError: if a category is unknown, cannot be shown, or is ambiguous.
        """
        weights = config.weights()
        chosen = choose_prototypes(weights, config.allow_ambiguous)
        if isinstance(config.categories, dict):
            order = list(prototype_table())
            chosen = tuple(sorted(chosen, key=lambda prototype: order.index(prototype.name)))
        counts = whole_proportions(weights)
        return cls(
            names=tuple(prototype.name for prototype in chosen),
            counts=tuple(counts[prototype.name] for prototype in chosen),
            chances=tuple(_chances(prototype, config.variants) for prototype in chosen),
            low=config.intensity.low,
            high=config.intensity.high,
        )

    @property
    def width(self) -> int:
        """Uniforms that a vector takes."""
        return 2 * AU_COUNT

    @property
    def categories(self) -> tuple[str, ...]:
        """The names of the categories."""
        return self.names

    def strata(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Return the category number of each position."""
        return blocked_order(seed, f"expressions/category/{split}", self.counts, start, stop)

    def draw(
        self, strata: Int64[np.ndarray, " rows"], numbers: Float64[np.ndarray, "rows 24"]
    ) -> Float32[np.ndarray, "rows 12"]:
        """Choose variants by the columns 0–11, intensities by the columns 12–23."""
        active = numbers[:, :AU_COUNT] < np.array(self.chances)[strata]
        intensity = self.low + (self.high - self.low) * numbers[:, AU_COUNT:]
        return np.where(active, intensity, 0.0).astype(np.float32)

    def ambiguous(self) -> tuple[tuple[str, ...], ...]:
        """Return the groups of categories whose prototypes are the same on the 12 AUs."""
        groups = ambiguous_groups(prototype_table()[name] for name in self.names)
        return tuple(tuple(prototype.name for prototype in group) for group in groups)

    def stratum_name(self, stratum: int) -> str:
        """Name the category."""
        return self.names[stratum]

    def category_shares(self) -> dict[str, float]:
        """Return the share of each category in a block."""
        total = sum(self.counts)
        return {name: count / total for name, count in zip(self.names, self.counts, strict=True)}

    def rates(self) -> Float64[np.ndarray, " 12"]:
        """Return the mean of the categories' chances, by their shares."""
        return np.array(self.counts) @ np.array(self.chances) / sum(self.counts)

    def joint(self) -> Float64[np.ndarray, "12 12"]:
        """Return the mean of the categories' products of chances, by their shares."""
        chances = np.array(self.chances)
        products = chances[:, :, None] * chances[:, None, :]
        products[:, range(AU_COUNT), range(AU_COUNT)] = chances
        return np.tensordot(np.array(self.counts) / sum(self.counts), products, axes=1)

    def parts(self) -> tuple[Part, ...]:
        """Return the categories."""
        low, high = (self.low,) * AU_COUNT, (self.high,) * AU_COUNT
        return tuple(
            Part(f"category {name!r}", chances, low, high)
            for name, chances in zip(self.names, self.chances, strict=True)
        )

    def part_of(self, strata: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " rows"]:
        """Return the strata: each category is a part."""
        return strata

    def mean_intensities(self) -> Float64[np.ndarray, " 12"]:
        """Return the middle of the range, for each AU."""
        return np.full(AU_COUNT, (self.low + self.high) / 2)


def _chances(prototype: Prototype, variants: bool) -> tuple[float, ...]:
    extra = prototype.variants if variants else {}
    return tuple(1.0 if au in prototype.shown else extra.get(au, 0.0) for au in AUS)
