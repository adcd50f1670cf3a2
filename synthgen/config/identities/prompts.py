"""The section of source `prompts`."""

from typing import Literal

from pydantic import Field, model_validator

from synthgen.config.identities.base import IdentitySection
from synthgen.config.quotas import Share, refuse_many, rest_of
from synthgen.foreign import listed


class PromptIdentitiesConfig(IdentitySection):
    """Identities from a prompt template; an identity is a tuple of slot values and a seed."""

    source: Literal["prompts"]  # pyright: ignore[reportIncompatibleVariableOverride]
    quotas: dict[str, dict[str, Share]] = Field(
        default={},
        description="Slot → value → share of the identities, held in every split; what is left "
        "goes to the slot's other values.",
    )

    @model_validator(mode="after")
    def _quotas_match_slots(self) -> "PromptIdentitiesConfig":
        refuse_many([len(shares) for shares in self.quotas.values()])
        for name, shares in self.quotas.items():
            if name not in self.slots:
                raise ValueError(
                    f"quotas name the slot {name!r}; there are {', '.join(self.slots) or 'none'}"
                )
            known_values = set(self.slots[name])
            for value in shares:
                if value not in known_values:
                    known = listed(self.slots[name])
                    raise ValueError(f"quotas.{name} has the value {value!r}; there are {known}")
            others = len(shares) < len(self.slots[name])
            rest_of(f"quotas.{name}", shares.values(), possible=others)
        return self
