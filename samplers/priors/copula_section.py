"""Keys of the prior `copula`: marginals of the AUs, and how they go together."""

import re
from abc import ABC
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from synthgen.action_units import canonical, refuse_repeated
from synthgen.config.aus_in_use import AuMapping, AuName
from synthgen.config.base import MOST_WEIGHT, Section
from synthgen.config.priors.base import IntensityRange, PriorSection

Correlation = Annotated[float, Field(ge=-1, le=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, le=MOST_WEIGHT)]
Pair = tuple[str, str]

_ROUNDING = 1e-6
"""By how much an entry of a computed matrix may miss what it must be."""

_Value = TypeVar("_Value")


def _canonical_pair(text: str) -> str:
    return re.sub(r"[^+|\s]+", lambda name: canonical(name[0]), text)


def _pairs_differ(value: object) -> object:
    if isinstance(value, Mapping):
        refuse_repeated((key for key in value if isinstance(key, str)), _canonical_pair)
    return value


_Pairs = Annotated[
    dict[Annotated[str, AfterValidator(_canonical_pair)], _Value], BeforeValidator(_pairs_differ)
]
"""A mapping with a pair of AUs as each key."""

_MARGINAL_KINDS = ("levels", "beta", "quantiles", "intensity")


class BetaIntensity(Section):
    """A Beta distribution, stretched to a range of intensities."""

    a: float = Field(gt=0, le=1e6, description="First shape of the Beta distribution (0, 1e6].")
    b: float = Field(gt=0, le=1e6, description="Second shape of the Beta distribution (0, 1e6].")
    low: float = Field(default=0.5, description="Lowest intensity, in [0, 5].")
    high: float = Field(default=5.0, description="Highest intensity, in [0, 5].")

    @model_validator(mode="after")
    def _in_order(self) -> "BetaIntensity":
        if self.low >= self.high:
            raise ValueError(f"low is {self.low:g} and high is {self.high:g}; low must be smaller")
        return self


class LevelWeights(Section):
    """Weights of the FACS levels; a level that is not named has none."""

    A: Weight = Field(default=0.0, description="Weight of trace, intensities [0.5, 1.5).")
    B: Weight = Field(default=0.0, description="Weight of slight, intensities [1.5, 2.5).")
    C: Weight = Field(default=0.0, description="Weight of marked, intensities [2.5, 3.5).")
    D: Weight = Field(default=0.0, description="Weight of severe, intensities [3.5, 4.5).")
    E: Weight = Field(default=0.0, description="Weight of maximum, intensities [4.5, 5].")

    @model_validator(mode="after")
    def _some_level(self) -> "LevelWeights":
        if not sum(self.weights().values()) > 0:
            raise ValueError("all weights are 0; one must be above 0")
        return self

    def weights(self) -> dict[str, float]:
        """Return the weight of each level, A to E."""
        return {"A": self.A, "B": self.B, "C": self.C, "D": self.D, "E": self.E}


class Marginal(Section):
    """Rate of one AU and its intensities where it is active, in one of four ways."""

    rate: float = Field(
        ge=0, le=1, description="Share of samples in which the AU is active [0, 1]."
    )
    levels: LevelWeights | None = Field(
        default=None, description="Weights of the FACS levels A to E, uniform within each."
    )
    beta: BetaIntensity | None = Field(
        default=None, description="A Beta distribution on [low, high]."
    )
    quantiles: list[float] | None = Field(
        default=None,
        min_length=1,
        max_length=10_001,
        description="Two or more quantiles of the intensity at equal steps from 0 to 1, linear in "
        "between.",
    )
    intensity: IntensityRange | None = Field(
        default=None, description="A range, uniform; 0.5 to 5 where nothing else is said."
    )

    @field_validator("quantiles")
    @classmethod
    def _rising(cls, value: list[float] | None) -> list[float] | None:
        if value is not None and len(value) < 2:
            raise ValueError("1 number is given; quantiles are at least 2")
        for before, after in pairwise(value or []):
            if after < before:
                raise ValueError(f"{after:g} stands after {before:g}; quantiles must not fall")
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> "Marginal":
        given = [kind for kind in _MARGINAL_KINDS if getattr(self, kind) is not None]
        if len(given) > 1:
            raise ValueError(
                f"{given[0]} and {given[1]} are both given; "
                f"one of {', '.join(_MARGINAL_KINDS)} is allowed"
            )
        return self

    def ends(self) -> tuple[float, float]:
        """Return the lowest and the highest intensity; levels lie within [0.5, 5]."""
        if self.quantiles is not None:
            return self.quantiles[0], self.quantiles[-1]
        span = self.beta or self.intensity
        return (0.5, 5.0) if span is None else (span.low, span.high)

    def rests_at_zero(self) -> bool:
        """Return whether the intensity is 0 more than by chance."""
        nodes = self.quantiles or list(self.ends())
        return any(before == 0 == after for before, after in pairwise(nodes))


class CorrelationMatrix(Section):
    """Correlations of some AUs, as a table."""

    aus: list[AuName] = Field(min_length=2, description="The AUs of the rows and columns.")
    values: list[list[float]] = Field(
        min_length=2, description="Symmetric table of latent correlations in [−1, 1], diagonal 1."
    )

    @model_validator(mode="after")
    def _correlations(self) -> "CorrelationMatrix":
        size = len(self.aus)
        if len(set(self.aus)) < size:
            raise ValueError("an AU stands twice in aus; each must stand there once")
        if len(self.values) != size or any(len(row) != size for row in self.values):
            raise ValueError(f"values must have {size} rows of {size} numbers, as aus has {size}")
        for i, one in enumerate(self.aus):
            for j, other in enumerate(self.aus):
                self._check_entry(f"{one}, {other}", self.values[i][j], self.values[j][i], i == j)
        return self

    def _check_entry(self, place: str, value: float, mirrored: float, alone: bool) -> None:
        if abs(value) > 1 + _ROUNDING:
            raise ValueError(f"{place} is {value:g}; a correlation must be in [-1, 1]")
        if alone and abs(value - 1) > _ROUNDING:
            raise ValueError(f"{place} is {value:g}; an AU's entry with itself must be 1")
        if abs(value - mirrored) > _ROUNDING:
            raise ValueError(
                f"{place} is {value:g}, across the diagonal it is {mirrored:g}; the table must be "
                "symmetric"
            )

    def pairs(self) -> dict[Pair, float]:
        """Return the correlation of each pair."""
        return {
            (one, self.aus[j]): self.values[i][j]
            for i, one in enumerate(self.aus)
            for j in range(i + 1, len(self.aus))
        }


class CopulaKeys(PriorSection, ABC):
    """Keys of a Gaussian copula, and what they say together."""

    marginals: AuMapping[Marginal] = Field(
        min_length=1, description="Rate and intensity of each AU; an AU not named is never active."
    )
    correlation: _Pairs[Correlation] | None = Field(
        default=None,
        min_length=1,
        description="Correlation of the latent normals of pairs such as AU6+AU12, in [−1, 1].",
    )
    matrix: CorrelationMatrix | None = Field(
        default=None, description="The same as a table over some or all AUs."
    )
    conditional: _Pairs[Probability] | None = Field(
        default=None,
        min_length=1,
        description="AU6|AU12: probability that AU6 is active where AU12 is [0, 1].",
    )
    joint: _Pairs[Probability] | None = Field(
        default=None,
        min_length=1,
        description="AU6+AU12: probability that both are active [0, 1].",
    )
    intensity_correlation: Literal["latent", "none"] = Field(
        default="latent",
        description="latent: intensities come from the same normals as the active AUs, so that "
        "AUs that go together also rise together; none: each by its marginal alone.",
    )
    max_repair: float = Field(
        default=0.05,
        ge=0,
        le=2,
        description="Largest move of a latent correlation that was asked for, where the asked ones "
        "cannot stand together; a larger one is refused.",
    )

    @model_validator(mode="after")
    def _allowed(self) -> "CopulaKeys":
        for name, marginal in self.marginals.items():
            self.au_set.index(name)
            low, high = marginal.ends()
            self._check_intensities(f"intensity of {name}", low, high)
            if marginal.rests_at_zero():
                raise ValueError(
                    f"intensity of {name} is 0 in a part of the samples where it is active; an "
                    "active AU must show, so lower the rate instead"
                )
        self._check_dependence()
        return self

    def pairs(self) -> dict[Pair, float]:
        """Return what is asked of each pair: (AU, AU) → number, in the order of the file."""
        key = self.dependence()
        if key == "matrix" and self.matrix is not None:
            return self.matrix.pairs()
        return {} if key is None else _split_pairs(key, getattr(self, key))

    def dependence(self) -> str | None:
        """Return the key that says how the AUs go together, or None where nothing does."""
        return next(iter(self._given()), None)

    def _given(self) -> list[str]:
        kinds = ("correlation", "matrix", "conditional", "joint")
        return [kind for kind in kinds if getattr(self, kind) is not None]

    def _check_dependence(self) -> None:
        given = self._given()
        if len(given) > 1:
            raise ValueError(
                f"{given[0]} and {given[1]} are both given; only one of correlation, matrix, "
                "conditional, joint is allowed"
            )
        seen: set[frozenset[str]] = set()
        for pair in self.pairs():
            self._check_named(given[0], pair)
            if frozenset(pair) in seen:
                raise ValueError(
                    f"{given[0]}: {pair[0]} and {pair[1]} stand there twice; "
                    "one number fixes how they go together"
                )
            seen.add(frozenset(pair))

    def _check_named(self, where: str, names: Iterable[str]) -> None:
        for name in names:
            self.au_set.index(name)
            if name not in self.marginals:
                raise ValueError(f"{where}: {name} has no entry in marginals; give it a rate there")


def _split_pairs(kind: str, numbers: dict[str, float]) -> dict[Pair, float]:
    mark = "|" if kind == "conditional" else "+"
    pairs: dict[Pair, float] = {}
    for text, number in numbers.items():
        names = [name.strip() for name in text.split(mark)]
        if len(names) != 2 or not all(names) or names[0] == names[1]:
            raise ValueError(f"{kind}: {text!r} is no pair of AUs; write it as AU6{mark}AU12")
        if (names[0], names[1]) in pairs:
            raise ValueError(f"{kind}: {text!r} stands there twice")
        pairs[names[0], names[1]] = number
    return pairs
