"""Prior `emotions`: prototypes of emotion categories with their variants.

Du, Tao & Martinez, "Compound facial expressions of emotion", PNAS 2014; table in `emotions.yaml`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Literal

import numpy as np
import yaml
from jaxtyping import Float32, Float64, Int64
from pydantic import Field, field_validator, model_validator

from samplers.priors.prior import DealtPrior, Part
from samplers.shares import blocked_order, blocked_ranks, whole_proportions
from synthgen.action_units import DEFAULT_AUS, FACS, ActionUnitSet
from synthgen.config.base import MOST_WEIGHT, Section
from synthgen.config.priors.base import IntensityRange, PriorSection
from synthgen.errors import ConfigError
from synthgen.foreign import did_you_mean, shown

WHERE = "expressions.categories"
"""Key of the configuration that names categories."""


@dataclass(frozen=True, slots=True)
class Prototype:
    """Prototype of one emotion category, in FACS.

    Attributes:
        name: the category.
        shown: prototype AUs among those of the run.
        lost: prototype AUs that an AU vector does not hold.
        variants: further AU among them → share of subjects who show it, in (0, 1).
        lost_variants: the same for AUs that an AU vector does not hold.
    """

    name: str
    shown: tuple[str, ...]
    lost: tuple[str, ...]
    variants: Mapping[str, float]
    lost_variants: Mapping[str, float]


@cache
def prototype_table(aus: ActionUnitSet = DEFAULT_AUS) -> dict[str, Prototype]:
    """Return the categories of the table, in its order, as some AUs show them."""
    categories = _read()["categories"]
    return {name: _prototype(name, entry, aus) for name, entry in categories.items()}


def why_impossible() -> Mapping[str, str]:
    """Return the categories that no AU vector can show, and why."""
    return _read()["impossible"]


def choose_prototypes(
    names: Iterable[str], allow_ambiguous: bool, aus: ActionUnitSet = DEFAULT_AUS
) -> tuple[Prototype, ...]:
    """Look the categories of a configuration up.

    Args:
        names: categories.
        allow_ambiguous: allow categories whose prototypes are the same on the AUs.
        aus: the AUs of the run.

    Raises:
        ConfigError: if a category is not in the table, cannot be shown by the AUs, or cannot be
            told from another one.
    """
    chosen = tuple(_find(name, aus) for name in names)
    if not allow_ambiguous:
        refuse_ambiguous(chosen, aus)
    return chosen


def ambiguous_groups(chosen: Iterable[Prototype]) -> tuple[tuple[Prototype, ...], ...]:
    """Return the prototypes that are the same on the AUs, in groups of two or more."""
    groups: dict[frozenset[str], list[Prototype]] = {}
    for prototype in chosen:
        groups.setdefault(frozenset(prototype.shown), []).append(prototype)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def refuse_ambiguous(chosen: Iterable[Prototype], aus: ActionUnitSet) -> None:
    """Refuse prototypes that are the same on the AUs.

    Raises:
        ConfigError: naming the first two.
    """
    for one, other, *_ in ambiguous_groups(chosen):
        raise ConfigError(
            f"{WHERE}: {one.name!r} and {other.name!r} have the same prototype on the {len(aus)} "
            f"AUs ({', '.join(one.shown)}); leave one out, or set allow_ambiguous: true"
        )


def _find(name: str, aus: ActionUnitSet) -> Prototype:
    table, impossible = prototype_table(aus), _read()["impossible"]
    if name in impossible:
        raise ConfigError(f"{WHERE}: {name!r} cannot be shown: {impossible[name]}")
    if name not in table:
        there = did_you_mean(name, table, f"those that exist: {', '.join(table)}")
        raise ConfigError(f"{WHERE}: unknown category {shown(name)}; {there}")
    missing = [au for au in table[name].lost if au in DEFAULT_AUS]
    if missing:
        raise ConfigError(
            f"{WHERE}: {name!r} cannot be shown: it needs {' and '.join(missing)}, which "
            f"{'is' if len(missing) == 1 else 'are'} not among the AUs in use, "
            f"{', '.join(aus.names)}"
        )
    return table[name]


def _prototype(name: str, entry: Mapping[str, Mapping], aus: ActionUnitSet) -> Prototype:
    prototype, variants = entry["prototype"], entry["variants"]
    all_shown = [*prototype["shown"], *prototype["lost"]]
    shares = {**variants["shown"], **variants["lost"]}
    return Prototype(
        name=name,
        shown=tuple(au for au in all_shown if au in aus),
        lost=tuple(au for au in all_shown if au not in aus),
        variants={au: percent / 100 for au, percent in shares.items() if au in aus},
        lost_variants={au: percent / 100 for au, percent in shares.items() if au not in aus},
    )


@cache
def _read() -> dict[str, dict]:
    return yaml.safe_load(files("samplers.priors").joinpath("emotions.yaml").read_text("utf-8"))


_JOIN = "+"


def category_prototype(name: str, aus: ActionUnitSet) -> Prototype:
    """Return the prototype of a category of the table, or of a blend such as `happy+surprised`."""
    table = prototype_table(aus)
    if name in table:
        return table[name]
    return blended(*(table[part] for part in name.split(_JOIN)))


def has_prototype(name: str) -> bool:
    """Tell the categories of the table, and their blends, from those of somebody else's prior."""
    return prototype_table().keys() >= set(name.split(_JOIN))


def blended(one: Prototype, other: Prototype) -> Prototype:
    """Unite two categories.

    The prototype holds the AUs of both prototypes. A variant appears as often as if each category
    showed it by itself: 1 − (1 − p)(1 − q).
    """
    shown = {*one.shown, *other.shown}
    return Prototype(
        name=f"{one.name}{_JOIN}{other.name}",
        shown=tuple(au for au in FACS if au in shown),
        lost=tuple(dict.fromkeys((*one.lost, *other.lost))),
        variants=_either(one.variants, other.variants, shown),
        lost_variants=_either(one.lost_variants, other.lost_variants, {*one.lost, *other.lost}),
    )


def blend_scales(
    one: Prototype, other: Prototype, share: float, aus: ActionUnitSet
) -> tuple[float, ...]:
    """Return the factor of the intensity of each AU (0, 1].

    The AUs of the category with the larger share have the factor 1, also where both have them; the
    others have the ratio of the shares.

    Args:
        one: the first category.
        other: the second category.
        share: share of the first (0, 1).
        aus: the AUs of a vector.
    """
    strong, weak = (one, other) if share >= 0.5 else (other, one)
    ratio = min(share, 1 - share) / max(share, 1 - share)
    full = {*strong.shown, *strong.variants}
    part = {*weak.shown, *weak.variants} - full
    return tuple(ratio if au in part else 1.0 for au in aus.names)


def _either(
    one: Mapping[str, float], other: Mapping[str, float], shown: set[str]
) -> dict[str, float]:
    names = [name for name in dict.fromkeys((*one, *other)) if name not in shown]
    return {name: 1 - (1 - one.get(name, 0.0)) * (1 - other.get(name, 0.0)) for name in names}


_STAGE = "expressions/category"


class BlendConfig(Section):
    """Two categories in one face: a category of its own, named `happy+surprised`."""

    of: list[str] = Field(min_length=2, max_length=2, description="The two categories.")
    weight: float = Field(
        default=1.0, gt=0, le=MOST_WEIGHT, description="Weight of the blend, above 0."
    )
    share: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="Share of the first (0, 1). The one with the larger share shows at full "
        "intensity, the other one scaled by the ratio of the shares; AUs of both are full.",
    )

    @model_validator(mode="after")
    def _two_different(self) -> "BlendConfig":
        if self.of[0] == self.of[1]:
            raise ValueError(f"{self.of[0]!r} cannot be blended with itself")
        return self

    @property
    def name(self) -> str:
        """Name of the category."""
        return "+".join(self.of)


class EmotionsConfig(PriorSection):
    """Prototypes of emotions with their variants (Du, Tao & Martinez, PNAS 2014)."""

    prior: Literal["emotions"]  # pyright: ignore[reportIncompatibleVariableOverride]
    categories: list[str] | dict[str, float] = Field(
        min_length=1,
        description="Emotion categories in equal shares, or a mapping to weights above 0. Shares "
        "are exact in each block of at most 1000 samples of a split; finer ones are rounded to "
        "0.001 or more.",
    )
    intensity: IntensityRange = Field(
        default=IntensityRange(), description="Range of the intensity of each active AU."
    )
    profile: Literal["independent", "common"] = Field(
        default="independent",
        description="Intensities of the AUs of one expression: each drawn alone, or close to one "
        "that they have in common.",
    )
    spread: float = Field(
        default=0.5,
        ge=0,
        le=1000,
        description="Profile common: how far an AU is from the common intensity at most; more "
        "than the range of intensities is as much as the range.",
    )
    blends: list[BlendConfig] = Field(
        default=[], max_length=100, description="Further categories, each of two of the table."
    )
    variants: bool = Field(
        default=True,
        description="Add the variant AUs of a category as often as its subjects showed them.",
    )
    allow_ambiguous: bool = Field(
        default=False,
        description="Allow two categories whose prototypes are the same on the AUs of the run.",
    )

    @field_validator("categories")
    @classmethod
    def _weights_are_positive(cls, value: list[str] | dict[str, float]) -> object:
        if isinstance(value, list) and len(set(value)) < len(value):
            double = next(name for name, count in Counter(value).items() if count > 1)
            raise ValueError(f"category {double!r} stands there twice; give it a weight instead")
        for name, weight in value.items() if isinstance(value, dict) else ():
            if not 0 < weight <= MOST_WEIGHT:
                bound = f" and at most {MOST_WEIGHT:g}" if weight > 0 else ""
                raise ValueError(f"weight of {name} is {weight:g}; it must be above 0{bound}")
        return value

    @field_validator("blends")
    @classmethod
    def _blends_differ(cls, value: list[BlendConfig]) -> object:
        seen = set()
        for blend in value:
            if frozenset(blend.of) in seen:
                raise ValueError(f"{' and '.join(sorted(blend.of))} are blended twice")
            seen.add(frozenset(blend.of))
        return value

    @model_validator(mode="after")
    def _intensity_allowed(self) -> "EmotionsConfig":
        self._check_intensities("intensity", self.intensity.low, self.intensity.high)
        return self

    def weights(self) -> dict[str, float]:
        """Return the weight of each category."""
        if isinstance(self.categories, dict):
            return dict(self.categories)
        return dict.fromkeys(self.categories, 1.0)

    def build(self) -> "EmotionsPrior":
        """Build the prior.

        Raises:
            ConfigError: if a category is unknown, cannot be shown, or is ambiguous.
        """
        return EmotionsPrior.from_config(self)


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
        action_units: the AUs of a vector.
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]
    chances: tuple[tuple[float, ...], ...]
    scales: tuple[tuple[float, ...], ...]
    low: float
    high: float
    spread: float | None
    action_units: ActionUnitSet = field(default=DEFAULT_AUS, kw_only=True)

    @classmethod
    def from_config(cls, config: EmotionsConfig) -> "EmotionsPrior":
        """Build the prior of a configuration.

        Categories given as a list keep its order; those given with weights take the table's. Blends
        follow, in the order of the file.

        Raises:
            ConfigError: if a category is unknown, cannot be shown, or is ambiguous.
        """
        aus = config.au_set
        chosen = choose_prototypes(config.weights(), allow_ambiguous=True, aus=aus)
        if isinstance(config.categories, dict):
            order = list(prototype_table(aus))
            chosen = tuple(sorted(chosen, key=lambda prototype: order.index(prototype.name)))
        pairs = [_pair(blend, aus) for blend in config.blends]
        chosen += tuple(blended(*pair) for pair in pairs)
        if not config.allow_ambiguous:
            refuse_ambiguous(chosen, aus)
        scales = [
            blend_scales(*pair, blend.share, aus)
            for pair, blend in zip(pairs, config.blends, strict=True)
        ]
        plain = [(1.0,) * len(aus)] * (len(chosen) - len(pairs))
        counts = whole_proportions(
            {**config.weights(), **{blend.name: blend.weight for blend in config.blends}}
        )
        return cls(
            names=tuple(prototype.name for prototype in chosen),
            counts=tuple(counts[prototype.name] for prototype in chosen),
            chances=tuple(_chances(prototype, config.variants, aus) for prototype in chosen),
            scales=(*plain, *scales),
            low=config.intensity.low,
            high=config.intensity.high,
            spread=config.spread if config.profile == "common" else None,
            action_units=aus,
        )

    @property
    def width(self) -> int:
        """Uniforms that a vector takes: two for each AU, and one for what they have in common."""
        return 2 * len(self.action_units) + (self.spread is not None)

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
        """Choose variants by the first column of each AU, intensities by the others."""
        aus = len(self.action_units)
        active = numbers[:, :aus] < np.array(self.chances)[strata]
        intensity = (self.low + self._above(numbers[:, aus:])) * np.array(self.scales)[strata]
        return np.where(active, intensity, 0.0).astype(np.float32)

    def ambiguous(self) -> tuple[tuple[str, ...], ...]:
        """Return the groups of categories whose prototypes are the same on the AUs."""
        groups = ambiguous_groups(
            [category_prototype(name, self.action_units) for name in self.names]
        )
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
        products[:, range(chances.shape[1]), range(chances.shape[1])] = chances
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
        scale = np.divide(scaled, total, out=np.ones_like(total), where=total > 0)
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
        moved = width * numbers[:, -1:] + spread * (2 * numbers[:, :-1] - 1)
        return width - np.abs(width - np.abs(moved))


def _chances(prototype: Prototype, variants: bool, aus: ActionUnitSet) -> tuple[float, ...]:
    extra = prototype.variants if variants else {}
    return tuple(1.0 if au in prototype.shown else extra.get(au, 0.0) for au in aus.names)


def _pair(blend: BlendConfig, aus: ActionUnitSet) -> tuple[Prototype, Prototype]:
    one, other = choose_prototypes(blend.of, allow_ambiguous=True, aus=aus)
    return one, other


def _ends(low: float, high: float, scales: tuple[float, ...]) -> tuple[list[float], list[float]]:
    """Return the lowest and the highest intensity of each AU."""
    return [low * scale for scale in scales], [high * scale for scale in scales]
