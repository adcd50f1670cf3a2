"""The check of Action Units: what is measured in an image against what it was to show.

An AU is *active* where the request, clipped to [0, 5], is above 0. Five bounds are judged, in this
order: an AU with a tolerance of its own must lie within it; an AU asked for at 1 or more must be
there at all (`min_active`); the mean error over the active AUs must keep `max_active_error`, and
the error of each of them `max_each_error`; no inactive AU may exceed `max_inactive`. An AU with an
entry in `per_au_tolerance` is judged by that entry alone, or not at all where it is null.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from PIL.Image import Image

from pipelines.interfaces import ActionUnitReader, Verifier
from pipelines.libreface.section import ActionUnitPolicy
from pipelines.policy import Verdict
from samplers.spec import SampleSpec
from synthgen.action_units import DEFAULT_AUS, MAX_INTENSITY, MIN_INTENSITY, ActionUnitSet
from synthgen.dataset.schema import (
    ACTIVE_ERROR,
    AUS_MEASURED,
    INACTIVE_MAX,
    Feature,
    value_feature,
    vector_feature,
)

ASKED_FOR = 1.0
"""From this request on, an AU must be measured at `min_active` at least [intensity]."""

_COMPARED_AT_ONCE = 1 << 19
"""Intensities of requests and faces that are compared at once: few megabytes."""

_ROUNDING = 1e-9
"""Difference of two sums of errors that their order may make, and far more [intensity]."""

FACES = "faces"
"""Key of a measurement that is no column: the number of faces found."""


class ActionUnitCheck(Verifier):
    """Measures AUs, and judges them by a policy.

    Args:
        reader: what measures.
        policy: the bounds.
        aus: the AUs of the run.
    """

    plain_reasons = True

    def __init__(
        self, reader: ActionUnitReader, policy: ActionUnitPolicy, aus: ActionUnitSet = DEFAULT_AUS
    ) -> None:
        self.name = reader.name
        self._reader = reader
        self._policy = policy
        self._aus = aus

    @property
    def columns(self) -> Mapping[str, Feature]:
        """Return the AUs that were found, and two errors that sum them up."""
        return au_columns(self._aus)

    def measure(
        self, images: Sequence[Image], specs: Sequence[SampleSpec]
    ) -> list[Mapping[str, Any]]:
        """Measure a batch; nothing is known of images without a face."""
        found = self._reader.measure(images)
        return [
            au_row(spec, aus, int(faces))
            for spec, aus, faces in zip(specs, found.aus_of(self._aus), found.faces, strict=True)
        ]

    def verdict(self, spec: SampleSpec, measured: Mapping[str, Any]) -> Verdict:
        """Judge one image; see `judge`."""
        found = measured[AUS_MEASURED]
        aus = () if found is None else found
        return judge(spec.aus, aus, measured[FACES], self._policy, self._aus)

    def fingerprint(self) -> dict[str, Any]:
        """Return what the measurements are a function of."""
        return self._reader.fingerprint()


def au_columns(aus: ActionUnitSet) -> dict[str, Feature]:
    """Return the columns of checks that measure AUs: what was found, and two errors.

    Args:
        aus: the AUs of the run.
    """
    return {
        AUS_MEASURED: vector_feature(len(aus.names)),
        ACTIVE_ERROR: value_feature("float32"),
        INACTIVE_MAX: value_feature("float32"),
    }


def au_row(
    spec: SampleSpec, aus: Sequence[float] | Float[np.ndarray, " aus"], faces: int
) -> dict[str, Any]:
    """Return what is measured of an image: the values of `au_columns`, and the faces found.

    Args:
        spec: what was asked for.
        aus: AU intensities [0–5] that were found, of the AUs of the run.
        faces: faces found; without one nothing is known.
    """
    if faces == 0:
        return {AUS_MEASURED: None, ACTIVE_ERROR: None, INACTIVE_MAX: None, FACES: 0}
    active_error, inactive_max = errors(spec.aus, aus)
    return {
        AUS_MEASURED: tuple(float(value) for value in aus),
        ACTIVE_ERROR: active_error,
        INACTIVE_MAX: inactive_max,
        FACES: faces,
    }


def errors(
    requested: Sequence[float] | Float[np.ndarray, " aus"],
    measured: Sequence[float] | Float[np.ndarray, " aus"],
) -> tuple[float | None, float | None]:
    """Sum up how far measured AUs are from what was asked for.

    Returns:
        Mean |requested − measured| over all active AUs [intensity], None where none is active; and
        the largest measured intensity among the inactive ones, None where none is inactive.
    """
    asked, found = _clipped(requested), np.asarray(measured, np.float64)
    active = asked > 0
    return (
        float(np.abs(asked - found)[active].mean()) if active.any() else None,
        float(found[~active].max()) if not active.all() else None,
    )


@dataclass(frozen=True, slots=True)
class _Miss:
    reason: str
    detail: str
    excess: float


def judge(
    requested: Sequence[float] | Float[np.ndarray, " aus"],
    measured: Sequence[float] | Float[np.ndarray, " aus"],
    faces: int,
    policy: ActionUnitPolicy,
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
        return Verdict.reject("no_face", "no face was found")
    asked, found = _clipped(requested), np.asarray(measured, np.float64)
    if not np.isfinite(found).all():
        raise ValueError(f"a face was found, but its AUs are measured as {found.tolist()}")
    misses = [
        *_tolerance_misses(asked, found, policy, aus.names),
        *_missing(asked, found, policy, aus.names),
        *_active_misses(asked, found, policy, aus.names),
        *_each_misses(asked, found, policy, aus.names),
        *_inactive_misses(asked, found, policy, aus.names),
    ]
    if not misses:
        return Verdict.accept()
    distance = float(sum(miss.excess for miss in misses))
    return Verdict.reject(misses[0].reason, misses[0].detail, distance)


def accepted(
    requested: Float[np.ndarray, "requests aus"],
    measured: Float[np.ndarray, "faces aus"],
    policy: ActionUnitPolicy,
    aus: ActionUnitSet = DEFAULT_AUS,
) -> Bool[np.ndarray, "requests faces"]:
    """Tell whether `judge` accepts each of some measured faces for each of some requests.

    Most faces miss a bound that the active AUs of a request alone decide, so that few are compared
    with the intensities.

    Args:
        requested: AUs asked for [intensity]; clipped to [0, 5] before they are compared.
        measured: AUs of the faces [0–5], all finite.
        policy: the bounds.
        aus: the AUs of both.
    """
    asked, found = _clipped(requested), np.asarray(measured, np.float64)
    fits = np.zeros((len(asked), len(found)), dtype=bool)
    active = np.hstack([asked > 0, asked >= ASKED_FOR])
    kinds, kind = np.unique(active, axis=0, return_inverse=True)
    for number, (active, present) in enumerate(kinds.reshape(len(kinds), 2, len(aus))):
        faces = np.flatnonzero(_possible(found, active, present, policy, aus.names))
        requests = np.flatnonzero(kind.reshape(-1) == number)
        step = 1 + _COMPARED_AT_ONCE // max(1, found[faces].size)
        for start in range(0, len(requests), step):
            part = requests[start : start + step]
            near = _near(asked[part], found[faces], active, policy, aus.names)
            fits[np.ix_(part, faces)] = near
    return fits


def _possible(
    found: np.ndarray,
    active: np.ndarray,
    present: np.ndarray,
    policy: ActionUnitPolicy,
    names: tuple[str, ...],
) -> Bool[np.ndarray, " faces"]:
    """Tell which faces keep the bounds on inactive AUs, and on those that must be there at all."""
    bounded = _bounded(policy, names)
    most = np.inf if policy.max_inactive is None else policy.max_inactive
    fits = np.asarray((found[:, bounded & ~active] <= most).all(axis=1))
    if policy.min_active is not None:
        fits &= (found[:, bounded & present] >= policy.min_active).all(axis=1)
    return fits


def _near(
    asked: np.ndarray,
    found: np.ndarray,
    active: np.ndarray,
    policy: ActionUnitPolicy,
    names: tuple[str, ...],
) -> Bool[np.ndarray, "requests faces"]:
    """Tell which faces keep the bounds on differences.

    Sums in another order differ in their last bits: near the bound, errors are added up as `judge`
    does.
    """
    fits = np.ones((len(asked), len(found)), dtype=bool)
    for name, tolerance in policy.per_au_tolerance.items():
        if tolerance is not None and name in names:
            au = names.index(name)
            fits &= np.abs(asked[:, au, None] - found[:, au]) <= tolerance
    judged = _bounded(policy, names) & active
    if not judged.any():
        return fits
    total = np.zeros(fits.shape)
    for au in np.flatnonzero(judged).tolist():
        error = np.abs(asked[:, au, None] - found[:, au])
        total += error
        if policy.max_each_error is not None:
            fits &= error <= policy.max_each_error
    if policy.max_active_error is None:
        return fits
    most = policy.max_active_error * judged.sum()
    within = total <= most
    requests, faces = np.nonzero(np.abs(total - most) < _ROUNDING)
    errors = np.where(judged, np.abs(asked[requests] - found[faces]), 0.0)
    within[requests, faces] = errors.sum(axis=1) / judged.sum() <= policy.max_active_error
    return fits & within


def _tolerance_misses(
    asked: np.ndarray, found: np.ndarray, policy: ActionUnitPolicy, names: tuple[str, ...]
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
    asked: np.ndarray, found: np.ndarray, policy: ActionUnitPolicy, names: tuple[str, ...]
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
    asked: np.ndarray, found: np.ndarray, policy: ActionUnitPolicy, names: tuple[str, ...]
) -> list[_Miss]:
    judged, errors = _own_errors(asked, found, policy, names)
    if policy.max_active_error is None or not judged.any():
        return []
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


def _each_misses(
    asked: np.ndarray, found: np.ndarray, policy: ActionUnitPolicy, names: tuple[str, ...]
) -> list[_Miss]:
    """Return a miss for each AU asked for whose own error is too large, the worst one first."""
    bound = policy.max_each_error
    if bound is None:
        return []
    _, errors = _own_errors(asked, found, policy, names)
    order = np.argsort(-errors, kind="stable")
    return [
        _Miss(
            "each_error",
            f"{names[i]} is {found[i]:.2f} where {asked[i]:.2f} was asked for; "
            f"each AU asked for may be off by at most {bound:g}",
            float(errors[i]) - bound,
        )
        for i in order[errors[order] > bound]
    ]


def _own_errors(
    asked: np.ndarray, found: np.ndarray, policy: ActionUnitPolicy, names: tuple[str, ...]
) -> tuple[Bool[np.ndarray, " aus"], Float[np.ndarray, " aus"]]:
    """Tell which AUs the bounds on those asked for judge, and their errors; 0 for the others."""
    judged = _bounded(policy, names) & (asked > 0)
    return judged, np.where(judged, np.abs(asked - found), 0.0)


def _inactive_misses(
    asked: np.ndarray, found: np.ndarray, policy: ActionUnitPolicy, names: tuple[str, ...]
) -> list[_Miss]:
    judged = _bounded(policy, names) & (asked <= 0)
    if policy.max_inactive is None or not judged.any():
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


def _bounded(policy: ActionUnitPolicy, names: tuple[str, ...]) -> Bool[np.ndarray, " aus"]:
    return np.array([name not in policy.per_au_tolerance for name in names])


def _clipped(requested: Sequence[float] | np.ndarray) -> np.ndarray:
    return np.clip(np.asarray(requested, np.float64), MIN_INTENSITY, MAX_INTENSITY)
