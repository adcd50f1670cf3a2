"""Prior `emotions`: prototypes of emotion categories with their variants.

Du, Tao & Martinez, "Compound facial expressions of emotion", PNAS 2014; table in `emotions.yaml`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from samplers.priors.blends import blend_scales, blended, category_prototype
from samplers.priors.dealt import DealtPrior
from samplers.priors.proportions import blocked_order, blocked_ranks, whole_proportions
from samplers.priors.prototypes import (
    Prototype,
    ambiguous_groups,
    choose_prototypes,
    prototype_table,
    refuse_ambiguous,
)
from samplers.priors.support import Part
from synthgen.action_units import AU_COUNT, AUS
from synthgen.config.priors import BlendConfig, EmotionsConfig

_STAGE = "expressions/category"


@dataclass(frozen=True, slots=True)
class EmotionsPrior(DealtPrior):
    """Emotion categories in exact proportion. A stratum is the number of a category.

    Attributes:
        names: categories, in the order of the ClassLabel.
        counts: how often each stands in a block of positions.
        chances: for each category, the probability that each AU is active: 1 for its prototype, the
            share of subjects for its variants, else 0.
        scales: for each category, the factor of each AU's intensity; below 1 in blends alone.
        low: lowest intensity of an active AU.
        high: highest intensity of an active AU.
        spread: how far an AU is at most from the intensity that those of an expression have in
            common; None where they have none in common.
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]
    chances: tuple[tuple[float, ...], ...]
    scales: tuple[tuple[float, ...], ...]
    low: float
    high: float
    spread: float | None

    @classmethod
    def from_config(cls, config: EmotionsConfig) -> "EmotionsPrior":
        """Build the prior of a configuration.

        Categories given as a list keep its order; those given with weights take the table's. Blends
        follow, in the order of the file.

        Raises:
            ConfigError: if a category is unknown, cannot be shown, or is ambiguous.
        """
        chosen = choose_prototypes(config.weights(), allow_ambiguous=True)
        if isinstance(config.categories, dict):
            order = list(prototype_table())
            chosen = tuple(sorted(chosen, key=lambda prototype: order.index(prototype.name)))
        pairs = [_pair(blend) for blend in config.blends]
        chosen += tuple(blended(*pair) for pair in pairs)
        if not config.allow_ambiguous:
            refuse_ambiguous(chosen)
        scales = [
            blend_scales(*pair, blend.share)
            for pair, blend in zip(pairs, config.blends, strict=True)
        ]
        plain = [(1.0,) * AU_COUNT] * (len(chosen) - len(pairs))
        counts = whole_proportions(
            {**config.weights(), **{blend.name: blend.weight for blend in config.blends}}
        )
        return cls(
            names=tuple(prototype.name for prototype in chosen),
            counts=tuple(counts[prototype.name] for prototype in chosen),
            chances=tuple(_chances(prototype, config.variants) for prototype in chosen),
            scales=(*plain, *scales),
            low=config.intensity.low,
            high=config.intensity.high,
            spread=config.spread if config.profile == "common" else None,
        )

    @property
    def width(self) -> int:
        """Uniforms that a vector takes: two for each AU, and one for what they have in common."""
        return 2 * AU_COUNT + (self.spread is not None)

    @property
    def categories(self) -> tuple[str, ...]:
        """The names of the categories."""
        return self.names

    def strata(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Return the category number of each position."""
        return blocked_order(seed, f"{_STAGE}/{split}", self.counts, start, stop)

    def ranks(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Return how many positions before each have its stratum."""
        return blocked_ranks(seed, f"{_STAGE}/{split}", self.counts, start, stop)

    def draw(
        self, strata: Int64[np.ndarray, " rows"], numbers: Float64[np.ndarray, "rows width"]
    ) -> Float32[np.ndarray, "rows aus"]:
        """Choose variants by the columns 0–11, intensities by the columns 12–23 and 24."""
        active = numbers[:, :AU_COUNT] < np.array(self.chances)[strata]
        intensity = (self.low + self._above(numbers[:, AU_COUNT:])) * np.array(self.scales)[strata]
        return np.where(active, intensity, 0.0).astype(np.float32)

    def ambiguous(self) -> tuple[tuple[str, ...], ...]:
        """Return the groups of categories whose prototypes are the same on the AUs."""
        groups = ambiguous_groups(map(category_prototype, self.names))
        return tuple(tuple(prototype.name for prototype in group) for group in groups)

    def stratum_name(self, stratum: int) -> str:
        """Name the category."""
        return self.names[stratum]

    def listed(self) -> int | None:
        """Return the length of a block that holds each stratum once."""
        return len(self.counts) if set(self.counts) == {1} else None

    def category_shares(self) -> dict[str, float]:
        """Return the share of each category in a block."""
        total = sum(self.counts)
        return {name: count / total for name, count in zip(self.names, self.counts, strict=True)}

    def rates(self) -> Float64[np.ndarray, " aus"]:
        """Return the mean of the categories' chances, by their shares."""
        return np.array(self.counts) @ np.array(self.chances) / sum(self.counts)

    def joint(self) -> Float64[np.ndarray, "aus aus"]:
        """Return the mean of the categories' products of chances, by their shares."""
        chances = np.array(self.chances)
        products = chances[:, :, None] * chances[:, None, :]
        products[:, range(AU_COUNT), range(AU_COUNT)] = chances
        return np.tensordot(np.array(self.counts) / sum(self.counts), products, axes=1)

    def parts(self) -> tuple[Part, ...]:
        """Return the categories."""
        return tuple(
            Part.of(f"category {name!r}", chances, *_ends(self.low, self.high, scales))
            for name, chances, scales in zip(self.names, self.chances, self.scales, strict=True)
        )

    def mean_intensities(self) -> Float64[np.ndarray, " aus"]:
        """Return the middle of the range, scaled as the categories scale it where it is active."""
        shares = np.array(self.counts)[:, None] * np.array(self.chances)
        total = shares.sum(axis=0)
        scaled = (shares * np.array(self.scales)).sum(axis=0)
        scale = np.divide(scaled, total, out=np.ones(AU_COUNT), where=total > 0)
        return scale * (self.low + self.high) / 2

    def _above(
        self, numbers: Float64[np.ndarray, "rows columns"]
    ) -> Float64[np.ndarray, "rows aus"]:
        """Return how far above the lowest intensity each AU is, uniform in the range.

        With a profile in common, one uniform number per row moves by at most the spread for each
        AU; what leaves the range is reflected at its end, which keeps each AU uniform.
        """
        width = self.high - self.low
        if self.spread is None:
            return width * numbers
        spread = min(self.spread, width)
        moved = width * numbers[:, AU_COUNT:] + spread * (2 * numbers[:, :AU_COUNT] - 1)
        return width - np.abs(width - np.abs(moved))


def _chances(prototype: Prototype, variants: bool) -> tuple[float, ...]:
    extra = prototype.variants if variants else {}
    return tuple(1.0 if au in prototype.shown else extra.get(au, 0.0) for au in AUS)


def _pair(blend: BlendConfig) -> tuple[Prototype, Prototype]:
    one, other = choose_prototypes(blend.of, allow_ambiguous=True)
    return one, other


def _ends(low: float, high: float, scales: tuple[float, ...]) -> tuple[list[float], list[float]]:
    """Return the lowest and the highest intensity of each AU."""
    return [low * scale for scale in scales], [high * scale for scale in scales]
