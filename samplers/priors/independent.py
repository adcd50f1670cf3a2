"""Prior `independent`: each AU at its own rate; and the priors built in as data files."""

from dataclasses import dataclass, field
from importlib.resources import files
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from pydantic import Field, model_validator

from samplers.priors.prior import ActiveSetsPrior, Part, Prior
from synthgen.action_units import DEFAULT_AUS, ActionUnitSet
from synthgen.config import parse_expressions
from synthgen.config.aus_in_use import AuMapping
from synthgen.config.base import Section
from synthgen.config.priors.base import IntensityRange, PriorSection
from synthgen.config.yaml_text import read_yaml
from synthgen.errors import ConfigError
from synthgen.foreign import shown


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

    prior: Literal["independent"]  # pyright: ignore[reportIncompatibleVariableOverride]
    aus: AuMapping[AURate] = Field(
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

    def build(self) -> "IndependentPrior":
        """Build the prior."""
        return IndependentPrior.from_config(self)


@dataclass(frozen=True, slots=True)
class IndependentPrior(ActiveSetsPrior):
    """Rate and intensity of each AU. A stratum is the set of active AUs, bit i for AU i.

    Attributes:
        active_rates: probability of each AU, in [0, 1].
        low: lowest intensity of each AU where it is active.
        high: highest intensity of each AU where it is active.
        action_units: the AUs of a vector.
    """

    active_rates: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    action_units: ActionUnitSet = field(default=DEFAULT_AUS, kw_only=True)

    stage: ClassVar[str] = "expressions/active"

    @classmethod
    def from_config(cls, config: IndependentConfig) -> "IndependentPrior":
        """Build the prior of a configuration."""
        rates = config.rates()
        return cls(
            active_rates=tuple(au.rate for au in rates),
            low=tuple(au.intensity.low for au in rates),
            high=tuple(au.intensity.high for au in rates),
            action_units=config.au_set,
        )

    @property
    def set_width(self) -> int:
        """Uniforms that decide a set."""
        return len(self.active_rates)

    @property
    def width(self) -> int:
        """Uniforms that a vector takes."""
        return len(self.active_rates)

    def active(self, numbers: Float64[np.ndarray, "rows aus"]) -> Bool[np.ndarray, "rows aus"]:
        """Compare each AU's number with its rate."""
        return numbers < np.array(self.active_rates)

    def draw(
        self, strata: Int64[np.ndarray, " rows"], numbers: Float64[np.ndarray, "rows aus"]
    ) -> Float32[np.ndarray, "rows aus"]:
        """Give each active AU an intensity; column i is AU i's."""
        low, high = np.array(self.low), np.array(self.high)
        return np.where(self.members(strata), low + (high - low) * numbers, 0.0).astype(np.float32)

    def rates(self) -> Float64[np.ndarray, " aus"]:
        """Return the rates of the configuration."""
        return np.array(self.active_rates)

    def joint(self) -> Float64[np.ndarray, "aus aus"]:
        """Return the products of the rates."""
        rates = np.array(self.active_rates)
        products = rates[:, None] * rates
        np.fill_diagonal(products, rates)
        return products

    def parts(self) -> tuple[Part, ...]:
        """Return the whole: no share is fixed."""
        return (Part("this prior", self.active_rates, self.low, self.high),)

    def mean_intensities(self) -> Float64[np.ndarray, " aus"]:
        """Return the middle of each AU's range."""
        return (np.array(self.low) + np.array(self.high)) / 2


BUILT_IN = ("disfa-rates", "cohn-kanade-rates")
"""Names of the data files, without their ending."""


class BuiltinConfig(PriorSection):
    """A prior that comes with synthgen, as a data file with its source in it."""

    prior: Literal["builtin"]  # pyright: ignore[reportIncompatibleVariableOverride]
    name: str = Field(
        min_length=1, description="Name of the data file, such as disfa-rates or cohn-kanade-rates."
    )

    def build(self) -> Prior:
        """Build the prior that the data file describes.

        Raises:
            ConfigError: if there is no built-in prior of that name.
        """
        if self.name not in BUILT_IN:
            raise ConfigError(
                f"expressions.name: there is no built-in prior {shown(self.name)}; those that "
                f"exist: {', '.join(BUILT_IN)}"
            )
        text = files("samplers.priors").joinpath(f"{self.name}.yaml").read_text("utf-8")
        data = read_yaml(text)
        if not isinstance(data, dict):
            raise TypeError(f"{self.name}.yaml holds no mapping")
        section = parse_expressions(
            {**data, "action_units": self.action_units}, where=f"built-in prior {self.name}"
        )
        shared = PriorSection.model_fields.keys() - {"prior", "source"}
        return section.model_copy(update={key: getattr(self, key) for key in shared}).build()
