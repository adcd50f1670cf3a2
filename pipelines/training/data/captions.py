"""Captions of drawn portraits in many wordings, so that prompts of a user's own work.

A caption names some of the traits of `vocabulary.TRAITS`, each in one of several words, as a
sentence or as a list, and on request the expression by FACS names or in plain words.
"""

from collections.abc import Sequence
from random import Random

import numpy as np
from jaxtyping import Float

from pipelines.procedural import Identity
from synthgen.action_units import DEFAULT_AUS, FACS, ActionUnitSet

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
INTENSITY_WORDS = ("trace", "slight", "marked", "severe", "maximum")
"""FACS's words for the intensities A to E, 1 to 5."""

_PLAIN_DEGREES = ("barely", "slightly", "clearly", "strongly", "extremely")


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
    draw = Random(seed)  # noqa: S311 - nothing secret
    as_list = draw.random() < 0.25
    traits = _traits(identity, draw, as_list)
    if aus is not None:
        phrase = _expression(aus, draw, names)
        traits.insert(draw.randrange(len(traits) + 1), phrase if as_list else f"with {phrase}")
    subject = _subject(identity, draw)
    if as_list:
        return ", ".join([draw.choice(("portrait, ", "")) + subject, *traits])
    person = " ".join([f"{_article(subject)} {subject}", *_joined(traits)])
    return draw.choice(_FRAMES).format(person)


def expression_phrase(aus: Sequence[float] | Float[np.ndarray, " aus"], seed: int) -> str:
    """Name an expression by its AUs' FACS names and intensities, as captions do.

    Args:
        aus: AU intensities [0–5].
        seed: chooses the order of the AUs, and the words for a neutral face.

    Returns:
        Such as "severe lip corner puller, slight cheek raiser".
    """
    draw = Random(seed)  # noqa: S311 - nothing secret
    return _facs(_active(aus, draw), DEFAULT_AUS) or draw.choice(_NEUTRAL)


def _subject(identity: Identity, draw: Random) -> str:
    whole = _WHOLE.get((identity.age, identity.person))
    if whole and draw.random() < 0.15:
        words = draw.choice(whole)
    else:
        age = f"{draw.choice(_AGES[identity.age])} " if draw.random() < 0.88 else ""
        words = age + draw.choice(_PERSONS[identity.person])
    bald = identity.hair_style == "bald" and draw.random() < 0.9
    return f"bald {words}" if bald else words


def _traits(identity: Identity, draw: Random, as_list: bool) -> list[str]:
    join = "" if as_list else "with "
    found = []
    if identity.hair_style != "bald" and draw.random() < 0.82:
        style = f"{identity.hair_style} " if draw.random() < 0.35 else ""
        found.append(f"{join}{style}{draw.choice(_HAIR[identity.hair])} hair")
    if draw.random() < 0.75:
        found.append(f"{join}{draw.choice(_SKIN[identity.skin])} skin")
    if identity.beard != "none" and draw.random() < 0.7:
        found.append(f"{join}{draw.choice(_BEARDS[identity.beard])}")
    if draw.random() < 0.15:
        found.append(f"{join}{identity.eyes} eyes")
    if draw.random() < 0.7:
        found.extend(_glasses(identity, draw, as_list))
    if draw.random() < 0.3:
        draw.shuffle(found)
    return found


def _glasses(identity: Identity, draw: Random, as_list: bool) -> list[str]:
    if identity.glasses == "yes":
        words = draw.choice(("glasses", "glasses", "spectacles"))
        return [words if as_list else f"{draw.choice(('wearing', 'with'))} {words}"]
    return ["no glasses" if as_list else "without glasses"] if draw.random() < 0.12 else []


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
    aus: Sequence[float] | Float[np.ndarray, " aus"], draw: Random, names: ActionUnitSet
) -> str:
    active = _active(aus, draw)
    if not active:
        return draw.choice(_NEUTRAL)
    return _facs(active, names) if draw.random() < 0.6 else _plain(active, draw, names)


def _active(
    aus: Sequence[float] | Float[np.ndarray, " aus"], draw: Random
) -> list[tuple[int, int]]:
    """Return place and intensity 1–5 of the AUs that show, in any order."""
    active = [(i, min(max(round(float(v)), 1), 5)) for i, v in enumerate(aus) if v >= 0.5]
    draw.shuffle(active)
    return active


def _facs(active: list[tuple[int, int]], names: ActionUnitSet) -> str:
    return ", ".join(f"{INTENSITY_WORDS[level - 1]} {FACS[names.names[i]]}" for i, level in active)


def _plain(active: list[tuple[int, int]], draw: Random, names: ActionUnitSet) -> str:
    """Name the strongest few AUs in plain words."""
    strongest = sorted(active, key=lambda au: -au[1])[: draw.choice((1, 2, 3, 4))]
    return ", ".join(
        draw.choice(_WORDS[names.names[place]]).format(_PLAIN_DEGREES[level - 1])
        for place, level in strongest
    )


def _article(words: str) -> str:
    return "an" if words[0] in "aeiou" else "a"
