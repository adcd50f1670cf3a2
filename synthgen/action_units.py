"""Action Units of FACS, and sets of them: which AUs a run is about, in which order.

An *AU vector* has a float for each AU of a set. Intensities are those of FACS: 0 absent, 1 trace
(A), 2 slight (B), 3 marked (C), 4 severe (D), 5 maximum (E). A run's set is that of
`expressions.action_units`; without it, the 12 of DISFA, which FineFace and LibreFace use
everywhere: `AUS`.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from synthgen.errors import ActionUnitError

FACS: dict[str, str] = {
    "AU1": "inner brow raiser",
    "AU2": "outer brow raiser",
    "AU4": "brow lowerer",
    "AU5": "upper lid raiser",
    "AU6": "cheek raiser",
    "AU7": "lid tightener",
    "AU8": "lips toward each other",
    "AU9": "nose wrinkler",
    "AU10": "upper lip raiser",
    "AU11": "nasolabial deepener",
    "AU12": "lip corner puller",
    "AU13": "sharp lip puller",
    "AU14": "dimpler",
    "AU15": "lip corner depressor",
    "AU16": "lower lip depressor",
    "AU17": "chin raiser",
    "AU18": "lip pucker",
    "AU19": "tongue show",
    "AU20": "lip stretcher",
    "AU21": "neck tightener",
    "AU22": "lip funneler",
    "AU23": "lip tightener",
    "AU24": "lip presser",
    "AU25": "lips part",
    "AU26": "jaw drop",
    "AU27": "mouth stretch",
    "AU28": "lip suck",
    "AU29": "jaw thrust",
    "AU30": "jaw sideways",
    "AU31": "jaw clencher",
    "AU32": "lip bite",
    "AU33": "cheek blow",
    "AU34": "cheek puff",
    "AU35": "cheek suck",
    "AU36": "tongue bulge",
    "AU37": "lip wipe",
    "AU38": "nostril dilator",
    "AU39": "nostril compressor",
    "AU41": "lid droop",
    "AU42": "eyes slit",
    "AU43": "eyes closed",
    "AU44": "squint",
    "AU45": "blink",
    "AU46": "wink",
}
"""Name of each AU of FACS that moves the face, in the order of the numbers."""

_WRITTEN = re.compile(r"au0*([1-9][0-9]?)", re.IGNORECASE)

_FACS_ORDER = {name: position for position, name in enumerate(FACS)}

MIN_INTENSITY = 0.0
MAX_INTENSITY = 5.0

INTENSITY_WORDS = ("trace", "slight", "marked", "severe", "maximum")
"""FACS's words for the intensities A to E, 1 to 5."""


@dataclass(frozen=True, slots=True)
class ActionUnitSet:
    """Some AUs of FACS, in the order of an AU vector: that of their numbers.

    Attributes:
        names: the AUs, each once.
    """

    names: tuple[str, ...]

    @classmethod
    def of(cls, names: Iterable[str]) -> "ActionUnitSet":
        """Make a set of AUs that are given in any order.

        Raises:
            ActionUnitError: if none is given, one is given twice, or FACS has no such AU.
        """
        given = [canonical(name) for name in names]
        if not given:
            raise ActionUnitError("no Action Unit is named; name one at least")
        for name in given:
            check_facs(name)
            if given.count(name) > 1:
                raise ActionUnitError(f"{name} stands there twice")
        return cls(tuple(sorted(given, key=_FACS_ORDER.__getitem__)))

    def __len__(self) -> int:
        """Return the number of AUs, which is the length of an AU vector."""
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        """Return whether an AU is in the set."""
        return name in self.names

    def index(self, name: str) -> int:
        """Return the position of an AU in an AU vector; `au12` and `AU012` are AU12.

        Raises:
            ActionUnitError: if it is not in the set.
        """
        name = canonical(name)
        if name in self.names:
            return self.names.index(name)
        here = ", ".join(self.names)
        if name in FACS and self.names == AUS:
            raise ActionUnitError(
                f"{name} ({FACS[name]}) exists in FACS, but it is none of the {AU_COUNT} that "
                f"FineFace, LibreFace and drawn faces know ({here}); runs of models that know "
                "others name theirs as expressions.action_units"
            )
        if name in FACS:
            raise ActionUnitError(
                f"{name} ({FACS[name]}) exists in FACS, but the AUs in use are {here}"
            )
        raise ActionUnitError(f"unknown Action Unit {name!r}; the AUs in use are {here}")

    def vector(self, intensities: Mapping[str, float]) -> tuple[float, ...]:
        """Turn `{"AU12": 5}` into an AU vector; AUs that are not named are 0.

        Values outside [0, 5] are kept: FineFace answers to them.

        Raises:
            ActionUnitError: if an AU is not in the set or stands there twice, or a value is no
                finite number.
        """
        refuse_repeated(intensities)
        vector = [0.0] * len(self)
        for name, value in intensities.items():
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not math.isfinite(value)
            ):
                raise ActionUnitError(
                    f"intensity of {name} is {value!r}; it must be a finite number"
                )
            vector[self.index(name)] = float(value)
        return tuple(vector)

    def describe(self, aus: Sequence[float], digits: int = 1) -> str:
        """Write the active AUs of a vector for people: `AU6=2.5 AU12=5.0`, or `neutral`."""
        pairs = zip(self.names, aus, strict=True)
        return " ".join(f"{name}={value:.{digits}f}" for name, value in pairs if value) or "neutral"

    def converted(self, aus: Sequence[float], to: "ActionUnitSet") -> tuple[float, ...]:
        """Turn a vector of this set into one of another: 0 for what this set has not.

        Raises:
            ActionUnitError: if an AU is active that the other set has not.
        """
        if self == to:
            return tuple(aus)
        pairs = zip(self.names, aus, strict=True)
        return to.vector({name: value for name, value in pairs if value})

    def without(self, others: Iterable[str]) -> tuple[str, ...]:
        """Return the AUs of the set that are not among others."""
        known = frozenset(others)
        return tuple(name for name in self.names if name not in known)


def canonical(name: str) -> str:
    """Return the name of an AU as FACS has it: `au12` and `AU012` are AU12; other text stays."""
    found = _WRITTEN.fullmatch(name)
    return f"AU{found[1]}" if found else name


def refuse_repeated(names: Iterable[str], read: Callable[[str], str] = canonical) -> None:
    """Refuse what is written twice in different ways, such as AU12 and au12.

    Args:
        names: AUs, or what holds them; equal ones are not refused.
        read: gives each its one name.

    Raises:
        ActionUnitError: naming both.
    """
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(read(name), name)) != name:
            raise ActionUnitError(f"{other} and {name} are the same; leave one out")


def check_facs(name: str) -> None:
    """Refuse what is no AU of FACS.

    Raises:
        ActionUnitError: with those that there are.
    """
    if canonical(name) not in FACS:
        raise ActionUnitError(f"unknown Action Unit {name!r}; FACS has {', '.join(FACS)}")


DEFAULT_AUS = ActionUnitSet(
    ("AU1", "AU2", "AU4", "AU5", "AU6", "AU9", "AU12", "AU15", "AU17", "AU20", "AU25", "AU26")
)
"""The 12 AUs of DISFA."""

AUS: tuple[str, ...] = DEFAULT_AUS.names
"""The AUs of FineFace, LibreFace and DISFA; a run's may be others."""

AU_COUNT = len(AUS)

AU_NAMES: dict[str, str] = {name: FACS[name] for name in AUS}
"""FACS name of each of them."""


def au_index(name: str) -> int:
    """Return the position of an AU in a vector of the 12.

    Raises:
        ActionUnitError: if it is not among them.
    """
    return DEFAULT_AUS.index(name)


def au_vector(intensities: Mapping[str, float]) -> tuple[float, ...]:
    """Turn `{"AU12": 5}` into a vector of the 12 AUs; AUs that are not named are 0.

    Values outside [0, 5] are kept: FineFace answers to them.

    Raises:
        ActionUnitError: if a name is unknown or a value is not a finite number.
    """
    return DEFAULT_AUS.vector(intensities)


def describe(aus: Sequence[float], digits: int = 1) -> str:
    """Write the active AUs of a vector of the 12 for people: `AU6=2.5 AU12=5.0`, or `neutral`."""
    return DEFAULT_AUS.describe(aus, digits)
