"""The check of AUs by blendshapes: what FaceLandmarker reads in an image, mapped and judged."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL.Image import Image

from pipelines.blendshapes.fitted_map import BlendshapeMap
from pipelines.blendshapes.landmarker import BLENDSHAPES, LANDMARKS, Face, FaceReader
from pipelines.blendshapes.section import LICENCE, BlendshapesCheck
from pipelines.interfaces import Verifier
from pipelines.libreface.check import errors, judge
from pipelines.pictures import all_rgb
from pipelines.policy import Verdict, joined
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

BLENDSHAPE_AUS, BLENDSHAPE_ACTIVE, BLENDSHAPE_INACTIVE = (
    "blendshape_aus",
    "blendshape_active_error",
    "blendshape_inactive_max",
)
"""Columns beside another check that measures AUs, which has `aus_measured` and the errors."""

DISAGREEMENT = "disagreement"
"""Reason of an image that two verifiers measure too differently."""

_FACES = "faces"
"""Key of a measurement that is no column: the number of faces found."""

_EXTRA: dict[str, int] = {
    "blendshapes": len(BLENDSHAPES),
    "landmarks": 3 * LANDMARKS,
    "head_pose_measured": 3,
    "face_box": 4,
}
"""Further columns that are asked for by name → their numbers; those of sides are AU vectors."""


class BlendshapeCheck(Verifier):
    """Measures AUs by blendshapes, and judges those that it sees by a policy.

    A measurement is a function of its image alone.

    Args:
        reader: reads faces.
        fitted: from blendshapes to AUs.
        section: what counts as seen, further columns, and the bounds.
        aus: the AUs of the run.
        other: name of another check of the run that measures AUs; None: there is none, and the
            columns are those of `libreface`.
    """

    name = "blendshapes"
    by_batch = False

    def __init__(
        self,
        reader: FaceReader,
        fitted: BlendshapeMap,
        section: BlendshapesCheck,
        aus: ActionUnitSet = DEFAULT_AUS,
        other: str | None = None,
    ) -> None:
        self._reader = reader
        self._map = fitted
        self._policy = section.policy
        self._columns = tuple(section.columns)
        self._aus = aus
        self._other = other
        visible = fitted.visible(section.least_r)
        self._seen = ActionUnitSet(tuple(name for name in aus.names if name in visible))
        self._places = [aus.names.index(name) for name in self._seen.names]
        self._fitted = [fitted.aus.index(name) for name in self._seen.names]
        alone = (AUS_MEASURED, ACTIVE_ERROR, INACTIVE_MAX)
        beside = (BLENDSHAPE_AUS, BLENDSHAPE_ACTIVE, BLENDSHAPE_INACTIVE)
        self._named = alone if other is None else beside

    @property
    def columns(self) -> Mapping[str, Feature]:
        """Return the AUs, two errors that sum them up, and what is asked for besides."""
        aus, active, inactive = self._named
        return {
            aus: vector_feature(len(self._aus)),
            active: value_feature("float32"),
            inactive: value_feature("float32"),
            **{name: vector_feature(_EXTRA.get(name, len(self._aus))) for name in self._columns},
        }

    @property
    def only_in_data(self) -> frozenset[str]:
        """Return what is asked for besides: rejected attempts are told by their AUs."""
        return frozenset(self._columns)

    def measure(
        self, images: Sequence[Image], specs: Sequence[SampleSpec]
    ) -> list[Mapping[str, Any]]:
        """Measure images one by one; nothing is known of those without a face."""
        return [
            self._measured(spec, self._reader.read(image))
            for spec, image in zip(specs, all_rgb(images), strict=True)
        ]

    def verdict(self, spec: SampleSpec, measured: Mapping[str, Any]) -> Verdict:
        """Judge the AUs that it sees by the bounds of `libreface`; without a bound, accept."""
        if not self._policy.judges:
            return Verdict.accept()
        found = measured[self._named[0]]
        return judge(
            [spec.aus[place] for place in self._places],
            [] if found is None else [found[place] for place in self._places],
            measured[_FACES],
            self._policy,
            self._seen,
        )

    def verdict_beside(
        self, spec: SampleSpec, measured: Mapping[str, Any], others: Mapping[str, Any]
    ) -> Verdict:
        """Judge by its own bounds, and by how far the other verifier differs."""
        own = self.verdict(spec, measured)
        within = self._policy.agree_within
        first, second = others.get(AUS_MEASURED), measured[self._named[0]]
        if within is None or self._other is None or first is None or second is None:
            return own
        misses = disagreements(spec.aus, first, second, within)
        if not misses:
            return own
        worst = max(misses, key=lambda place: misses[place])
        apart = Verdict.reject(
            DISAGREEMENT,
            f"{self._aus.names[worst]} is {first[worst]:.2f} by {self._other} and "
            f"{second[worst]:.2f} by {self.name}; they may differ by at most {within:g}",
            sum(misses.values()),
        )
        return joined([own, apart])

    def fingerprint(self) -> dict[str, Any]:
        """Return what the measurements are a function of."""
        fitted = self._map
        return {
            "weights": {**self._reader.files, fitted.name: fitted.sha256},
            "licences": {
                **dict.fromkeys(self._reader.files, LICENCE),
                fitted.name: fitted.licence,
            },
            "versions": dict(self._reader.packages),
        }

    def _measured(self, spec: SampleSpec, face: Face | None) -> Mapping[str, Any]:
        aus, active, inactive = self._named
        if face is None:
            names = (*self._named, *self._columns)
            return {**dict.fromkeys(names), _FACES: 0}
        sides = self._map.by_side(face.blendshapes[None].astype(np.float64))[:, 0, self._fitted]
        found = sides.mean(axis=0)
        active_error, inactive_max = errors([spec.aus[place] for place in self._places], found)
        values = {
            "blendshapes": lambda: face.blendshapes.tolist(),
            "landmarks": lambda: face.landmarks.reshape(-1).tolist(),
            "head_pose_measured": lambda: list(face.pose),
            "face_box": lambda: list(face.box),
            "blendshape_aus_left": lambda: self._vector(sides[0]),
            "blendshape_aus_right": lambda: self._vector(sides[1]),
        }
        return {
            aus: self._vector(found),
            active: active_error,
            inactive: inactive_max,
            **{name: values[name]() for name in self._columns},
            _FACES: face.faces,
        }

    def _vector(self, seen: np.ndarray) -> tuple[float | None, ...]:
        """Return an AU vector of the run, with None for the AUs that are not seen."""
        vector: list[float | None] = [None] * len(self._aus)
        for place, value in zip(self._places, seen, strict=True):
            vector[place] = float(value)
        return tuple(vector)


def disagreements(
    requested: Sequence[float],
    first: Sequence[float | None],
    second: Sequence[float | None],
    within: float,
) -> dict[int, float]:
    """Return where two verifiers differ too much, of the AUs asked for that both see.

    Args:
        requested: AUs asked for [intensity]; those above 0 within [0, 5] count.
        first: AUs that one found [0–5]; None where it does not see the AU.
        second: AUs that the other found.
        within: largest difference [intensity].

    Returns:
        Place of the AU → by how much the difference exceeds it.
    """
    asked = np.clip(np.asarray(requested, np.float64), MIN_INTENSITY, MAX_INTENSITY) > 0
    return {
        place: excess
        for place, (one, other) in enumerate(zip(first, second, strict=True))
        if asked[place] and one is not None and other is not None
        if (excess := abs(one - other) - within) > 0
    }
