"""Prior `mixture`: priors in exact proportion."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64
from pydantic import Field, model_serializer, model_validator

from samplers.priors.emotions import (
    Prototype,
    ambiguous_groups,
    category_prototype,
    has_prototype,
    refuse_ambiguous,
)
from samplers.priors.loading import build_prior
from samplers.priors.prior import Part, Prior
from samplers.shares import blocked_order, whole_proportions
from synthgen.action_units import ActionUnitSet
from synthgen.config.base import MOST_WEIGHT, Section
from synthgen.config.components import ComponentField
from synthgen.config.priors.base import PRIORS, PriorSection

PARTS = replace(
    PRIORS, built_in={name: at for name, at in PRIORS.built_in.items() if name != "mixture"}
)
"""The priors that a mixture may hold."""


class ComponentConfig(Section):
    """A prior and its weight; in YAML, the section of the prior with one more key `weight`."""

    weight: float = Field(
        default=1.0, gt=0, le=MOST_WEIGHT, description="Weight of the component, above 0."
    )
    section: Annotated[PriorSection, ComponentField(PARTS)] = Field(
        description="The section of the prior."
    )

    @classmethod
    def allowed_keys(cls, data: object) -> Mapping[str, Any]:
        """Return the weight, and the keys of the section that stands beside it."""
        section = PARTS.section_in(data)
        keys = {} if section is None else section.allowed_keys(data)
        return {
            "weight": super().allowed_keys(data)["weight"],
            **{key: kind for key, kind in keys.items() if key != "quotas"},
        }

    @model_validator(mode="after")
    def _leaves_the_whole_alone(self) -> "ComponentConfig":
        if self.section.quotas is not None:
            raise ValueError("a component has quotas; give them to the whole mixture")
        if self.section.flame is not None:
            raise ValueError("a component has flame; give it to the whole mixture")
        return self

    @model_validator(mode="after")
    def _gives_no_more(self) -> "ComponentConfig":
        if more := sorted(self.section.given() - MixtureConfig.gives):
            raise ValueError(
                f"a component gives {', '.join(more)}; a mixture gives "
                f"{', '.join(MixtureConfig.gives)} alone"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "section" in value:
            return value
        section = {key: entry for key, entry in value.items() if key != "weight"}
        return {"section": section, **{key: value[key] for key in ("weight",) if key in value}}

    @model_serializer(mode="wrap")
    def _join(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        parts = handler(self)
        return {"weight": parts["weight"], **parts["section"]}


class MixtureConfig(PriorSection):
    """Priors in exact proportion."""

    prior: Literal["mixture"]  # pyright: ignore[reportIncompatibleVariableOverride]
    of: list[ComponentConfig] = Field(
        min_length=1,
        max_length=100,
        description="Components, each a prior but no mixture. Shares are exact in each block of at "
        "most 1000 samples of a split; finer ones are rounded to 0.001 or more.",
    )
    allow_ambiguous: bool = Field(
        default=False,
        description="Allow categories of different components whose prototypes are the same on "
        "the AUs of the run.",
    )

    @model_validator(mode="after")
    def _leaves_numbers_to_components(self) -> "MixtureConfig":
        if self.sampling != "random":
            raise ValueError(
                f"sampling {self.sampling} is nothing for a mixture; give it to its components"
            )
        return self

    def build(self) -> "MixturePrior":
        """Build the components' priors, with their rules, and mix them.

        Raises:
            ConfigError: if a component cannot be built, or categories of two are ambiguous.
        """
        return MixturePrior.build(self, [build_prior(part.section) for part in self.of])

    def with_absolute_paths(self) -> "MixtureConfig":
        """Return the section with paths of its components that do not depend on the folder."""
        parts = [
            part.model_copy(update={"section": part.section.with_absolute_paths()})
            for part in self.of
        ]
        return self.model_copy(update={"of": parts})


class _Stretch(NamedTuple):
    """Rows of one component, and where the component draws them."""

    component: int
    rows: Int64[np.ndarray, " rows"]
    start: int
    strata: Int64[np.ndarray, " span"]
    places: Int64[np.ndarray, " rows"]


@dataclass(frozen=True, slots=True)
class MixturePrior(Prior):
    """Priors in exact proportion. A stratum is one of a component: its number · n + component.

    Each component has positions of its own, the j-th of the mixture's that fell to it is its j-th;
    so what it balances stays balanced.

    Attributes:
        components: the priors.
        counts: how often each stands in a block of positions.
    """

    components: tuple[Prior, ...]
    counts: tuple[int, ...]

    @classmethod
    def build(cls, config: MixtureConfig, components: Sequence[Prior]) -> "MixturePrior":
        """Mix the priors of a configuration's components.

        Raises:
            ConfigError: if categories of two components are ambiguous.
        """
        weights = {str(number): part.weight for number, part in enumerate(config.of)}
        prior = cls(tuple(components), tuple(whole_proportions(weights).values()))
        if not config.allow_ambiguous:
            prior._refuse_ambiguous()
        return prior

    @property
    def action_units(self) -> ActionUnitSet:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The AUs of a vector, the same for all components."""
        return self.components[0].action_units

    @property
    def width(self) -> int:
        """Uniforms that a vector of the widest component takes."""
        return max(component.width for component in self.components)

    @property
    def categories(self) -> tuple[str, ...]:
        """Those of all components, each once; a component without any leaves them empty."""
        names = [name for component in self.components for name in component.categories]
        return tuple(dict.fromkeys(names))

    def strata(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Return the strata that the components give their positions."""
        strata = np.empty(stop - start, dtype=np.int64)
        order = self._order(seed, split, start, stop)
        for number, component in enumerate(self.components):
            rows = np.flatnonzero(order == number)
            if len(rows):
                first = self._before(seed, split, start, number)
                place = f"{split}/component-{number}"
                own = component.strata(seed, place, first, first + len(rows))
                strata[rows] = own * len(self.components) + number
        return strata

    def vectors(
        self,
        seed: int,
        split: str,
        start: int,
        strata: Int64[np.ndarray, " rows"],
        replacement: int = 0,
    ) -> Float32[np.ndarray, "rows aus"]:
        """Return the vectors that the components draw."""
        vectors = np.empty((len(strata), len(self.action_units)), dtype=np.float32)
        for part in self._stretches(seed, split, start, strata, replacement):
            place = f"{split}/component-{part.component}"
            component = self.components[part.component]
            drawn = component.vectors(seed, place, part.start, part.strata, replacement)
            vectors[part.rows] = drawn[part.places]
        return vectors

    def trial(
        self,
        seed: int,
        split: str,
        start: int,
        strata: Int64[np.ndarray, " rows"],
        replacement: int,
        number: int,
    ) -> tuple[Int64[np.ndarray, " rows"], Float32[np.ndarray, "rows aus"]]:
        """Return the components' further trials; each position keeps its component."""
        strata = strata.copy()
        vectors = np.empty((len(strata), len(self.action_units)), dtype=np.float32)
        for part in self._stretches(seed, split, start, strata, replacement):
            place = f"{split}/component-{part.component}"
            component = self.components[part.component]
            own, drawn = component.trial(seed, place, part.start, part.strata, replacement, number)
            strata[part.rows] = own[part.places] * len(self.components) + part.component
            vectors[part.rows] = drawn[part.places]
        return strata, vectors

    def draw(
        self, strata: Int64[np.ndarray, " rows"], numbers: Float64[np.ndarray, "rows width"]
    ) -> Float32[np.ndarray, "rows aus"]:
        """Turn uniforms into vectors of the components, each by as many as it takes."""
        vectors = np.empty((len(strata), len(self.action_units)), dtype=np.float32)
        own, kind = np.divmod(strata, len(self.components))
        for number, component in enumerate(self.components):
            rows = np.flatnonzero(kind == number)
            vectors[rows] = component.draw(own[rows], numbers[rows, : component.width])
        return vectors

    def stratum_name(self, stratum: int) -> str:
        """Name the component's stratum."""
        own, number = divmod(stratum, len(self.components))
        return self.components[number].stratum_name(own)

    def category(self, stratum: int) -> str | None:
        """Return the category of the component's stratum, or None where it has none."""
        own, number = divmod(stratum, len(self.components))
        return self.components[number].category(own)

    @property
    def expressions(self) -> tuple[str, ...]:
        """Names that components give to expressions, each once."""
        names = [name for component in self.components for name in component.expressions]
        return tuple(dict.fromkeys(names))

    @property
    def has_levels(self) -> bool:
        """True where strata of a component have a level."""
        return any(component.has_levels for component in self.components)

    def expression(self, stratum: int) -> str | None:
        """Return the name of the expression of the component's stratum, or None."""
        own, number = divmod(stratum, len(self.components))
        return self.components[number].expression(own)

    def level(self, stratum: int) -> float | None:
        """Return the level of the expression of the component's stratum, or None."""
        own, number = divmod(stratum, len(self.components))
        return self.components[number].level(own)

    def category_shares(self) -> dict[str, float]:
        """Return the share of each category in a block; the rest has none."""
        shares = dict.fromkeys(self.categories, 0.0)
        for share, component in zip(self._shares(), self.components, strict=True):
            for name, part in component.category_shares().items():
                shares[name] += float(share * part)
        return shares

    def rates(self) -> Float64[np.ndarray, " aus"]:
        """Return the mean of the components' rates, by their shares."""
        return self._shares() @ np.array([one.rates() for one in self.components])

    def asked_rates(self) -> Float64[np.ndarray, " aus"]:
        """Return the mean of the rates that the components were asked for."""
        return self._shares() @ np.array([one.asked_rates() for one in self.components])

    def joint(self) -> Float64[np.ndarray, "aus aus"]:
        """Return the mean of the components' joint probabilities, by their shares."""
        joints = np.array([one.joint() for one in self.components])
        return np.tensordot(self._shares(), joints, axes=1)

    def mean_intensities(self) -> Float64[np.ndarray, " aus"]:
        """Return the mean of the components', by how often each shows the AU."""
        rates = self._shares()[:, None] * np.array([one.rates() for one in self.components])
        means = np.array([one.mean_intensities() for one in self.components])
        total = rates.sum(axis=0)
        return (rates * means).sum(axis=0) / np.where(total > 0, total, 1.0)

    def ambiguous(self) -> tuple[tuple[str, ...], ...]:
        """Return the groups of categories, of whatever component, that look the same."""
        groups = ambiguous_groups(_prototypes(self.categories, self.action_units))
        return tuple(tuple(prototype.name for prototype in group) for group in groups)

    def notes(self) -> tuple[str, ...]:
        """Return those of the components."""
        return tuple(note for component in self.components for note in component.notes())

    def fingerprint(self) -> dict[str, str]:
        """Return those of the components, numbered: files of two may have the same name."""
        return {
            f"{number}/{name}": digest
            for number, component in enumerate(self.components, start=1)
            for name, digest in component.fingerprint().items()
        }

    def parts(self) -> tuple[Part, ...]:
        """Return those of the components."""
        return tuple(
            replace(part, name=f"{part.name} of component {number}")
            for number, component in enumerate(self.components, start=1)
            for part in component.parts()
        )

    def part_of(self, strata: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " rows"]:
        """Return the number of the component's part, after those of the components before."""
        own, kind = np.divmod(strata, len(self.components))
        before, parts = 0, np.empty_like(strata)
        for number, component in enumerate(self.components):
            rows = kind == number
            parts[rows] = before + component.part_of(own[rows])
            before += len(component.parts())
        return parts

    def _order(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        return blocked_order(seed, f"expressions/component/{split}", self.counts, start, stop)

    def _before(self, seed: int, split: str, position: int, number: int) -> int:
        """Return how many positions before this one fell to a component."""
        block, rest = divmod(position, sum(self.counts))
        head = self._order(seed, split, position - rest, position)
        return block * self.counts[number] + int((head == number).sum())

    def _stretches(
        self, seed: int, split: str, start: int, strata: np.ndarray, replacement: int
    ) -> Iterator[_Stretch]:
        """Yield the rows of each component that has some.

        First specs are drawn at the component's own positions, beside their strata. Replacements
        are drawn at the mixture's, whatever gave them their strata.
        """
        own, kind = np.divmod(strata, len(self.components))
        for number in range(len(self.components)):
            rows = np.flatnonzero(kind == number)
            if not len(rows):
                continue
            if replacement:
                first = int(rows[0])
                span = np.full(int(rows[-1]) + 1 - first, own[first])
                span[rows - first] = own[rows]
                yield _Stretch(number, rows, start + first, span, rows - first)
            else:
                first = self._before(seed, split, start, number)
                yield _Stretch(number, rows, first, own[rows], np.arange(len(rows)))

    def _shares(self) -> Float64[np.ndarray, " components"]:
        return np.array(self.counts) / sum(self.counts)

    def _refuse_ambiguous(self) -> None:
        """Refuse categories of two components; those of one are its own affair."""
        for one, other in combinations(self.components, 2):
            for pair in product(one.categories, other.categories):
                if pair[0] != pair[1]:
                    refuse_ambiguous(_prototypes(pair, self.action_units), self.action_units)


def _prototypes(categories: Sequence[str], aus: ActionUnitSet) -> list[Prototype]:
    return [category_prototype(name, aus) for name in categories if has_prototype(name)]
