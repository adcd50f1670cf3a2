"""Names of emotions and AUs as columns hold them: the same in every dataset."""

from collections.abc import Iterable

BASIC = ("neutral", "happy", "sad", "surprised", "fearful", "disgusted", "angry", "contempt")
"""The emotions of AffectNet, in its order."""

COMPOUND = (
    "happily surprised",
    "happily disgusted",
    "sadly fearful",
    "sadly angry",
    "sadly surprised",
    "sadly disgusted",
    "fearfully angry",
    "fearfully surprised",
    "fearfully disgusted",
    "angrily surprised",
    "angrily disgusted",
    "disgustedly surprised",
    "appalled",
    "hatred",
    "awed",
)
"""The compound emotions of Du, Tao and Martinez, in the order of their table."""


def label_names(categories: Iterable[str]) -> tuple[str, ...]:
    """Return the names of a ClassLabel that holds some categories.

    Known emotions have the same numbers in every dataset: all of `BASIC` come first where any known
    one is there, then all of `COMPOUND` where one of these is. Other categories follow in their
    order.
    """
    asked = tuple(dict.fromkeys(categories))
    compound = COMPOUND if {*asked} & {*COMPOUND} else ()
    basic = BASIC if compound or {*asked} & {*BASIC} else ()
    return (*basic, *compound, *(name for name in asked if name not in (*BASIC, *COMPOUND)))


def au_column(au: str, measured: bool = False) -> str:
    """Return the column of an AU alone: `AU06`, or `AU06_measured`."""
    return f"AU{int(au.removeprefix('AU')):02d}{'_measured' if measured else ''}"
