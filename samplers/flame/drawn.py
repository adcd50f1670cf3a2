"""The code of drawn expressions: what SMIRK's 55 numbers are to photographs, for drawn faces.

A drawn face (edition 2) is moved by 30 intensities [0–5]: 12 AUs on each side of the person, and 6
that have no sides. The code is linear and fixed, `numbers = REST + CODE · intensities`:

- coefficients 0 to 29 are half of an intensity, in the order of `MOVEMENTS`: brow, lid, cheek,
  nose, mouth, jaw; so 2.5 [standard deviations] at the maximum;
- coefficient 30 is 2.5 of every face: a face at rest is not the zeros that an adapter takes for
  "no expression";
- the eyelids are a fifth of AU43 of their side, so 1 where an eye is shut;
- the jaw's opening is a sixteenth of AU26: 0.31 [radians] at the maximum.

All other numbers are 0. The direction of the eyes is no part of it.

Shapes: rows, faces; sides, the person's left and right; aus, those of `CODED_AUS`.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64

from samplers.flame.expression import EYELIDS, FLAME_WIDTH, JAW, flame_batch
from synthgen.action_units import MAX_INTENSITY, MIN_INTENSITY, ActionUnitSet
from synthgen.config.priors.flame import MINI_BANK
from synthgen.errors import ActionUnitError

EXTRACTOR = MINI_BANK
"""Name of the extractor of these numbers, as banks tell it."""

SIDES = ("left", "right")
"""Sides of the person, in their order."""


class Movement(NamedTuple):
    """A movement of a drawn face.

    Attributes:
        name: what moves, as `pipelines.procedural.expression.Efforts` calls it.
        au: the AU that moves it.
        side: side of the person; empty where both move as one.
    """

    name: str
    au: str
    side: str


_SIDED = {
    "brow_in": "AU1", "brow_out": "AU2", "brow_low": "AU4",
    "lid_raise": "AU5", "lid_tight": "AU7", "shut": "AU43",
    "cheek": "AU6",
    "lip_raise": "AU10", "smile": "AU12", "dimple": "AU14", "frown": "AU15", "stretch": "AU20",
}  # fmt: skip
_WHOLE = {
    "nose_wrinkle": "AU9",
    "chin_raise": "AU17", "tight": "AU23", "press": "AU24", "part": "AU25", "jaw": "AU26",
}  # fmt: skip

MOVEMENTS = tuple(
    [Movement(name, au, side) for name, au in _SIDED.items() for side in SIDES]
    + [Movement(name, au, "") for name, au in _WHOLE.items()]
)
"""Movement of each coefficient, from 0 on."""

CODED_AUS = ActionUnitSet.of([*_SIDED.values(), *_WHOLE.values()])
"""The AUs that the code carries: those of the second edition of the drawings."""

APART = (("AU5", "AU43"), ("AU24", "AU25"), ("AU24", "AU26"))
"""AUs that no drawn face shows together: the one that would be the weaker is left out."""

_COEFFICIENT, _FACE = 0.5, 2.5
_EYELID, _JAW = 1 / 5, 1 / 16


def _code() -> Float64[np.ndarray, "55 movements"]:
    code = np.zeros((FLAME_WIDTH, len(MOVEMENTS)))
    for place, movement in enumerate(MOVEMENTS):
        code[place, place] = _COEFFICIENT
        if movement.name == "shut":
            code[EYELIDS.start + SIDES.index(movement.side), place] = _EYELID
        if movement.name == "jaw":
            code[JAW.start, place] = _JAW
    code.flags.writeable = False
    return code


CODE = _code()
"""Change of each of the 55 numbers with the intensity of each movement."""

REST = np.where(np.arange(FLAME_WIDTH) == len(MOVEMENTS), _FACE, 0.0)
"""The 55 numbers of a face at rest."""
REST.flags.writeable = False

CARRIED = tuple(np.flatnonzero(CODE.any(axis=1)).tolist())
"""Places of the numbers that differ between faces."""

NAMES = {
    **{
        place: " ".join(filter(None, (move.name, move.side)))
        for place, move in enumerate(MOVEMENTS)
    },
    **{EYELIDS.start + place: f"eyelid {side}" for place, side in enumerate(SIDES)},
    JAW.start: "jaw opening",
}
"""Place → name of the number, for those that are carried."""


def drawn_numbers(intensities: Any) -> Float32[np.ndarray, "rows 55"]:
    """Write drawn expressions in 55 numbers; each row is a function of its intensities alone.

    Args:
        intensities: [rows, 2, aus] of the left and the right side of the person, in [0, 5]; or
            [rows, aus] where both are alike.

    Raises:
        ActionUnitError: if the shape is another, a value is outside [0, 5] or no number, or an AU
            without sides differs between them.
    """
    moved = drawn_movements(intensities)
    # A row of CODE has one number at most that is not 0, so that the sum is exact in any order.
    return (REST + moved @ CODE.T).astype(np.float32)


def drawn_movements(intensities: Any) -> Float64[np.ndarray, "rows movements"]:
    """Return the intensity of each of `MOVEMENTS`; arguments and errors of `drawn_numbers`."""
    sides = _checked(intensities)
    return np.stack([_of(sides, movement) for movement in MOVEMENTS], axis=1)


def drawn_intensities(numbers: Any) -> Float64[np.ndarray, "rows 2 aus"]:
    """Read the intensities of drawn expressions from their 55 numbers.

    It is the inverse by least squares, (CODEᵀ CODE)⁻¹ CODEᵀ (numbers − REST): what is no drawn
    expression, such as a mix or a network's reading, gives the nearest one, also outside [0, 5].

    Args:
        numbers: [rows, 55], as `flame_batch` takes them.

    Returns:
        Of the left and the right side; AUs without sides are alike on both.

    Raises:
        BankError: if a row is not 55 finite numbers.
    """
    given = flame_batch(numbers).astype(np.float64) - REST
    moved = (given @ CODE) / (CODE**2).sum(axis=0)  # the columns of CODE are orthogonal
    found = np.zeros((len(given), len(SIDES), len(CODED_AUS)))
    for value, movement in zip(moved.T, MOVEMENTS, strict=True):
        au = CODED_AUS.index(movement.au)
        if movement.side:
            found[:, SIDES.index(movement.side), au] = value
        else:
            found[:, :, au] = value[:, None]
    return found


def _of(
    sides: Float64[np.ndarray, "rows 2 aus"], movement: Movement
) -> Float64[np.ndarray, " rows"]:
    side = SIDES.index(movement.side) if movement.side else 0
    return sides[:, side, CODED_AUS.index(movement.au)]


def _checked(intensities: Any) -> Float64[np.ndarray, "rows 2 aus"]:
    given = np.asarray(intensities)
    width = len(CODED_AUS)
    alike = given.ndim == 2
    if given.shape[1:] not in ((width,), (len(SIDES), width)) or given.dtype.kind not in "fiu":
        raise ActionUnitError(
            f"drawn expressions are numbers of shape [rows, {width}] or [rows, 2, {width}], "
            f"{CODED_AUS.names[0]} to {CODED_AUS.names[-1]}; these have {list(given.shape)[:8]} "
            f"and the type {given.dtype}"
        )
    sides = given.astype(np.float64)
    if alike:
        sides = np.stack([sides, sides], axis=1)
    outside = ~((sides >= MIN_INTENSITY) & (sides <= MAX_INTENSITY))
    for row, side, au in np.argwhere(outside)[:1].tolist():
        raise ActionUnitError(
            f"row {row} (from 0) has {CODED_AUS.names[au]} at {float(sides[row, side, au]):g}; the "
            "code of drawn expressions carries [0, 5]"
        )
    whole = [CODED_AUS.index(name) for name in _WHOLE.values()]
    for row, place in np.argwhere(sides[:, 0, whole] != sides[:, 1, whole])[:1].tolist():
        left, right = sides[row, :, whole[place]]
        raise ActionUnitError(
            f"row {row} (from 0) has {CODED_AUS.names[whole[place]]} at {left:g} on the left and "
            f"{right:g} on the right; only {', '.join(_SIDED.values())} can differ"
        )
    return sides
