"""Which rows of a label file are wanted: `where`."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool

Wanted = str | int | float | Sequence[int | float]
"""One value, or the lowest and the highest number of a range."""

Where = Mapping[str, Wanted]
"""Column → what it must hold."""


def is_numeric(wanted: Wanted) -> bool:
    """Return whether a column is compared as a number; else it is compared as text."""
    return not isinstance(wanted, str)


def matches(values: np.ndarray, wanted: Wanted) -> Bool[np.ndarray, " rows"]:
    """Return which values of a column are wanted.

    Args:
        values: text, or float64 in which NaN stands for no value.
        wanted: one value, or a range [low, high] with both ends in it.
    """
    if isinstance(wanted, str):
        return values == wanted
    if isinstance(wanted, Sequence):
        low, high = wanted
        return (values >= low) & (values <= high)
    return values == float(wanted)
