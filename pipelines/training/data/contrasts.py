"""Minimal pairs: drawn people who differ from one another in one trait, or in one AU.

They stand in groups: a person, and others who are the same but for one trait each. Their captions
tell that trait, by the same draws: pictures and captions differ in it alone, so that telling them
apart needs each word.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL.Image import Image

from pipelines.procedural import Identity, random_identity, render
from pipelines.procedural.vocabulary import TRAITS
from pipelines.training.data.captions import Wording, told_by
from pipelines.training.data.config import ProceduralData
from pipelines.training.data.drawing import APART
from pipelines.training.data.examples import ProceduralExamples
from samplers.randomness import uniforms

EXPRESSION = "expression"
"""Purpose of a change of an AU, beside the traits."""

_SEEN = (2.0, 5.0)
"""Range of the intensity of an AU that is added: one that shows."""


@dataclass(frozen=True, slots=True)
class Group:
    """People who differ from the first in one trait each.

    Attributes:
        people: who they are.
        aus: AU intensities of each [0–5].
        changed: what was changed of each but the first: a trait, or `EXPRESSION`.
    """

    people: tuple[Identity, ...]
    aus: tuple[Float[np.ndarray, " aus"], ...]
    changed: tuple[str, ...]


class MinimalPairExamples:
    """Portraits without end, in groups: example i is a function of (data, seed, size, i).

    Args:
        data: what is drawn.
        seed: seed of the run.
        size: people of a group.
        held_out: draw identities that no training sees, other expressions and other captions.
    """

    count = None

    def __init__(self, data: ProceduralData, seed: int, size: int, held_out: bool = False) -> None:
        self._data, self._seed, self._size = data, seed, size
        self._first = ProceduralExamples(data, seed, held_out)
        self._stage = "held-out" if held_out else "train"
        self.action_units = self._first.action_units
        self.fingerprint: dict[str, Any] = self._first.fingerprint
        self.group = lru_cache(4)(self._group)

    def aus(self, index: int) -> Float[np.ndarray, " aus"]:
        """Return the AUs of an example."""
        number, member = divmod(index, self._size)
        return self.group(number).aus[member]

    def image(self, index: int) -> Image:
        """Draw the portrait of an example."""
        number, member = divmod(index, self._size)
        person = self.group(number).people[member]
        return render(person, self.aus(index).tolist(), size=self._data.size)

    def caption(self, index: int, telling: int = 0) -> str:
        """Describe an example: what differs in its group is told; each telling uses other words."""
        number, member = divmod(index, self._size)
        group = self.group(number)
        stage = f"pairs/captions/{self._stage}/{telling}"
        draws = uniforms(self._seed, stage, number, number + 1, 2)[0]
        named = {*group.changed, "hair"} if "hair_style" in group.changed else {*group.changed}
        told = draws[0] < self._data.expression_words
        if EXPRESSION in named:
            named.add("facs")
            told = True
        wording = Wording(int(draws[1] * 2**53), apart=True, named=named)
        aus = self.aus(index) if told else None
        return told_by(wording, group.people[member], aus, self.action_units)

    def _group(self, number: int) -> Group:
        first, aus = self._first.identity(number), self._first.aus(number)
        stage = f"pairs/{self._stage}"
        width = len(TRAITS) + 1 + 3 * self._size
        draws = uniforms(self._seed, stage, number, number + 1, width)[0]
        order, choices = draws[: len(TRAITS) + 1], draws[len(TRAITS) + 1 :].reshape(-1, 3)
        slots = [*TRAITS, EXPRESSION]
        able = self._changeable(first, aus)
        mixed = [slots[place] for place in np.argsort(order) if slots[place] in able]
        people, vectors, changed = [first], [aus], []
        for member in range(1, self._size):
            slot, draw = mixed[member - 1], choices[member]
            person, vector = first, aus
            if slot == EXPRESSION:
                vector = self._other_aus(aus, draw)
            else:
                person = another(first, slot, float(draw[0]))
            people.append(person)
            vectors.append(vector)
            changed.append(slot)
        return Group(tuple(people), tuple(vectors), tuple(changed))

    def _changeable(self, person: Identity, aus: Float[np.ndarray, " aus"]) -> set[str]:
        """Return the slots, five or more, whose change shows alone and has words."""
        names = self.action_units.names
        shut = "AU43" in names and aus[names.index("AU43")] >= 0.5
        found = {"age", "hair_style", "skin", "glasses"}
        found |= {"person"} if person.beard == "none" else set()
        found |= {"hair"} if person.hair_style != "bald" else set()
        found |= {"beard"} if person.person == "man" else set()
        found |= set() if shut else {"eyes"}
        return found | ({EXPRESSION} if self._data.expression_words else set())

    def _other_aus(
        self, aus: Float[np.ndarray, " aus"], draws: Float[np.ndarray, " three"]
    ) -> Float[np.ndarray, " aus"]:
        """Take one AU away, or add one that is not kept out by another."""
        names = self.action_units.names
        shown = {name for name, value in zip(names, aus, strict=True) if value > 0}
        kept_out = {one for pair in APART for one, other in (pair, pair[::-1]) if other in shown}
        able = [place for place, name in enumerate(names) if name not in kept_out]
        place = able[int(draws[0] * len(able))]
        low, high = _SEEN
        changed = aus.copy()
        changed[place] = 0.0 if aus[place] >= 0.5 else low + (high - low) * draws[1]
        return changed


def another(person: Identity, trait: str, draw: float) -> Identity:
    """Draw the same person with one trait other.

    Args:
        person: the person.
        trait: the trait; each of its other values is as likely.
        draw: chooses the value [0, 1).
    """
    others = [value for value in TRAITS[trait] if value != person.traits[trait]]
    traits = {**person.traits, trait: others[int(draw * len(others))]}
    return random_identity(person.seed, edition=person.edition, even=False, **traits)
