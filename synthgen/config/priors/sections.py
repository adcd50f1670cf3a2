"""Sections of the priors, except the copula's."""

import re
from collections import Counter
from collections.abc import Mapping
from math import comb
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from synthgen.action_units import AUS, FACS
from synthgen.config.aus_in_use import check_au, default_names
from synthgen.config.base import MOST_WEIGHT, Section
from synthgen.config.priors.base import IntensityRange, PriorSection
from synthgen.config.priors.copula import CopulaConfig


class BuiltinConfig(PriorSection):
    """A prior that comes with synthgen, as a data file with its source in it."""

    prior: Literal["builtin"]
    name: str = Field(
        min_length=1, description="Name of the data file, such as disfa-rates or cohn-kanade-rates."
    )


MAX_COMBINATIONS = 500
"""Most combinations of a list: a block of 1000 positions holds each of them."""


class CombinationConfig(Section):
    """AUs that are active together."""

    aus: dict[str, float | list[float]] = Field(
        description="AU → intensity, or [lowest, highest], drawn uniformly; {} is the neutral face."
    )
    weight: float = Field(
        default=1.0, gt=0, le=MOST_WEIGHT, description="Weight of the combination, above 0."
    )
    name: str | None = Field(
        default=None, min_length=1, description="Name of the stratum; without it, AU6+AU12."
    )

    @model_validator(mode="after")
    def _ranges_in_order(self) -> "CombinationConfig":
        for name, value in self.aus.items():
            check_au(name)
            if isinstance(value, list) and (len(value) != 2 or value[0] > value[1]):
                raise ValueError(f"{name} is {value}; it must be [lowest, highest]")
            if 0 in self.range_of(name):
                raise ValueError(f"{name} is {value}; leave out an AU that is not active")
        return self

    @property
    def title(self) -> str:
        """Name of the stratum."""
        return self.name or "+".join(name for name in FACS if name in self.aus) or "neutral"

    def range_of(self, name: str) -> tuple[float, float]:
        """Return the lowest and the highest intensity of an AU; 0 where it is not active."""
        value = self.aus.get(name, 0.0)
        return (value[0], value[-1]) if isinstance(value, list) else (value, value)


class CombinationsConfig(PriorSection):
    """An explicit list of combinations of AUs."""

    prior: Literal["combinations"]
    combinations: list[CombinationConfig] = Field(
        min_length=1,
        max_length=MAX_COMBINATIONS,
        description="Combinations. Shares are exact in each block of at most 1000 samples of a "
        "split; finer ones are rounded to 0.001 or more.",
    )

    @model_validator(mode="after")
    def _are_allowed(self) -> "CombinationsConfig":
        seen = set()
        for combination in self.combinations:
            title = combination.title
            if title in seen:
                raise ValueError(f"two combinations are named {title!r}; give one another name")
            seen.add(title)
            for name in combination.aus:
                self._check_intensities(f"{name} of {title!r}", *combination.range_of(name))
        return self


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

    prior: Literal["emotions"]
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
        description="Allow two categories whose prototypes are the same on the 12 AUs.",
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


LabelScale = Literal[5, 1, 100, "occurrence"]
"""Scale of the AU values of a table."""

LabelSides = Literal["mean", "max", "refuse"]
"""AUs of a face's left and right become their mean, their maximum, or are refused."""

AnySection = TypeVar("AnySection", bound=Section)


class EmpiricalConfig(PriorSection):
    """The rows of a label file, drawn as often as they stand there."""

    prior: Literal["empirical"]
    labels: str = Field(
        min_length=1,
        description="Label file, or folder of label files; a relative path begins at the working "
        "directory. Its checksum is part of the identity of the data.",
    )
    format: Literal["csv", "openface", "libreface", "disfa", "bp4d"] = Field(
        description="Layout of the label files."
    )
    weights: str | None = Field(
        default=None, description="Column of the rows' weights; null: each row weighs 1."
    )
    where: dict[str, str | float | list[float]] = Field(
        default={},
        description="Column → a value, or a range [low, high] with both ends in it; only rows that "
        "hold them all are drawn.",
    )
    scale: LabelScale | None = Field(
        default=None,
        exclude_if=lambda scale: scale is None,
        description="Scale of the labels' values: 5, 1 or 100 for intensities from 0 to that "
        "number, occurrence for 0 and 1; null: found from the values, and told.",
    )
    missing: list[float | str] = Field(
        default=[],
        max_length=20,
        exclude_if=lambda codes: not codes,
        description="Numbers or texts that stand for an AU that was not coded, such as 9, 999 or "
        "-1.",
    )
    sides: LabelSides = Field(
        default="refuse",
        exclude_if=lambda sides: sides == "refuse",
        description="AUs of a face's left and right (AU12L, AU12R) become their mean, their max, "
        "or are refused.",
    )
    smoothing: float = Field(
        default=0.0,
        ge=0,
        le=5,
        description="Standard deviation [intensity] of the normal kernel around the intensity of "
        "each active AU; what it gives is clipped to [active_from, 5], so the AU stays active.",
    )
    active_from: float = Field(
        default=0.5,
        gt=0,
        le=5,
        description="Intensity from which an AU counts as active; lower ones become 0.",
    )

    @field_validator("where")
    @classmethod
    def _ranges_in_order(
        cls, where: dict[str, str | float | list[float]]
    ) -> dict[str, str | float | list[float]]:
        for column, wanted in where.items():
            if isinstance(wanted, list) and (len(wanted) != 2 or wanted[0] > wanted[1]):
                raise ValueError(f"{column} is {wanted}; it must be a value or a range [low, high]")
        return where


def with_absolute_labels(section: AnySection) -> AnySection:
    """Make every path of labels in a section, or in one inside it, independent of the folder."""
    changes: dict[str, object] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(section, EmpiricalConfig) and name == "labels":
            changes[name] = str(Path(section.labels).absolute())
        elif isinstance(value, Section):
            changes[name] = with_absolute_labels(value)
        elif isinstance(value, list | tuple):
            items = (with_absolute_labels(v) if isinstance(v, Section) else v for v in value)
            changes[name] = type(value)(items)
    return section.model_copy(update=changes)


COMBINED = (2, 3, 4)
"""Number of AUs in a combination of a grid."""

FINEFACE_COMBINATIONS = 50


class GridConfig(PriorSection):
    """Each AU alone at each level, then combinations, over and over in this order."""

    prior: Literal["grid"]
    protocol: Literal["fineface"] | None = Field(
        default=None,
        description="fineface: the evaluation of the FineFace paper for a prompt, 12 AUs at 5 "
        "intensities and 50 combinations; then no other key of the grid may be given.",
    )
    aus: list[str] = Field(
        default_factory=default_names,
        min_length=1,
        description="The AUs; those of the run where nothing is said.",
    )
    levels: list[float] = Field(
        default=[1.0, 2.0, 3.0, 4.0, 5.0],
        min_length=1,
        max_length=100,
        description="The intensities, none 0.",
    )
    combinations: int = Field(
        default=0,
        ge=0,
        le=5000,
        description="Further cells, each of 2 to 4 of the AUs at levels of their own; drawn once, "
        "the same for every seed.",
    )

    @model_validator(mode="after")
    def _is_possible(self) -> "GridConfig":
        if self.quotas is not None:
            raise ValueError("a grid shows its cells in a fixed order; leave quotas out")
        if self.protocol and self.au_set.names != AUS:
            raise ValueError(
                f"protocol {self.protocol} is about {', '.join(AUS)}; leave action_units out"
            )
        fixed = {"aus": self.action_units} | {
            key: type(self).model_fields[key].default for key in ("levels", "combinations")
        }
        for key, value in fixed.items():
            if self.protocol and getattr(self, key) != value:
                raise ValueError(f"protocol {self.protocol} fixes {key}; leave one of them out")
        self._check_values()
        if self.combinations > (possible := self._possible()):
            raise ValueError(
                f"combinations is {self.combinations}; {len(self.aus)} AUs at {len(self.levels)} "
                f"levels have {possible} of 2 to 4 AUs"
            )
        return self

    @property
    def drawn(self) -> int:
        """Number of combinations of several AUs."""
        return FINEFACE_COMBINATIONS if self.protocol else self.combinations

    def _check_values(self) -> None:
        for values, what in ((self.aus, "aus"), (self.levels, "levels")):
            if len(set(values)) < len(values):
                raise ValueError(f"{what} holds a value twice: {', '.join(map(str, values))}")
        for name in self.aus:
            self.au_set.index(name)
        if 0 in self.levels:
            raise ValueError("levels holds 0; an AU at 0 is not active")
        self._check_intensities("level", *self.levels)

    def _possible(self) -> int:
        return sum(comb(len(self.aus), k) * len(self.levels) ** k for k in COMBINED)


class AURate(Section):
    """Rate and intensities of one AU."""

    rate: float = Field(
        ge=0, le=1, description="Share of samples in which the AU is active [0, 1]."
    )
    intensity: IntensityRange = Field(
        default=IntensityRange(low=0.5, high=5.0), description="Range of its intensity when active."
    )


class IndependentConfig(PriorSection):
    """Each AU active at its own rate, whatever the others do."""

    prior: Literal["independent"]
    aus: dict[str, AURate] = Field(
        min_length=1, description="Rate and intensity of each AU; an AU not named is never active."
    )

    @model_validator(mode="after")
    def _aus_allowed(self) -> "IndependentConfig":
        for name, au in self.aus.items():
            self.au_set.index(name)
            where = f"intensity of {name}"
            self._check_intensities(where, au.intensity.low, au.intensity.high)
        return self

    def rates(self) -> list[AURate]:
        """Return the rates in the order of an AU vector."""
        return [self.aus.get(name, AURate(rate=0.0)) for name in self.action_units]


_NUMBER = re.compile(r"0|[1-9][0-9]?")


class UniformConfig(PriorSection):
    """k active AUs, any k of them alike."""

    prior: Literal["uniform"]
    active: dict[int, float] = Field(
        min_length=1, description="Number of active AUs → weight above 0."
    )
    aus: list[str] = Field(
        default_factory=default_names,
        min_length=1,
        description="The AUs to choose from; those of the run where nothing is said.",
    )
    intensity: IntensityRange | None = Field(
        default=None,
        description="Range of the intensity of each active AU; 0.5 to 5 if total is not given.",
    )
    total: IntensityRange | None = Field(
        default=None,
        description="Range of the sum of the intensities, which is split uniformly at random "
        "among the active AUs; instead of intensity.",
    )

    @field_validator("active", mode="before")
    @classmethod
    def _numbers_as_text(cls, value: object) -> object:
        """Read the keys that JSON made text."""
        if not isinstance(value, Mapping):
            return value
        return {
            int(key) if isinstance(key, str) and _NUMBER.fullmatch(key) else key: weight
            for key, weight in value.items()
        }

    @model_validator(mode="after")
    def _is_possible(self) -> "UniformConfig":
        if len({self.au_set.index(name) for name in self.aus}) < len(self.aus):
            raise ValueError(f"aus names an AU twice: {', '.join(self.aus)}")
        for number, weight in self.active.items():
            if not 0 <= number <= len(self.aus):
                raise ValueError(f"active names {number} AUs; there are {len(self.aus)} in aus")
            if not 0 < weight <= MOST_WEIGHT:
                bound = f" and at most {MOST_WEIGHT:g}" if weight > 0 else ""
                raise ValueError(
                    f"weight of {number} active AUs is {weight:g}; it must be above 0{bound}"
                )
        if self.intensity is not None and self.total is not None:
            raise ValueError("intensity and total are both given; leave one out")
        for where in ("intensity", "total"):
            if (given := getattr(self, where)) is not None:
                self._check_intensities(where, given.low, given.high)
        if self.total is not None and self.total.low <= 0:
            raise ValueError(f"total.low is {self.total.low:g}; it must be above 0")
        return self

    @property
    def each(self) -> IntensityRange:
        """The range of each intensity, where no total is given."""
        return self.intensity or IntensityRange(low=0.5, high=5.0)

    def weights(self) -> tuple[float, ...]:
        """Return the probability of each number of active AUs, from 0 to all."""
        total = sum(self.active.values())
        return tuple(
            self.active.get(number, 0.0) / total for number in range(len(self.action_units) + 1)
        )


SimplePriorConfig = Annotated[
    EmotionsConfig
    | IndependentConfig
    | CombinationsConfig
    | GridConfig
    | UniformConfig
    | CopulaConfig
    | EmpiricalConfig
    | BuiltinConfig,
    Field(discriminator="prior"),
]


class ComponentConfig(Section):
    """A prior and its weight; in YAML, the section of the prior with one more key `weight`."""

    weight: float = Field(
        default=1.0, gt=0, le=MOST_WEIGHT, description="Weight of the component, above 0."
    )
    section: SimplePriorConfig = Field(description="The section of the prior.")

    @model_validator(mode="after")
    def _has_no_quotas(self) -> "ComponentConfig":
        if self.section.quotas is not None:
            raise ValueError("a component has quotas; give them to the whole mixture")
        return self

    @model_validator(mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "section" in value:
            return value
        section = {key: entry for key, entry in value.items() if key != "weight"}
        return {"section": section, **{key: value[key] for key in ("weight",) if key in value}}

    @model_serializer(mode="wrap")
    def _join(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        parts = handler(self)
        return {"weight": parts["weight"], **parts["section"]}


class MixtureConfig(PriorSection):
    """Priors in exact proportion."""

    prior: Literal["mixture"]
    of: list[ComponentConfig] = Field(
        min_length=1,
        max_length=100,
        description="Components, each a prior but no mixture. Shares are exact in each block of at "
        "most 1000 samples of a split; finer ones are rounded to 0.001 or more.",
    )
    allow_ambiguous: bool = Field(
        default=False,
        description="Allow categories of different components whose prototypes are the same on "
        "the 12 AUs.",
    )

    @model_validator(mode="after")
    def _leaves_numbers_to_components(self) -> "MixtureConfig":
        if self.sampling != "random":
            raise ValueError(
                f"sampling {self.sampling} is nothing for a mixture; give it to its components"
            )
        return self
