"""Base of the sections of priors, and the rules that each may have."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Discriminator,
    Field,
    ModelWrapValidatorHandler,
    Tag,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticKnownError

from synthgen.action_units import (
    AUS,
    DEFAULT_AUS,
    FACS,
    MAX_INTENSITY,
    MIN_INTENSITY,
    ActionUnitSet,
)
from synthgen.config.aus_in_use import AuName, aus_in_use, check_au, default_names, using
from synthgen.config.base import Component, Section
from synthgen.config.components import ComponentField, ComponentKind
from synthgen.config.priors.flame import FlameConfig
from synthgen.config.quotas import QuotasConfig

if TYPE_CHECKING:
    from synthgen.config.run import RunConfig


MAX_RULES = 12
"""Most rules of a prior: a smallest conflicting subset is sought among all subsets."""


class _Rule(Section):
    penalty: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Share of the vectors against the rule that are drawn anew (0, 1); without "
        "it, all of them are.",
    )


def _are_so_many(number: int) -> int:
    """Refuse a number of AUs that the prior which is being read has not."""
    aus = aus_in_use()
    most = len(FACS if aus is None else aus)
    if number > most:
        raise PydanticKnownError("less_than_equal", {"le": most})
    return number


_Number = Annotated[int, Field(ge=0), AfterValidator(_are_so_many)]


class ImpliesRule(_Rule):
    """With one AU active, another one is, too."""

    model_config = ConfigDict(serialize_by_alias=True)

    if_: AuName = Field(alias="if", description="The AU that asks for another one.")
    then: AuName = Field(description="The AU that it asks for.")
    at_least: float | None = Field(
        default=None, description="Lowest intensity of the latter; without it, any but 0 will do."
    )

    @model_validator(mode="after")
    def _aus_exist(self) -> "ImpliesRule":
        check_au(self.if_)
        check_au(self.then)
        if self.if_ == self.then:
            raise ValueError(f"{self.if_} cannot ask for itself; name another AU under then")
        return self

    def text(self) -> str:
        """Return the rule in words."""
        bound = "" if self.at_least is None else f" at {self.at_least:g} or more"
        return f"{self.if_} implies {self.then}{bound}"


class ExcludesRule(_Rule):
    """At most one of some AUs is active."""

    exclude: list[AuName] = Field(min_length=2, description="AUs of which at most one is active.")

    @model_validator(mode="after")
    def _aus_exist(self) -> "ExcludesRule":
        for name in self.exclude:
            check_au(name)
        if len(set(self.exclude)) < len(self.exclude):
            raise ValueError(f"exclude names an AU twice: {', '.join(self.exclude)}")
        return self

    def text(self) -> str:
        """Return the rule in words."""
        return f"{' and '.join(self.exclude)} exclude each other"


class AtMostRule(_Rule):
    """At most n AUs are active."""

    at_most: _Number = Field(description="Most active AUs, at most those of the run.")

    def text(self) -> str:
        """Return the rule in words."""
        return f"at most {self.at_most} active"


class AtLeastRule(_Rule):
    """At least n AUs are active."""

    at_least: _Number = Field(description="Fewest active AUs, at most those of the run.")

    def text(self) -> str:
        """Return the rule in words."""
        return f"at least {self.at_least} active"


class CapRule(_Rule):
    """An AU is never stronger than a bound."""

    cap: AuName = Field(description="The AU.")
    at: float = Field(description="Its highest intensity.")

    @model_validator(mode="after")
    def _au_exists(self) -> "CapRule":
        check_au(self.cap)
        return self

    def text(self) -> str:
        """Return the rule in words."""
        return f"{self.cap} at most at {self.at:g}"


_KINDS = ("if", "exclude", "at_most", "cap", "at_least")
"""Key that tells the kind of a rule, `if` before `at_least`."""


def _kind(value: Any) -> str | None:
    """Return the tag of a rule; it is no key of it, so that messages show keys alone."""
    if isinstance(value, Mapping):
        keys = set(value)
    else:
        keys = set(getattr(type(value), "model_fields", ()))
    return next((f"{key} rule" for key in _KINDS if key in keys or f"{key}_" in keys), None)


RuleConfig = Annotated[
    Annotated[ImpliesRule, Tag("if rule")]
    | Annotated[ExcludesRule, Tag("exclude rule")]
    | Annotated[AtMostRule, Tag("at_most rule")]
    | Annotated[AtLeastRule, Tag("at_least rule")]
    | Annotated[CapRule, Tag("cap rule")],
    Discriminator(
        _kind,
        custom_error_type="rule_kind",
        custom_error_message="a rule with one of the keys if, exclude, at_most, at_least and cap",
    ),
]


PRIORS = ComponentKind(
    "prior",
    "prior",
    "synthgen.priors",
    "synthgen.config.priors.base:PriorSection",
    {
        "emotions": "samplers.priors.emotions:EmotionsConfig",
        "independent": "samplers.priors.independent:IndependentConfig",
        "combinations": "samplers.priors.combinations:CombinationsConfig",
        "grid": "samplers.priors.grid:GridConfig",
        "uniform": "samplers.priors.uniform:UniformConfig",
        "copula": "samplers.priors.copula:CopulaConfig",
        "empirical": "samplers.priors.empirical:EmpiricalConfig",
        "builtin": "samplers.priors.independent:BuiltinConfig",
        "mixture": "samplers.priors.mixture:MixtureConfig",
    },
)
"""The priors that `expressions.prior` may name."""

FURTHEST = 100.0
"""Largest intensity, up or down, that `allow_out_of_range` allows."""


class IntensityRange(Section):
    """A range of AU intensities; values are drawn uniformly from it."""

    low: float = Field(default=2.0, description="Lowest intensity of an active AU, in [0, 5].")
    high: float = Field(default=5.0, description="Highest intensity of an active AU, in [0, 5].")

    @model_validator(mode="after")
    def _in_order(self) -> "IntensityRange":
        if self.low > self.high:
            raise ValueError(
                f"low is {self.low:g} and high is {self.high:g}; low must not be larger"
            )
        return self

    def outside(self) -> list[float]:
        """Return the bounds that lie outside [0, 5]."""
        return [v for v in (self.low, self.high) if not MIN_INTENSITY <= v <= MAX_INTENSITY]


class PriorSection(Component, ABC):
    """The section of a prior, which makes it, and the keys that every prior has.

    `sampling`, `rules`, `quotas` and `flame` need no work of a prior's own: they are put around
    what `build` returns, or refused in a sentence where it does not do what they need.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"aus"})
    gives_with: ClassVar[Mapping[str, str]] = {"flame": "flame"}

    action_units: list[str] = Field(
        default_factory=default_names,
        exclude_if=lambda names: tuple(names) == AUS,
        description="The AUs of the run, those of FACS from AU1 to AU46; an AU vector holds them "
        "in the order of their numbers. The 12 of DISFA where nothing is said. Pipeline and checks "
        "must be able to show and measure them.",
    )
    allow_out_of_range: bool = Field(
        default=False,
        description="Allow intensities outside [0, 5], to which FineFace answers too.",
    )
    source: str | None = Field(
        default=None, description="Where the numbers come from, for people to read."
    )
    sampling: Literal["random", "sobol"] = Field(
        default="random",
        description="Numbers that vectors are drawn with: random, or a scrambled Sobol sequence "
        "that covers all of them more evenly.",
    )
    rules: list[RuleConfig] = Field(
        default=[],
        max_length=MAX_RULES,
        description="What vectors keep: those against a rule are drawn anew.",
    )
    quotas: QuotasConfig | None = Field(
        default=None,
        description="Shares of categories, AUs and levels that hold in the delivered data.",
    )
    flame: FlameConfig | None = Field(
        default=None,
        exclude_if=lambda flame: flame is None,
        description="Bank of expressions that shows requests in FLAME's numbers too, for pipelines "
        "that take them; null: nothing does.",
    )

    prior: str = Field(description="Name of the prior.")

    @abstractmethod
    def build(self) -> Any:
        """Build the prior, a `samplers.Prior`, without `sampling`, `rules`, `quotas` and `flame`.

        Raises:
            SynthgenError: with one sentence on the key and what is allowed.
        """

    @model_validator(mode="wrap")
    @classmethod
    def _for_its_aus(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Read the section, and all in it, for its AUs; a part of a mixture has the mixture's."""
        outer = aus_in_use()
        if isinstance(value, PriorSection):
            given = value.action_units
        else:
            given = value.get("action_units") if isinstance(value, Mapping) else None
        if not isinstance(given, list | tuple) or not all(isinstance(one, str) for one in given):
            with using(outer or DEFAULT_AUS):
                return handler(value)
        aus = ActionUnitSet.of(given)
        if outer is not None and aus != outer:
            raise ValueError(
                f"action_units are {', '.join(aus.names)}; the whole prior has "
                f"{', '.join(outer.names)}, so leave them out here"
            )
        with using(aus):
            if isinstance(value, Mapping):
                value = {**value, "action_units": list(aus.names)}
            return handler(value)

    @property
    def au_set(self) -> ActionUnitSet:
        """The AUs of the run."""
        return ActionUnitSet(tuple(self.action_units))

    @field_validator("rules")
    @classmethod
    def _rules_differ(cls, value: list[RuleConfig]) -> object:
        texts = [rule.text() for rule in value]
        for text in texts:
            if texts.count(text) > 1:
                raise ValueError(f"the rule {text!r} stands there twice")
        return value

    @model_validator(mode="after")
    def _flame_has_one_giver(self) -> Self:
        if self.flame is not None and "flame" in self.gives:
            raise ValueError(f"the prior {self.prior!r} gives flame itself; leave flame out")
        return self

    def doubts(self, run: "RunConfig") -> list[str]:
        """Tell of intensities that no verifier measures."""
        if not self.allow_out_of_range:
            return []
        return [
            "expressions.allow_out_of_range: what is asked for outside [0, 5] is clipped before "
            "the policy compares it; rows name what was asked for"
        ]

    def _check_intensities(self, where: str, *values: float) -> None:
        """Refuse intensities outside [0, 5] that the section does not allow."""
        far = [value for value in values if abs(value) > FURTHEST]
        if far:
            raise ValueError(f"{where} {far[0]:g} is outside [-{FURTHEST:g}, {FURTHEST:g}]")
        outside = [value for value in values if not MIN_INTENSITY <= value <= MAX_INTENSITY]
        if outside and not self.allow_out_of_range:
            raise ValueError(
                f"{where} {outside[0]:g} is outside [0, 5]; "
                "set allow_out_of_range: true to allow it"
            )


AnyPrior = Annotated[
    PriorSection,
    ComponentField(PRIORS, "Path of a YAML file that holds the section, as prior fit writes it."),
]
"""Section `expressions`: that of any prior."""
