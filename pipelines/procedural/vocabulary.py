"""The traits that have names, the words for them, and the captions made of those words."""

import re
from collections.abc import Iterable, Mapping, Sequence

from synthgen.errors import ConfigError
from synthgen.foreign import shown

AGES = ("young", "middle-aged", "old")
PERSONS = ("man", "woman")
HAIR_COLOURS = ("black", "brown", "blond", "red", "gray")
HAIR_STYLES = ("short", "long", "curly", "wavy", "tied-back", "cropped", "bald")
SKINS = ("pale", "light", "tan", "brown", "dark")
BEARDS = ("none", "stubble", "moustache", "goatee", "beard")
GLASSES = ("no", "yes")
EYE_COLOURS = ("brown", "blue", "green", "gray")
FACE_SHAPES = ("oval", "round", "square", "heart", "long")

TRAITS: dict[str, tuple[str, ...]] = {
    "age": AGES,
    "person": PERSONS,
    "hair": HAIR_COLOURS,
    "hair_style": HAIR_STYLES,
    "skin": SKINS,
    "beard": BEARDS,
    "glasses": GLASSES,
    "eyes": EYE_COLOURS,
    "face": FACE_SHAPES,
}
"""Named trait → its values."""

_PLAIN: dict[str, dict[str, tuple[str, ...]]] = {
    "age": {
        "young": ("young", "youthful", "teenage", "boy", "girl"),
        "middle-aged": ("middle-aged", "middle aged", "mature"),
        "old": ("old", "elderly", "aged", "senior", "grandmother", "grandfather"),
    },
    "person": {
        "man": ("man", "male", "gentleman", "boy", "guy", "grandfather", "men"),
        "woman": ("woman", "female", "lady", "girl", "grandmother", "women"),
    },
    "hair": {
        "blond": ("blond", "blonde", "fair-haired"),
        "red": ("redhead", "redheaded", "red-haired", "ginger"),
        "brown": ("brunette", "brown-haired"),
        "black": ("black-haired",),
        "gray": ("gray-haired", "grey-haired", "white-haired"),
    },
    "hair_style": {
        "bald": ("bald", "hairless"),
        "curly": ("curly", "afro", "curls", "curly-haired"),
        "wavy": ("wavy", "bob"),
        "cropped": ("cropped", "buzz cut", "shaven head", "buzzed"),
        "tied-back": ("tied-back", "tied back", "ponytail", "bun", "pinned-up"),
        "long": ("long-haired",),
        "short": ("short-haired",),
    },
    "skin": {
        "pale": ("pale", "pale-skinned"),
        "light": ("light-skinned", "fair-skinned"),
        "tan": ("tan", "tanned", "olive", "olive-skinned"),
        "brown": ("brown-skinned",),
        "dark": ("dark-skinned",),
    },
    "beard": {
        "none": ("clean-shaven", "clean shaven", "beardless", "no beard", "without beard"),
        "stubble": ("stubble", "unshaven", "stubbled"),
        "moustache": ("moustache", "mustache", "moustached"),
        "goatee": ("goatee",),
        "beard": ("beard", "bearded"),
    },
    "glasses": {
        "no": ("without glasses", "no glasses", "without spectacles"),
        "yes": ("glasses", "spectacles", "eyeglasses", "bespectacled"),
    },
    "face": {
        "oval": ("oval",),
        "round": ("round", "round-faced"),
        "square": ("square", "square-jawed"),
        "heart": ("heart-shaped",),
        "long": ("long-faced",),
    },
}
"""Words that name a trait wherever they stand."""

_NOUNS: dict[str, dict[str, tuple[str, str]]] = {
    "hair": {
        "black": ("hair", "black"),
        "dark": ("hair", "black"),
        "brown": ("hair", "brown"),
        "chestnut": ("hair", "brown"),
        "auburn": ("hair", "red"),
        "red": ("hair", "red"),
        "fair": ("hair", "blond"),
        "golden": ("hair", "blond"),
        "gray": ("hair", "gray"),
        "grey": ("hair", "gray"),
        "white": ("hair", "gray"),
        "silver": ("hair", "gray"),
        "short": ("hair_style", "short"),
        "long": ("hair_style", "long"),
        "no": ("hair_style", "bald"),
    },
    "skin": {
        "fair": ("skin", "light"),
        "white": ("skin", "pale"),
        "light": ("skin", "light"),
        "brown": ("skin", "brown"),
        "dark": ("skin", "dark"),
        "black": ("skin", "dark"),
    },
    "eyes": {
        "brown": ("eyes", "brown"),
        "dark": ("eyes", "brown"),
        "blue": ("eyes", "blue"),
        "green": ("eyes", "green"),
        "gray": ("eyes", "gray"),
        "grey": ("eyes", "gray"),
    },
    "face": {"long": ("face", "long"), "heart-shaped": ("face", "heart")},
}
"""Noun → adjective → what the adjective names when it stands before that noun."""

_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*")
_SHADES = frozenset({"dark", "light", "fair"})
_RUN = frozenset(
    {"and", "very"}
    | {word for adjectives in _NOUNS.values() for word in adjectives}
    | {word for words in _PLAIN["hair_style"].values() for word in words}
    | {word for words in _PLAIN["skin"].values() for word in words}
    | {word for words in _PLAIN["hair"].values() for word in words}
)
"""Words that may stand between an adjective and its noun."""


def traits_in(text: str) -> dict[str, str]:
    """Return the traits that the words of a text name: trait → value.

    Words are matched whole ("a woman" holds no "man"); colours count by the noun that they stand
    before ("brown hair and tan skin"); where two words name one trait, the first counts.
    """
    words = _WORD.findall(text.lower())
    found: dict[str, str] = {}
    for i in range(len(words)):
        named = _before_noun(words, i) or _plain(words, i)
        for trait, value in named:
            found.setdefault(trait, value)
    return {trait: found[trait] for trait in TRAITS if trait in found}


def names_trait(slot: str, value: str) -> bool:
    """Tell whether a template slot's value names a trait, alone or before the slot's own noun."""
    return bool(traits_in(value) or traits_in(f"{value} {slot.replace('_', ' ')}")) or any(
        traits_in(f"{value} {noun}") for noun in _NOUNS
    )


def unknown_values(slots: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Return the values of each slot that name no trait; empty values leave a slot open.

    Args:
        slots: template slot → its values.
    """
    found = {
        slot: [value for value in values if value.strip() and not names_trait(slot, value)]
        for slot, values in slots.items()
    }
    return {slot: values for slot, values in found.items() if values}


def refuse_unknown_values(unknown: Mapping[str, Sequence[str]], faces: str) -> None:
    """Refuse slot values that name no trait: rows would say what no image shows.

    Args:
        unknown: template slot → such values of it, as `unknown_values` finds them.
        faces: what cannot show them.

    Raises:
        ConfigError: with the slot, the value and some words that would do.
    """
    for slot, values in unknown.items():
        raise ConfigError(
            f"identities.slots.{slot}: {shown(values[0])} names nothing that {faces} can show; "
            f"among the words that do: {some_words()}"
        )


def some_words() -> str:
    """Return a few words of each trait that a prompt may name, for messages."""
    return "; ".join(
        [
            ", ".join(AGES),
            ", ".join(PERSONS),
            f"{', '.join(HAIR_COLOURS)} (hair)",
            f"{', '.join(SKINS)} (skin)",
            "bald, curly, long (hair)",
            "beard, moustache, glasses",
        ]
    )


def caption_of(traits: Mapping[str, str], details: bool = True) -> str:
    """Describe named traits in one phrase that `traits_in` reads back.

    Args:
        traits: values of age, person, hair, hair_style, skin, beard and glasses.
        details: also name hair style and beard.
    """
    bald = traits["hair_style"] == "bald"
    style = f"{traits['hair_style']} " if details else ""
    hair = "" if bald else f"{style}{traits['hair']} hair and "
    age = traits["age"]
    text = f"a{'n' if age == 'old' else ''} {age} {'bald ' if bald else ''}{traits['person']}"
    text = f"a portrait of {text} with {hair}{traits['skin']} skin"
    extras = []
    if details and traits["beard"] != "none":
        extras.append(
            "with stubble" if traits["beard"] == "stubble" else f"with a {traits['beard']}"
        )
    if traits["glasses"] == "yes":
        extras.append("wearing glasses")
    return " ".join([text, *extras])


def _before_noun(words: list[str], i: int) -> list[tuple[str, str]]:
    """Read an adjective by the noun that ends its run: "dark brown and curly hair"."""
    for distance, noun in enumerate(words[i + 1 : i + 5]):
        if noun in _NOUNS:
            named = _NOUNS[noun].get(words[i])
            shade = distance > 0 and words[i] in _SHADES and words[i + 1] in _NOUNS[noun]
            return [] if named is None or shade else [named]
        if noun not in _RUN:
            return []
    return []


def _plain(words: list[str], i: int) -> list[tuple[str, str]]:
    pair = " ".join(words[i : i + 2])
    return [
        (trait, values[phrase])
        for trait, values in _PLAIN_WORDS.items()
        for phrase in (pair, words[i])
        if phrase in values and not _belongs_elsewhere(words, i, trait)
    ]


def _belongs_elsewhere(words: list[str], i: int, trait: str) -> bool:
    """Face shapes ("round glasses", "square") count before the word face only."""
    return trait == "face" and words[i] in FACE_SHAPES and "face" not in words[i + 1 : i + 3]


_PLAIN_WORDS = {
    trait: {word: value for value, words in values.items() for word in words}
    for trait, values in _PLAIN.items()
}
