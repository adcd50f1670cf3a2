"""Slots of a run by the traits of drawn faces that their values name; loads no torch.

A value is read where it stands, in the template: "black" is hair in "with {hair} hair" and skin in
"with {tone} skin". What a row asks for is what its whole prompt names, as for the drawings.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pipelines.procedural.vocabulary import TRAITS, traits_in
from samplers.identities.identity import filled
from synthgen.config.identities.base import IdentitySection

_UNNAMED = {"glasses": "no"}
"""Traits that are absent where no word names them; others are left open."""

_WORDS = {
    ("glasses", "yes"): "glasses",
    ("glasses", "no"): "no glasses",
    ("beard", "none"): "no beard",
}
"""Values of traits that are no words for themselves."""


@dataclass(frozen=True, slots=True)
class SlotTraits:
    """Traits that a slot is about.

    Attributes:
        traits: the traits that some of its values name.
        values: value → trait → what it names; empty for a value that leaves all of them open.
    """

    traits: tuple[str, ...]
    values: Mapping[str, Mapping[str, str]]

    def in_words(self, read: Mapping[str, str], asked: str, right: bool) -> str:
        """Return what was read as one of the slot's values, or else in words.

        Args:
            read: trait → value.
            asked: the value asked for.
            right: whether it is what was read.
        """
        if right:
            return asked
        for value, named in self.values.items():
            if all(named.get(trait) == found for trait, found in read.items()):
                return value
        return ", ".join(_WORDS.get(item, item[1]) for item in read.items())


def slot_traits(section: IdentitySection, known: Collection[str]) -> dict[str, SlotTraits]:
    """Return slot → what it is about, for the slots whose values name traits.

    Args:
        section: the section `identities`.
        known: traits that a reader knows.
    """
    slots = section.weighted_slots()
    blank = dict.fromkeys(slots, "")
    without = traits_in(filled(section.template, blank))
    found = {}
    for slot, values in slots.items():
        named = {
            value: {
                trait: word
                for trait, word in traits_in(
                    filled(section.template, {**blank, slot: value})
                ).items()
                if trait in known and without.get(trait) != word
            }
            for value in values
        }
        traits = tuple(trait for trait in TRAITS if any(trait in each for each in named.values()))
        if traits:
            absent = {trait: word for trait, word in _UNNAMED.items() if trait in traits}
            values = {value: {**absent, **each} for value, each in named.items()}
            found[slot] = SlotTraits(traits, values)
    return found


def asked_of(prompt: str, traits: Collection[str]) -> dict[str, str]:
    """Return what a prompt asks for of some traits: trait → value.

    Traits that it leaves open are not there, and neither is the hair colour of a bald head.
    """
    named = {**_UNNAMED, **traits_in(prompt)}
    if named.get("hair_style") == "bald":
        named.pop("hair", None)
    return {trait: named[trait] for trait in traits if trait in named}
