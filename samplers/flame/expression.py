"""Expressions as FLAME numbers: what SMIRK reads from a face, and Arc2Face's adapter shows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from synthgen.errors import BankError
from synthgen.foreign import excerpt, first_line, shown

FLAME_WIDTH = 55
"""Numbers of an expression: 50 of FLAME's expression basis, 2 eyelids and 3 of the jaw."""

EXPRESSION = slice(0, 50)
"""Coefficients of FLAME's expression basis [standard deviations]; they have no names."""

EYELIDS = slice(50, 52)
"""Left and right eyelid: 0 open to 1 closed."""

JAW = slice(52, 55)
"""Rotation of the jaw [radians]: opening, then turning and tilting to the sides."""

SIDEWAYS = 0.2
"""Furthest that the jaw turns or tilts to a side in what SMIRK reads [radians]."""


@dataclass(frozen=True, slots=True, eq=False)
class FlameExpression:
    """The expression that an image is to show, in FLAME's numbers.

    It is the condition `flame` of a spec, and equal by value.

    Attributes:
        numbers: 50 expression coefficients, 2 eyelids in [0, 1], 3 of the jaw [radians].
        source: where they come from: the sha256 of the picture that they were read from; of a mix,
            a short text.
    """

    numbers: Float32[np.ndarray, " 55"]
    source: str

    def __eq__(self, other: object) -> bool:
        """Return whether both hold the same numbers, to the bit, from the same source."""
        return isinstance(other, FlameExpression) and self._key() == other._key()

    def __hash__(self) -> int:
        """Return a hash of numbers and source."""
        return hash(self._key())

    def _key(self) -> tuple[str, bytes]:
        return self.source, self.numbers.tobytes()


def flame_batch(values: Any, what: str = "FLAME numbers") -> Float32[np.ndarray, "rows 55"]:
    """Refuse what is no batch of FLAME numbers; return it as float32.

    Args:
        values: [rows, 55] or, for one row, [55]: an array, a tensor or lists; or a list of
            `FlameExpression`.
        what: what the sentence calls them, such as the file that they come from.

    Raises:
        BankError: if a row is not 55 finite numbers.
    """
    if isinstance(values, FlameExpression):
        values = [values]
    if isinstance(values, list | tuple):
        values = [one.numbers if isinstance(one, FlameExpression) else one for one in values]
    where = excerpt(what)
    try:
        given = np.asarray(values)
    except (ValueError, TypeError) as error:  # rows of different lengths
        raise BankError(f"{where}: this is no array of numbers: {first_line(error)}") from error
    if given.dtype.kind not in "fiu":
        raise BankError(f"{where}: numbers are wanted, and these are of type {given.dtype}")
    if given.ndim not in (1, 2) or given.shape[-1] != FLAME_WIDTH:
        raise BankError(
            f"{where}: an expression of FLAME has {FLAME_WIDTH} numbers (50 expression, 2 eyelids, "
            f"3 jaw), and this is an array of shape {list(given.shape)[:8]}"
        )
    given = given.reshape(-1, FLAME_WIDTH)
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = given.astype(np.float32)
    for row, place in np.argwhere(~np.isfinite(numbers))[:1].tolist():
        raise BankError(
            f"{where}: row {row} (from 0) holds {shown(given[row, place].item())} at place "
            f"{place}; every number must be finite"
        )
    return numbers
