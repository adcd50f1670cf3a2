"""Captions of drawn portraits in many wordings, so that prompts of a user's own work.

A caption names some of the traits of `vocabulary.TRAITS`, each in one of several words, as a
sentence or as a list, and on request the expression by FACS names or in plain words.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from random import Random
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from pipelines.procedural import Identity, vocabulary
from synthgen.action_units import DEFAULT_AUS, FACS, INTENSITY_WORDS, ActionUnitSet

_AGES = {
    "young": ("young", "young", "youthful"),
    "middle-aged": ("middle-aged", "middle-aged", "mature"),
    "old": ("old", "old", "elderly", "senior"),
}
_PERSONS = {
    "man": ("man", "man", "man", "guy", "gentleman", "male person"),
    "woman": ("woman", "woman", "woman", "lady", "female person"),
}
_WHOLE = {
    ("young", "man"): ("boy", "young man"),
    ("young", "woman"): ("girl", "young woman"),
    ("old", "man"): ("grandfather", "elderly gentleman"),
    ("old", "woman"): ("grandmother", "elderly lady"),
}
_HAIR = {
    "black": ("black", "black", "dark"),
    "brown": ("brown", "brown", "chestnut"),
    "blond": ("blond", "blond", "blonde", "golden"),
    "red": ("red", "red", "ginger"),
    "gray": ("gray", "gray", "grey", "white", "silver"),
}
_SKIN = {
    "pale": ("pale",),
    "light": ("light", "light", "fair"),
    "tan": ("tan", "tan", "tanned", "olive"),
    "brown": ("brown",),
    "dark": ("dark",),
}
_BEARDS = {
    "stubble": ("stubble", "a stubble beard"),
    "moustache": ("a moustache", "a mustache"),
    "goatee": ("a goatee",),
    "beard": ("a beard", "a full beard"),
}
_GLASSES = ("glasses", "glasses", "spectacles")
_NO_GLASSES = "without glasses"
_FRAMES = (
    "a portrait of {}",
    "a portrait of {}",
    "a photo of {}",
    "a closeup of {}",
    "a close-up of {}",
    "a headshot of {}",
    "portrait of {}",
    "the face of {}",
    "{}",
    "{}, portrait",
)
_NEUTRAL = ("a neutral expression", "a neutral face", "no expression", "a blank face")
_WORDS = {
    "AU1": ("{} raised inner brows",),
    "AU2": ("{} raised outer brows", "{} arched eyebrows"),
    "AU4": ("{} lowered brows", "{} frowning brows"),
    "AU5": ("{} widened eyes", "{} raised upper lids"),
    "AU6": ("{} raised cheeks",),
    "AU7": ("{} tightened eyelids", "{} narrowed eyes"),
    "AU9": ("a {} wrinkled nose",),
    "AU10": ("a {} raised upper lip",),
    "AU12": ("a {} smiling mouth", "{} lifted mouth corners"),
    "AU14": ("{} dimpled mouth corners",),
    "AU15": ("{} lowered mouth corners",),
    "AU17": ("a {} raised chin",),
    "AU20": ("{} stretched lips",),
    "AU23": ("{} tightened lips",),
    "AU24": ("{} pressed lips",),
    "AU25": ("{} parted lips",),
    "AU26": ("a {} open mouth", "a {} dropped jaw"),
    "AU43": ("{} closed eyes",),
}
_PLAIN_DEGREES = ("barely", "slightly", "clearly", "strongly", "extremely")

Chosen = TypeVar("Chosen")
Part = TypeVar("Part", bound=tuple[object, object])


class Wording:
    """The choices that a caption is made by.

    Args:
        seed: chooses the traits that are named and the words for them.
        apart: each choice has draws of its own, so that captions of one seed for two people differ
            in nothing but the words of the traits in which the people differ. Otherwise all
            choices are draws of one stream, as captions of trainings are.
        named: purposes that are always told: traits, and `facs` for an expression by its names.
        words: purpose → the words for it, whatever is drawn.
    """

    def __init__(
        self,
        seed: int,
        *,
        apart: bool = False,
        named: Collection[str] = (),
        words: Mapping[str, str] | None = None,
    ) -> None:
        self._seed, self._apart, self._named = seed, apart, frozenset(named)
        self._words = words or {}
        self._stream = Random(seed)  # noqa: S311 - nothing secret

    def tells(self, purpose: str, chance: float) -> bool:
        """Tell whether something happens that has a chance [0–1], or is always told."""
        return self._draw(purpose).random() < chance or purpose in self._named

    def choice(self, purpose: str, options: Sequence[Chosen]) -> Chosen | str:
        """Choose one of several, or the words that are given for the purpose."""
        return self._words.get(purpose) or self._draw(purpose).choice(options)

    def place(self, purpose: str, count: int) -> int:
        """Choose a place [0, count)."""
        return self._draw(purpose).randrange(count)

    def mix(self, purpose: str, parts: list[Part]) -> None:
        """Shuffle parts in place; apart, by draws of each part's first item."""
        if self._apart:
            parts.sort(key=lambda part: self._draw(f"{purpose}/{part[0]}").random())
        else:
            self._stream.shuffle(parts)

    def _draw(self, purpose: str) -> Random:
        return Random(f"{self._seed}/{purpose}") if self._apart else self._stream  # noqa: S311


def describe(
    identity: Identity,
    seed: int,
    aus: Float[np.ndarray, " aus"] | Sequence[float] | None = None,
    names: ActionUnitSet = DEFAULT_AUS,
) -> str:
    """Describe a portrait.

    Args:
        identity: who is shown.
        seed: chooses the traits that are named and the words for them.
        aus: AU intensities [0–5] to be told; None: the caption says nothing of the expression.
        names: which AUs they are.
    """
    return told_by(Wording(seed), identity, aus, names)


def told_by(
    wording: Wording,
    identity: Identity,
    aus: Float[np.ndarray, " aus"] | Sequence[float] | None = None,
    names: ActionUnitSet = DEFAULT_AUS,
) -> str:
    """Describe a portrait by a wording; the rest is as for `describe`."""
    as_list = wording.tells("list", 0.25)
    traits = _traits(identity, wording, as_list)
    if aus is not None:
        phrase = _expression(aus, wording, names)
        place = wording.place("expression", len(traits) + 1)
        traits.insert(place, phrase if as_list else f"with {phrase}")
    subject = _subject(identity, wording)
    if as_list:
        return ", ".join([wording.choice("portrait", ("portrait, ", "")) + subject, *traits])
    person = " ".join([f"{_article(subject)} {subject}", *_joined(traits)])
    return wording.choice("frame", _FRAMES).format(person)


def expression_phrase(
    aus: Sequence[float] | Float[np.ndarray, " aus"],
    seed: int,
    names: ActionUnitSet = DEFAULT_AUS,
) -> str:
    """Name an expression by its AUs' FACS names and intensities, as captions do.

    Args:
        aus: AU intensities [0–5].
        seed: chooses the order of the AUs, and the words for a neutral face.
        names: which AUs they are.

    Returns:
        Such as "severe lip corner puller, slight cheek raiser".
    """
    wording = Wording(seed)
    return _facs(_active(aus, wording), names) or wording.choice("neutral", _NEUTRAL)


def wordings() -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the words that captions have: trait → value → each wording of it, once.

    Values that no word tells, as no beard, are not there. The purpose of a wording is its trait.
    """
    styles = {value: (value,) for value in vocabulary.HAIR_STYLES}
    eyes = {value: (value,) for value in vocabulary.EYE_COLOURS}
    tables = {
        "age": _AGES,
        "person": _PERSONS,
        "hair": _HAIR,
        "hair_style": styles,
        "skin": _SKIN,
        "beard": _BEARDS,
        "glasses": {"no": (_NO_GLASSES,), "yes": _GLASSES},
        "eyes": eyes,
    }
    return {
        trait: {value: tuple(dict.fromkeys(words)) for value, words in values.items()}
        for trait, values in tables.items()
    }


def caption_words(names: ActionUnitSet) -> list[str]:
    """Return each word that a caption may have, in alphabetical order.

    Args:
        names: the AUs that captions may name.
    """
    phrases = [
        *(words for values in wordings().values() for each in values.values() for words in each),
        *(words for each in _WHOLE.values() for words in each),
        *_FRAMES, *_NEUTRAL, *INTENSITY_WORDS, *_PLAIN_DEGREES,
        *(FACS[name] for name in names.names),
        *(words for name in names.names for words in _WORDS[name]),
        "a an and with without wearing hair skin eyes portrait",
    ]  # fmt: skip
    return sorted({word for phrase in phrases for word in re.findall(r"[a-z]+", phrase)})


def _subject(identity: Identity, wording: Wording) -> str:
    whole = _WHOLE.get((identity.age, identity.person))
    if whole and wording.tells("whole", 0.15):
        words = wording.choice("whole word", whole)
    else:
        told = wording.tells("age", 0.88)
        age = f"{wording.choice('age', _AGES[identity.age])} " if told else ""
        words = age + wording.choice("person", _PERSONS[identity.person])
    bald = identity.hair_style == "bald" and wording.tells("hair_style", 0.9)
    return f"bald {words}" if bald else words


def _traits(identity: Identity, wording: Wording, as_list: bool) -> list[str]:
    join = "" if as_list else "with "
    found: list[tuple[str, str]] = []
    if identity.hair_style != "bald" and wording.tells("hair", 0.82):
        style = f"{identity.hair_style} " if wording.tells("hair_style", 0.35) else ""
        found.append(("hair", f"{join}{style}{wording.choice('hair', _HAIR[identity.hair])} hair"))
    if wording.tells("skin", 0.75):
        found.append(("skin", f"{join}{wording.choice('skin', _SKIN[identity.skin])} skin"))
    if identity.beard != "none" and wording.tells("beard", 0.7):
        found.append(("beard", f"{join}{wording.choice('beard', _BEARDS[identity.beard])}"))
    if wording.tells("eyes", 0.15):
        found.append(("eyes", f"{join}{identity.eyes} eyes"))
    if wording.tells("glasses", 0.7) and (words := _glasses(identity, wording, as_list)):
        found.append(("glasses", words))
    if wording.tells("mixed", 0.3):
        wording.mix("order", found)
    return [words for _, words in found]


def _glasses(identity: Identity, wording: Wording, as_list: bool) -> str:
    if identity.glasses == "yes":
        words = wording.choice("glasses", _GLASSES)
        return words if as_list else f"{wording.choice('wearing', ('wearing', 'with'))} {words}"
    told = wording.tells("no glasses", 0.12)
    return ("no glasses" if as_list else _NO_GLASSES) if told else ""


def _joined(traits: list[str]) -> list[str]:
    """Join "with a" and "with b" to "with a and b" where they follow one another."""
    joined: list[str] = []
    for trait in traits:
        follows = joined and joined[-1].startswith("with ") and trait.startswith("with ")
        if follows and " and " not in joined[-1]:
            joined[-1] += " and " + trait.removeprefix("with ")
        else:
            joined.append(trait)
    return joined


def _expression(
    aus: Sequence[float] | Float[np.ndarray, " aus"], wording: Wording, names: ActionUnitSet
) -> str:
    active = _active(aus, wording)
    if not active:
        return wording.choice("neutral", _NEUTRAL)
    by_names = wording.tells("facs", 0.6)
    return _facs(active, names) if by_names else _plain(active, wording, names)


def _active(
    aus: Sequence[float] | Float[np.ndarray, " aus"], wording: Wording
) -> list[tuple[int, int]]:
    """Return place and intensity 1–5 of the AUs that show, in any order."""
    active = [(i, min(max(round(float(v)), 1), 5)) for i, v in enumerate(aus) if v >= 0.5]
    wording.mix("aus", active)
    return active


def _facs(active: list[tuple[int, int]], names: ActionUnitSet) -> str:
    return ", ".join(f"{INTENSITY_WORDS[level - 1]} {FACS[names.names[i]]}" for i, level in active)


def _plain(active: list[tuple[int, int]], wording: Wording, names: ActionUnitSet) -> str:
    """Name the strongest few AUs in plain words."""
    count = wording.choice("strongest", (1, 2, 3, 4))
    strongest = sorted(active, key=lambda au: -au[1])[: int(count)]
    return ", ".join(
        wording.choice(name, _WORDS[name]).format(_PLAIN_DEGREES[level - 1])
        for name, level in ((names.names[place], level) for place, level in strongest)
    )


def _article(words: str) -> str:
    return "an" if words[0] in "aeiou" else "a"
