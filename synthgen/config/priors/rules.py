"""Rules on a prior: what its vectors must or should keep."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from synthgen.action_units import AU_COUNT, au_index
from synthgen.config.base import Section

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


class ImpliesRule(_Rule):
    """Where one AU is active, another one is, too."""

    model_config = ConfigDict(serialize_by_alias=True)

    if_: str = Field(alias="if", description="The AU that asks for another one.")
    then: str = Field(description="The AU that it asks for.")
    at_least: float | None = Field(
        default=None, description="Lowest intensity of the latter; without it, any but 0 will do."
    )

    @model_validator(mode="after")
    def _aus_exist(self) -> "ImpliesRule":
        if au_index(self.if_) == au_index(self.then):
            raise ValueError(f"{self.if_} cannot ask for itself; name another AU under then")
        return self

    def text(self) -> str:
        """Return the rule in words."""
        bound = "" if self.at_least is None else f" at {self.at_least:g} or more"
        return f"{self.if_} implies {self.then}{bound}"


class ExcludesRule(_Rule):
    """At most one of some AUs is active."""

    exclude: list[str] = Field(min_length=2, description="AUs of which at most one is active.")

    @model_validator(mode="after")
    def _aus_exist(self) -> "ExcludesRule":
        if len({au_index(name) for name in self.exclude}) < len(self.exclude):
            raise ValueError(f"exclude names an AU twice: {', '.join(self.exclude)}")
        return self

    def text(self) -> str:
        """Return the rule in words."""
        return f"{' and '.join(self.exclude)} exclude each other"


class AtMostRule(_Rule):
    """At most n AUs are active."""

    at_most: int = Field(ge=0, le=AU_COUNT, description="Most active AUs [0, 12].")

    def text(self) -> str:
        """Return the rule in words."""
        return f"at most {self.at_most} active"


class AtLeastRule(_Rule):
    """At least n AUs are active."""

    at_least: int = Field(ge=0, le=AU_COUNT, description="Fewest active AUs [0, 12].")

    def text(self) -> str:
        """Return the rule in words."""
        return f"at least {self.at_least} active"


class CapRule(_Rule):
    """An AU is never stronger than a bound."""

    cap: str = Field(description="The AU.")
    at: float = Field(description="Its highest intensity.")

    @model_validator(mode="after")
    def _au_exists(self) -> "CapRule":
        au_index(self.cap)
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
