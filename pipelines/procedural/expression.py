"""Movements and wrinkles of a face under an AU vector: how far, how deep."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pipelines.procedural.identity import Identity
from synthgen.action_units import AU_COUNT, AUS
from synthgen.errors import ActionUnitError

LOWEST = -5.0
HIGHEST = 7.0
"""Intensities are clipped to [LOWEST, HIGHEST]."""


AUVector = Sequence[float] | Float[np.ndarray, " aus"]
"""An intensity for each AU, in the order of `synthgen.action_units.AUS`."""


@dataclass(frozen=True, slots=True)
class Efforts:
    """Strength of each movement: 0 at rest, 1 at intensity 5, up to 1.4; below 0 the opposite.

    Attributes:
        brow_in: AU1. brow_out: AU2. brow_low: AU4. lid_raise: AU5, closed at -1. cheek: AU6.
        nose_wrinkle: AU9. smile: AU12. frown: AU15. chin_raise: AU17. stretch: AU20.
        part: AU25. jaw: AU26.
        age: static lines [0–1], 0 for the young.
    """

    brow_in: float
    brow_out: float
    brow_low: float
    lid_raise: float
    cheek: float
    nose_wrinkle: float
    smile: float
    frown: float
    chin_raise: float
    stretch: float
    part: float
    jaw: float
    age: float


def efforts_of(identity: Identity, aus: AUVector) -> Efforts:
    """Turn intensities into efforts.

    Negative AU12 acts as AU15 and the reverse; negative AU5 closes the eyes (AU43). The other AUs
    answer to negative values with a weaker opposite, where the face has one: a jaw that is shut and
    cheeks, nose and chin at rest stay as they are.

    Raises:
        ActionUnitError: if the number of values is another, or one is not a finite number.
    """
    values = [float(value) for value in aus]
    if len(values) != AU_COUNT:
        raise ActionUnitError(
            f"an AU vector has {AU_COUNT} values, {AUS[0]} to {AUS[-1]}; this one has {len(values)}"
        )
    for name, value in zip(AUS, values, strict=True):
        if not math.isfinite(value):
            raise ActionUnitError(f"intensity of {name} is {value!r}; it must be a finite number")
    e = [min(max(value, LOWEST), HIGHEST) / 5.0 for value in values]
    brow_in, brow_out, brow_low, lid, cheek, nose, smile, frown, chin, stretch, part, jaw = e
    return Efforts(
        brow_in=_opposed(brow_in, 0.4),
        brow_out=_opposed(brow_out, 0.4),
        brow_low=_opposed(brow_low, 0.4),
        lid_raise=lid,
        cheek=_opposed(cheek, 0.25),
        nose_wrinkle=max(nose, 0.0),
        smile=max(smile, 0.0) + max(-frown, 0.0),
        frown=max(frown, 0.0) + max(-smile, 0.0),
        chin_raise=max(chin, 0.0),
        stretch=_opposed(stretch, 0.4),
        part=_opposed(part, 0.5),
        jaw=max(jaw, 0.0),
        age=min(max((identity.years - 34.0) / 46.0, 0.0), 1.0),
    )


def _opposed(effort: float, gain: float) -> float:
    return effort if effort >= 0 else gain * effort
