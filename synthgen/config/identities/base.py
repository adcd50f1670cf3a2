"""Base of the sections of identity sources, and the names of stores."""

import string
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from synthgen.choices import NoiseOwner
from synthgen.config.base import MOST_WEIGHT, Component
from synthgen.config.components import ComponentField, ComponentKind
from synthgen.foreign import nearest, shown

MINI_STORE = "mini"
"""Name of the embedded store of drawn people, whatever lies in the working folder."""


def absolute_store(store: str) -> str:
    """Return a store's path that does not depend on the working folder; a name stays."""
    return store if store == MINI_STORE else str(Path(store).absolute())


IDENTITIES = ComponentKind(
    "identity source",
    "source",
    "synthgen.identities",
    "synthgen.config.identities.base:IdentitySection",
    {
        "prompts": "samplers.identities.prompts:PromptIdentitiesConfig",
        "faceid": "samplers.identities.faceid:FaceIdIdentitiesConfig",
    },
)
"""The sources that `identities.source` may name."""

LONGEST_TEXT = 10_000
"""Characters of a prompt; text encoders see a few hundred."""

_Value = Annotated[str, Field(max_length=1000)]


class IdentitySection(Component, ABC):
    """The section of an identity source, which makes it: the prompt, and the samples of each.

    Keys that earlier configurations did not know are stored only where they say something.
    """

    follows_prompts: ClassVar[bool] = False
    """True where people follow from seed, number and prompt alone: runs of one seed share them."""

    source: str = Field(description="Where people come from.")
    template: str = Field(
        min_length=1,
        max_length=LONGEST_TEXT,
        description="Prompt with slots in braces, as in 'a {age} {person}'.",
    )
    slots: dict[str, list[_Value] | dict[_Value, float]] = Field(
        default={},
        max_length=100,
        description="Values of each slot in equal shares, or a mapping to weights above 0.",
    )
    negative_prompt: str = Field(
        default="", max_length=LONGEST_TEXT, description="What the image must not show."
    )
    expressions_per_identity: Literal["grid"] | Annotated[int, Field(ge=1, le=10**9)] = Field(
        default=1,
        description="Samples that show the same identity, each with its own expression; 'grid': "
        "each identity shows each expression that the prior lists once.",
    )
    neutral_image: bool = Field(
        default=False,
        exclude_if=lambda asked: not asked,
        description="One sample more for each identity, its first: the neutral face.",
    )
    noise: NoiseOwner = Field(
        default="sample",
        exclude_if=lambda whose: whose == "sample",
        description="Whose noise an image starts from: its own, or that of its identity, so that "
        "only the expression changes; later attempts blend in their own.",
    )

    @abstractmethod
    def build(self, seed: int, samples: int, partition: Any, asked: str, run_id: str) -> Any:
        """Build the identities of a run, a `samplers.Identities`.

        Args:
            seed: seed of the run.
            samples: samples of the run.
            partition: the `samplers.Partition` of the run: the split of each sample.
            asked: samples of an identity in words, for sentences.
            run_id: short name of the run, for the names of identities; empty for plain names.

        Raises:
            SynthgenError: with one sentence on the key and what is allowed.
        """

    @field_validator("slots")
    @classmethod
    def _values_are_usable(cls, slots: dict[str, list[str] | dict[str, float]]) -> object:
        for name, values in slots.items():
            if not values:
                raise ValueError(f"slot {name!r} has no values; give at least one")
            if isinstance(values, list) and len(set(values)) < len(values):
                raise ValueError(f"slot {name!r} has a value twice; give it a weight instead")
            for value, weight in values.items() if isinstance(values, dict) else ():
                if not 0 < weight <= MOST_WEIGHT:
                    raise ValueError(
                        f"weight of {value!r} in slot {name!r} must be above 0"
                        f"{f' and at most {MOST_WEIGHT:g}' if weight > 0 else ''}"
                    )
        return slots

    @model_validator(mode="after")
    def _slots_match_template(self) -> "IdentitySection":
        named = self.slot_names()
        for name in named:
            if name not in self.slots:
                near = nearest(name, [slot for slot in self.slots if slot not in named])
                there = f"; {near!r} stands there, which the template does not name" if near else ""
                raise ValueError(f"template slot {{{name}}} has no values under slots{there}")
        for name in self.slots:
            if name not in named:
                near = nearest(name, named)
                meant = f"; did you mean {near!r}?" if near else ""
                raise ValueError(
                    f"slot {name!r} is not in the template {shown(self.template)}{meant}"
                )
        return self

    def slot_shares(self) -> Mapping[str, Mapping[str, float]]:
        """Return slot → value → share of the identities that the source holds to, for reports."""
        return {}

    def with_slot_shares(self, shares: Mapping[str, Mapping[str, float]]) -> Self | None:
        """Return the section holding to other shares of slot values; None where it holds to none.

        Args:
            shares: slot → value → share.
        """
        return None

    def slot_names(self) -> list[str]:
        """Return the slots of the template in order of appearance.

        Raises:
            ValueError: if the template has an unclosed or an unnamed slot, or a format in a slot.
        """
        try:
            fields = list(string.Formatter().parse(self.template))
        except ValueError as error:
            raise ValueError(
                f"template {shown(self.template)} has a brace without its partner; "
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


AnyIdentities = Annotated[IdentitySection, ComponentField(IDENTITIES)]
"""Section `identities`: that of any source."""
