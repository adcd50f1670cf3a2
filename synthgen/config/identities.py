"""Section `identities`: who is shown."""

import string
from typing import Literal

from pydantic import Field, field_validator, model_validator

from synthgen.config.base import Section
from synthgen.config.quotas import Share, refuse_many, rest_of


class PromptIdentitiesConfig(Section):
    """Identities from a prompt template; an identity is a tuple of slot values and a seed."""

    source: Literal["prompts"]
    template: str = Field(
        min_length=1, description="Prompt with slots in braces, as in 'a {age} {person}'."
    )
    slots: dict[str, list[str] | dict[str, float]] = Field(
        default={},
        description="Values of each slot in equal shares, or a mapping to weights above 0.",
    )
    negative_prompt: str = Field(default="", description="What the image must not show.")
    expressions_per_identity: int = Field(
        default=1,
        ge=1,
        description="Samples that show the same identity, each with its own expression.",
    )
    quotas: dict[str, dict[str, Share]] = Field(
        default={},
        description="Slot → value → share of the identities, held in every split; what is left "
        "goes to the slot's other values.",
    )

    @field_validator("slots")
    @classmethod
    def _values_are_usable(cls, slots: dict[str, list[str] | dict[str, float]]) -> object:
        for name, values in slots.items():
            if not values:
                raise ValueError(f"slot {name!r} has no values; give at least one")
            if isinstance(values, list) and len(set(values)) < len(values):
                raise ValueError(f"slot {name!r} has a value twice; give it a weight instead")
            for value, weight in values.items() if isinstance(values, dict) else ():
                if weight <= 0:
                    raise ValueError(f"weight of {value!r} in slot {name!r} must be above 0")
        return slots

    @model_validator(mode="after")
    def _slots_match_template(self) -> "PromptIdentitiesConfig":
        named = self.slot_names()
        for name in named:
            if name not in self.slots:
                raise ValueError(f"template slot {{{name}}} has no values under slots")
        for name in self.slots:
            if name not in named:
                raise ValueError(f"slot {name!r} is not in the template {self.template!r}")
        return self

    @model_validator(mode="after")
    def _quotas_match_slots(self) -> "PromptIdentitiesConfig":
        for name, shares in self.quotas.items():
            if name not in self.slots:
                raise ValueError(
                    f"quotas name the slot {name!r}; there are {', '.join(self.slots) or 'none'}"
                )
            for value in shares:
                if value not in self.slots[name]:
                    known = ", ".join(map(repr, self.slots[name]))
                    raise ValueError(f"quotas.{name} has the value {value!r}; there are {known}")
            others = len(shares) < len(self.slots[name])
            rest_of(f"quotas.{name}", shares.values(), possible=others)
        refuse_many([len(shares) for shares in self.quotas.values()])
        return self

    def slot_names(self) -> list[str]:
        """Return the slots of the template in order of appearance.

        Raises:
            ValueError: if the template has an unclosed or an unnamed slot, or a format in a slot.
        """
        try:
            fields = list(string.Formatter().parse(self.template))
        except ValueError as error:
            raise ValueError(
                f"template {self.template!r} has a brace without its partner; "
                "write {{ or }} for a brace itself"
            ) from error
        names = [name for _, name, spec, conversion in fields if name is not None]
        for _, name, spec, conversion in fields:
            if name is not None and (not name.isidentifier() or spec or conversion):
                raise ValueError(f"template slot {{{name}}} must be a plain word in braces")
        return list(dict.fromkeys(names))

    def weighted_slots(self) -> dict[str, dict[str, float]]:
        """Return value → weight of each slot, in order of the template."""
        return {
            name: dict(values) if isinstance(values, dict) else dict.fromkeys(values, 1.0)
            for name in self.slot_names()
            for values in [self.slots[name]]
        }


IdentitiesConfig = PromptIdentitiesConfig
