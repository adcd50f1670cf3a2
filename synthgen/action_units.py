"""The 12 Action Units of DISFA, in the order that FineFace and LibreFace use everywhere.

An *AU vector* is 12 floats in this order. Intensities are those of FACS: 0 absent, 1 trace (A),
2 slight (B), 3 marked (C), 4 severe (D), 5 maximum (E).
"""

import math
from collections.abc import Mapping, Sequence

from synthgen.errors import ActionUnitError

AU_NAMES: dict[str, str] = {
    "AU1": "inner brow raiser",
    "AU2": "outer brow raiser",
    "AU4": "brow lowerer",
    "AU5": "upper lid raiser",
    "AU6": "cheek raiser",
    "AU9": "nose wrinkler",
    "AU12": "lip corner puller",
    "AU15": "lip corner depressor",
    "AU17": "chin raiser",
    "AU20": "lip stretcher",
    "AU25": "lips part",
    "AU26": "jaw drop",
}
"""FACS name of each AU; the keys are in the order of an AU vector."""

AUS: tuple[str, ...] = tuple(AU_NAMES)
AU_COUNT = len(AUS)
MIN_INTENSITY = 0.0
MAX_INTENSITY = 5.0

_INDEX = {name: position for position, name in enumerate(AUS)}


def au_index(name: str) -> int:
    """Return the position of an AU in an AU vector.

    Raises:
        ActionUnitError: if there is no such AU among the 12.
    """
    if name not in _INDEX:
        raise ActionUnitError(f"unknown Action Unit {name!r}; those that exist: {', '.join(AUS)}")
    return _INDEX[name]


def au_vector(intensities: Mapping[str, float]) -> tuple[float, ...]:
    """Turn `{"AU12": 5}` into an AU vector; AUs that are not named are 0.

    Values outside [0, 5] are kept: FineFace answers to them.

    Raises:
        ActionUnitError: if a name is unknown or a value is not a finite number.
    """
    vector = [0.0] * AU_COUNT
    for name, value in intensities.items():
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise ActionUnitError(f"intensity of {name} is {value!r}; it must be a finite number")
        vector[au_index(name)] = float(value)
    return tuple(vector)


def describe(aus: Sequence[float], digits: int = 1) -> str:
    """Write the active AUs of a vector for people: `AU6=2.5 AU12=5.0`, or `neutral`."""
    active = [f"{name}={value:.{digits}f}" for name, value in zip(AUS, aus, strict=True) if value]
    return " ".join(active) or "neutral"
