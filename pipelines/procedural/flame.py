"""Drawn expressions as the 55 numbers of FLAME's kind, by the code of `samplers.flame.drawn`."""

from typing import Any

import numpy as np
from jaxtyping import Float32

from pipelines.procedural.expression import AUVector, Expression
from samplers.flame.drawn import drawn_intensities, drawn_numbers
from samplers.flame.expression import flame_batch
from synthgen.action_units import MAX_INTENSITY, MIN_INTENSITY
from synthgen.errors import BankError


def flame_of(aus: AUVector | Expression) -> Float32[np.ndarray, " 55"]:
    """Write an expression in 55 numbers.

    Args:
        aus: an expression; or intensities [0–5] that are alike on both sides, of the 12 AUs or of
            `DRAWN_AUS`.

    Raises:
        ActionUnitError: if the number of values is another, or one is outside [0, 5].
    """
    expression = aus if isinstance(aus, Expression) else Expression.symmetric(aus)
    return drawn_numbers(np.array([[expression.left, expression.right]], np.float64))[0]


def expression_of(numbers: Any) -> Expression:
    """Read the expression that is nearest to 55 numbers; intensities are cut off at 0 and 5.

    Args:
        numbers: [55], by this code, also mixed or read by a network.

    Raises:
        BankError: if these are not 55 finite numbers.
    """
    given = flame_batch(numbers)
    if len(given) != 1:
        raise BankError(f"an expression has one row of 55 numbers, and these are {len(given)} rows")
    found = drawn_intensities(given)[0].clip(MIN_INTENSITY, MAX_INTENSITY)
    left, right = (tuple(side.tolist()) for side in found)
    return Expression(left, right)
