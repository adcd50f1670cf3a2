"""Accept or reject an image by the AUs that were measured in it, with a reason.

An AU is *active* where the request, clipped to [0, 5], is above 0. Four bounds are judged, in this
order: an AU with a tolerance of its own must lie within it; an AU asked for at 1 or more must be
there at all (`min_active`); the mean error over the active AUs must keep `max_active_error`; no
inactive AU may exceed `max_inactive`. An AU with an entry in `per_au_tolerance` is judged by that
entry alone, or not at all where it is null. An image of one colour is rejected under any policy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from jaxtyping import Bool, Float
from PIL.Image import Image

from synthgen.action_units import DEFAULT_AUS, MAX_INTENSITY, MIN_INTENSITY, ActionUnitSet
from synthgen.config import PolicyConfig

Reason = Literal[
    "blank",
    "no_face",
    "au_tolerance",
    "missing_au",
    "active_error",
    "inactive",
    "identity",
    "forbidden",
    "error",
]
"""The reason of a reject; `blank`: the image is of one colour, as where a model's numbers are not
finite; `identity`: the person asked for; `forbidden`: not to show somebody; `error`: making or
measuring it failed."""

ASKED_FOR = 1.0
"""From this request on, an AU must be measured at `min_active` at least [intensity]."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Verdict of the policy on one image.

    Attributes:
        accepted: whether the image keeps every bound.
        reason: the first bound that it missed, or None.
        detail: one sentence with the AU and the values, or "" where it is accepted.
        active_error: mean |requested − measured| over all active AUs [intensity]; None where none
            is active or there is no face.
        inactive_max: largest measured intensity among the inactive AUs; None where none is
            inactive or there is no face.
        distance: by how much the bounds are missed, summed over them [intensity; cosines count ten
            times]; 0 where the image is accepted, infinite where there is no face or no image.
    """

    accepted: bool
    reason: Reason | None
    detail: str
    active_error: float | None
    inactive_max: float | None
    distance: float

    @classmethod
    def unmeasured(cls, reason: Literal["blank", "no_face", "error"], detail: str) -> "Verdict":
        """Return the rejection of an image in which nothing was measured."""
        return cls(False, reason, detail, None, None, math.inf)

    @classmethod
    def error(cls, detail: str) -> "Verdict":
        """Return the verdict on an attempt that failed before it could be judged."""
        return cls.unmeasured("error", detail)


@dataclass(frozen=True, slots=True)
class _Miss:
    reason: Reason
    detail: str
    excess: float


def blank_detail(image: Image, dtype: str = "") -> str | None:
    """Tell why an image shows nothing; None where it shows something.

    Sources paint black where a model's numbers are not finite.

    Args:
        image: the image.
        dtype: number format of the pipeline that made it, for the advice; "": not known.
    """
    extremes = cast("tuple[tuple[int, int], ...]", image.convert("RGB").getextrema())
    if any(low != high for low, high in extremes):
        return None
    colour = tuple(low for low, _ in extremes)
    mend = (
        "; some models overflow in float16, so set pipeline.dtype to bfloat16 or float32"
        if dtype == "float16"
        else ""
    )
    return (
        f"every pixel is {colour}: the model painted nothing, or its numbers are not finite{mend}"
    )


def judge(
    requested: Sequence[float] | Float[np.ndarray, " aus"],
    measured: Sequence[float] | Float[np.ndarray, " aus"],
    faces: int,
    policy: PolicyConfig,
    aus: ActionUnitSet = DEFAULT_AUS,
) -> Verdict:
    """Judge one image.

    Args:
        requested: AUs asked for [intensity]; clipped to [0, 5] before they are compared.
        measured: AUs found [0–5]; anything where there is no face.
        faces: number of faces found; 0 is rejected, of several the measured one counts.
        policy: the bounds.
        aus: the AUs of both.

    Raises:
        ValueError: if a face was found and a measured value is not finite.
    """
    if faces == 0:
        return Verdict.unmeasured("no_face", "no face was found")
    asked = np.clip(np.asarray(requested, np.float64), MIN_INTENSITY, MAX_INTENSITY)
    found = np.asarray(measured, np.float64)
    if not np.isfinite(found).all():
        raise ValueError(f"a face was found, but its AUs are measured as {found.tolist()}")
    misses = [
        *_tolerance_misses(asked, found, policy, aus.names),
        *_missing(asked, found, policy, aus.names),
        *_active_misses(asked, found, policy, aus.names),
        *_inactive_misses(asked, found, policy, aus.names),
    ]
    active = asked > 0
    return Verdict(
        accepted=not misses,
        reason=misses[0].reason if misses else None,
        detail=misses[0].detail if misses else "",
        active_error=float(np.abs(asked - found)[active].mean()) if active.any() else None,
        inactive_max=float(found[~active].max()) if not active.all() else None,
        distance=float(sum(miss.excess for miss in misses)),
    )


def _tolerance_misses(
    asked: np.ndarray, found: np.ndarray, policy: PolicyConfig, names: tuple[str, ...]
) -> list[_Miss]:
    return [
        _Miss(
            "au_tolerance",
            f"{name} is {found[i]:.2f} where {asked[i]:.2f} was asked for; "
            f"the tolerance is {tolerance:g}",
            abs(asked[i] - found[i]) - tolerance,
        )
        for i, name in enumerate(names)
        if (tolerance := policy.per_au_tolerance.get(name)) is not None
        and abs(asked[i] - found[i]) > tolerance
    ]


def _missing(
    asked: np.ndarray, found: np.ndarray, policy: PolicyConfig, names: tuple[str, ...]
) -> list[_Miss]:
    least = policy.min_active
    if least is None:
        return []
    return [
        _Miss(
            "missing_au",
            f"{names[i]} is {found[i]:.2f} where {asked[i]:.2f} was asked for; "
            f"the least allowed is {least:g}",
            least - found[i],
        )
        for i in np.flatnonzero(_bounded(policy, names) & (asked >= ASKED_FOR) & (found < least))
    ]


def _active_misses(
    asked: np.ndarray, found: np.ndarray, policy: PolicyConfig, names: tuple[str, ...]
) -> list[_Miss]:
    judged = _bounded(policy, names) & (asked > 0)
    if not judged.any():
        return []
    errors = np.where(judged, np.abs(asked - found), 0.0)
    mean = errors.sum() / judged.sum()
    if mean <= policy.max_active_error:
        return []
    worst = int(errors.argmax())
    detail = (
        f"the mean error of the AUs asked for is {mean:.2f}, at most {policy.max_active_error:g} "
        f"is allowed; {names[worst]} is worst: {found[worst]:.2f} where {asked[worst]:.2f} was "
        "asked for"
    )
    return [_Miss("active_error", detail, mean - policy.max_active_error)]


def _inactive_misses(
    asked: np.ndarray, found: np.ndarray, policy: PolicyConfig, names: tuple[str, ...]
) -> list[_Miss]:
    judged = _bounded(policy, names) & (asked <= 0)
    if not judged.any():
        return []
    largest = int(np.where(judged, found, -np.inf).argmax())
    excess = found[largest] - policy.max_inactive
    if excess <= 0:
        return []
    detail = (
        f"{names[largest]} is {found[largest]:.2f} without being asked for; "
        f"at most {policy.max_inactive:g} is allowed"
    )
    return [_Miss("inactive", detail, excess)]


def _bounded(policy: PolicyConfig, names: tuple[str, ...]) -> Bool[np.ndarray, " aus"]:
    return np.array([name not in policy.per_au_tolerance for name in names])
