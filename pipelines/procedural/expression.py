"""Movements and wrinkles of a face under AU intensities: how far, how deep, on which side."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float

from pipelines.procedural.drawn_aus import DRAWN_AUS, SIDED_AUS
from pipelines.procedural.identity import Identity
from synthgen.action_units import AU_COUNT, AUS, DEFAULT_AUS
from synthgen.errors import ActionUnitError

LOWEST = -5.0
HIGHEST = 7.0
"""Intensities are clipped to [LOWEST, HIGHEST]."""

AUVector = Sequence[float] | Float[np.ndarray, " aus"]
"""An intensity for each AU, in the order of `synthgen.action_units.AUS` or of `DRAWN_AUS`."""


@dataclass(frozen=True, slots=True)
class Expression:
    """Intensities of all drawn AUs, on both halves of a face.

    Attributes:
        left, right: of the person; a vector over `DRAWN_AUS`. The person's left is on the right of
            the image.
    """

    left: tuple[float, ...]
    right: tuple[float, ...]

    @classmethod
    def of(
        cls,
        both: Mapping[str, float | int],
        left: Mapping[str, float | int] | None = None,
        right: Mapping[str, float | int] | None = None,
    ) -> "Expression":
        """Make an expression of named AUs: `Expression.of({"AU4": 2}, left={"AU14": 4})`.

        Args:
            both: intensities on both sides.
            left: those of the person's left half that differ.
            right: those of the person's right half that differ.

        Raises:
            ActionUnitError: if an AU is none of `DRAWN_AUS`, a value is no finite number, or a side
                is given for an AU that has none.
        """
        halves = [DRAWN_AUS.vector({**both, **(side or {})}) for side in (left, right)]
        return cls(halves[0], halves[1])

    @classmethod
    def symmetric(cls, aus: AUVector) -> "Expression":
        """Make an expression that is the same on both sides.

        Args:
            aus: intensities of the 12 AUs, or of all of `DRAWN_AUS`.

        Raises:
            ActionUnitError: if the number of values is another.
        """
        values = tuple(float(value) for value in aus)
        if len(values) == AU_COUNT:
            named = dict(zip(AUS, values, strict=True))
            values = tuple(named.get(name, 0.0) for name in DRAWN_AUS.names)
        if len(values) != len(DRAWN_AUS):
            raise ActionUnitError(
                f"an AU vector has {AU_COUNT} values, {AUS[0]} to {AUS[-1]}, or "
                f"{len(DRAWN_AUS)}, {DRAWN_AUS.names[0]} to {DRAWN_AUS.names[-1]}; this one has "
                f"{len(values)}"
            )
        return cls(values, values)

    def __post_init__(self) -> None:
        """Refuse what no face shows.

        Raises:
            ActionUnitError: if a side has another number of values, one is not a finite number, or
                an AU that has no sides differs between them.
        """
        for side in (self.left, self.right):
            if len(side) != len(DRAWN_AUS):
                raise ActionUnitError(
                    f"each side of an expression has {len(DRAWN_AUS)} values, "
                    f"{DRAWN_AUS.names[0]} to {DRAWN_AUS.names[-1]}; this one has {len(side)}"
                )
        for name, left, right in zip(DRAWN_AUS.names, self.left, self.right, strict=True):
            for value in (left, right):
                if not math.isfinite(value):
                    raise ActionUnitError(
                        f"intensity of {name} is {value!r}; it must be a finite number"
                    )
            if left != right and name not in SIDED_AUS:
                raise ActionUnitError(
                    f"{name} is {left:g} on the left and {right:g} on the right; only "
                    f"{', '.join(SIDED_AUS)} can differ between the sides"
                )


@dataclass(frozen=True, slots=True)
class Efforts:
    """Strength of each movement: 0 at rest, 1 at intensity 5, up to 1.4; below 0 the opposite.

    Attributes:
        brow_in: AU1. brow_out: AU2. brow_low: AU4. lid_raise: AU5, closed at -1. cheek: AU6.
        nose_wrinkle: AU9. smile: AU12. frown: AU15. chin_raise: AU17. stretch: AU20.
        part: AU25. jaw: AU26.
        age: static lines [0–1], 0 for the young.
        lid_tight: AU7. lip_raise: AU10. dimple: AU14. tight: AU23. press: AU24. shut: AU43.
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
    lid_tight: float = 0.0
    lip_raise: float = 0.0
    dimple: float = 0.0
    tight: float = 0.0
    press: float = 0.0
    shut: float = 0.0


def efforts_of(identity: Identity, aus: AUVector | Expression) -> tuple[Efforts, Efforts]:
    """Turn intensities into efforts of both halves, that on the left of the image first.

    Negative AU12 acts as AU15 and the reverse; negative AU5 closes the eyes (AU43). The other AUs
    answer to negative values with a weaker opposite, where the face has one: a jaw that is shut and
    cheeks, nose and chin at rest stay as they are.

    Raises:
        ActionUnitError: if the number of values is another, one is not a finite number, or the
            edition of the identity cannot show them.
    """
    expression = aus if isinstance(aus, Expression) else Expression.symmetric(aus)
    if identity.edition == 1:
        _refuse_later(expression)
    right = _efforts(identity, expression.left)
    left = right if expression.left == expression.right else _efforts(identity, expression.right)
    return left, right


def mean_efforts(left: Efforts, right: Efforts) -> Efforts:
    """Return what both halves show on average."""
    if left is right:
        return left
    names = (field.name for field in fields(Efforts))
    return Efforts(**{name: (getattr(left, name) + getattr(right, name)) / 2 for name in names})


def _efforts(identity: Identity, values: tuple[float, ...]) -> Efforts:
    e = {
        name: min(max(value, LOWEST), HIGHEST) / 5.0
        for name, value in zip(DRAWN_AUS.names, values, strict=True)
    }
    smile, frown = e["AU12"], e["AU15"]
    return Efforts(
        brow_in=_opposed(e["AU1"], 0.4),
        brow_out=_opposed(e["AU2"], 0.4),
        brow_low=_opposed(e["AU4"], 0.4),
        lid_raise=e["AU5"],
        cheek=_opposed(e["AU6"], 0.25),
        nose_wrinkle=max(e["AU9"], 0.0),
        smile=max(smile, 0.0) + max(-frown, 0.0),
        frown=max(frown, 0.0) + max(-smile, 0.0),
        chin_raise=max(e["AU17"], 0.0),
        stretch=_opposed(e["AU20"], 0.4),
        part=_opposed(e["AU25"], 0.5),
        jaw=max(e["AU26"], 0.0),
        age=min(max((identity.years - 34.0) / 46.0, 0.0), 1.0),
        lid_tight=_opposed(e["AU7"], 0.25),
        lip_raise=max(e["AU10"], 0.0),
        dimple=max(e["AU14"], 0.0),
        tight=max(e["AU23"], 0.0),
        press=max(e["AU24"], 0.0),
        shut=min(max(e["AU43"], 0.0), 1.0),
    )


def _refuse_later(expression: Expression) -> None:
    if expression.left != expression.right:
        raise ActionUnitError(
            "the sides of a face differ in edition 2 of the drawings; this identity is of edition 1"
        )
    for name, value in zip(DRAWN_AUS.names, expression.left, strict=True):
        if value and name not in DEFAULT_AUS:
            raise ActionUnitError(
                f"{name} is shown by edition 2 of the drawings; this identity is of edition 1, "
                f"which shows {', '.join(AUS)}"
            )


def _opposed(effort: float, gain: float) -> float:
    return effort if effort >= 0 else gain * effort
