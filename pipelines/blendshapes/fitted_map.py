"""The fitted map from blendshapes to AUs: a ridge regression that sees one side of a face at once.

A side is told by the blendshapes in the middle, its own of those that there are twice, and the
square root of each: what blendshapes read grows slowly at low intensities. Both sides of a face
share one regression, so that a mirrored picture gives mirrored numbers; an AU is the mean of its
sides. AUs of the upper face are told by brows and lids alone, the others by cheeks, nose, jaw and
mouth: else a smile would count for what it often comes with. Gaze, and jaw or mouth moved to a
side, tell no AU; and no blendshape counts for more than it did in any face of the fit.

Shapes: n faces, d features of a side, k AUs.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from pipelines.blendshapes.landmarker import BLENDSHAPES
from pipelines.weight_files import file_sha256
from synthgen.action_units import FACS, MAX_INTENSITY, MIN_INTENSITY
from synthgen.errors import WeightsError
from synthgen.foreign import excerpt, regular_file

DRAWN_FILE = Path(__file__).with_name("blendshape_map.json")
"""The map that comes with the package, fitted on drawn faces; it is its own card."""

SIDES = ("Left", "Right")

UPPER_FACE = frozenset(
    ("AU1", "AU2", "AU4", "AU5", "AU6", "AU7", "AU41", "AU42", "AU43", "AU44", "AU45", "AU46")
)
"""AUs of brows, lids and what lifts the cheeks towards them."""

_OF_UPPER_FACE = ("brow", "eye")
_LEFT_OUT = ("_neutral", "eyeLook", "jawLeft", "jawRight", "mouthLeft", "mouthRight")


def _side_names() -> tuple[str, ...]:
    told = [name for name in BLENDSHAPES if not name.startswith(_LEFT_OUT)]
    return tuple(dict.fromkeys(name.removesuffix("Left").removesuffix("Right") for name in told))


SIDE_NAMES = _side_names()
"""The blendshapes that tell a side, in the order of its features, without `Left` and `Right`."""

_PLACES = {
    side: [BLENDSHAPES.index(name if name in BLENDSHAPES else name + side) for name in SIDE_NAMES]
    for side in SIDES
}

_ROOT = "^0.5"


def feature_names() -> list[str]:
    """Return the names of what `side_features` gives, in its order."""
    return [*SIDE_NAMES, *(name + _ROOT for name in SIDE_NAMES)]


def side_values(shapes: Float[np.ndarray, "n 52"], side: str) -> Float[np.ndarray, "n names"]:
    """Return the blendshapes of `SIDE_NAMES` of one side of faces.

    Args:
        shapes: values of `BLENDSHAPES` [0–1].
        side: `Left` or `Right`, the person's own.
    """
    return np.asarray(shapes, np.float64)[:, _PLACES[side]]


def side_features(
    values: Float[np.ndarray, "n names"], highest: Float[np.ndarray, " names"]
) -> Float[np.ndarray, "n d"]:
    """Return blendshapes of a side, each within 0 and its highest, then their square roots."""
    seen = np.clip(values, 0, highest)
    return np.concatenate([seen, np.sqrt(seen)], axis=1)


def tells(au: str) -> Bool[np.ndarray, " d"]:
    """Tell which features may tell an AU."""
    upper = np.array([name.startswith(_OF_UPPER_FACE) for name in feature_names()])
    return upper if au in UPPER_FACE else ~upper


@dataclass(frozen=True, slots=True, eq=False)
class BlendshapeMap:
    """A fitted map.

    Attributes:
        aus: the AUs that it was fitted to.
        r: AU → correlation with the drawn intensity, of faces of people whom it was not fitted to.
        weights: of each feature of a side, for each AU.
        constant: of each AU.
        highest: of each of `SIDE_NAMES` in the faces that it was fitted to.
        name: name of its file.
        sha256: checksum of its file.
        licence: licence of the file.
    """

    aus: tuple[str, ...]
    r: Mapping[str, float]
    weights: Float[np.ndarray, "d k"]
    constant: Float[np.ndarray, " k"]
    highest: Float[np.ndarray, " names"]
    name: str
    sha256: str
    licence: str

    def visible(self, least_r: float) -> frozenset[str]:
        """Return the AUs whose correlation is at least this."""
        return frozenset(name for name in self.aus if self.r[name] >= least_r)

    def by_side(self, shapes: Float[np.ndarray, "n 52"]) -> Float[np.ndarray, "2 n k"]:
        """Return the intensities of the left and of the right side of faces [0–5]."""
        sides = [side_features(side_values(shapes, side), self.highest) for side in SIDES]
        found = np.stack(sides) @ self.weights + self.constant
        return np.clip(found, MIN_INTENSITY, MAX_INTENSITY)


def map_content(
    aus: Sequence[str],
    r: Sequence[float],
    weights: Float[np.ndarray, "d k"],
    constant: Float[np.ndarray, " k"],
    highest: Float[np.ndarray, " names"],
) -> dict[str, Any]:
    """Return the part of a map's file that `load_map` reads; see `BlendshapeMap`.

    Args:
        aus: the AUs.
        r: correlation of each of them.
        weights: those of 0 are left out.
        constant: see there.
        highest: see there.
    """
    kinds = feature_names()
    return {
        "highest": dict(zip(SIDE_NAMES, map(float, highest), strict=True)),
        "aus": {
            name: {
                "r": float(r[place]),
                "constant": float(constant[place]),
                "weights": {kinds[row]: float(weights[row, place]) for row in column.nonzero()[0]},
            }
            for place, (name, column) in enumerate(zip(aus, weights.T, strict=True))
        },
    }


def load_map(name: str) -> BlendshapeMap:
    """Read a map.

    Args:
        name: `drawn`, the one that comes with the package, or a file that
            `synthgen train blendshape-map` wrote.

    Raises:
        WeightsError: if the file is missing, or holds no map.
    """
    file = find_map(name)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        found, kinds = content["aus"], feature_names()
        aus = tuple(str(au) for au in found)
        if not aus or any(au not in FACS for au in aus):
            raise ValueError("no AU of FACS")
        columns = [[float(found[au]["weights"].get(kind, 0)) for kind in kinds] for au in aus]
        made = BlendshapeMap(
            aus=aus,
            r={au: float(found[au]["r"] or 0) for au in aus},
            weights=np.array(columns, np.float64).T,
            constant=np.array([float(found[au]["constant"]) for au in aus], np.float64),
            highest=np.array([float(content["highest"][each]) for each in SIDE_NAMES], np.float64),
            name=file.name,
            sha256=file_sha256(file),
            licence=str(content.get("licence", "not stated")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise WeightsError(
            f"{excerpt(file)} is no map of blendshapes; `synthgen train blendshape-map` makes one"
        ) from error
    numbers = np.concatenate([made.weights.ravel(), made.constant, made.highest])
    if not np.isfinite([*numbers, *made.r.values()]).all():
        raise WeightsError(f"{excerpt(file)} holds numbers that are not finite")
    return made


def find_map(name: str) -> Path:
    """Return the file that `drawn`, or a path, means.

    Raises:
        WeightsError: if it is missing.
    """
    if name == "drawn":
        return DRAWN_FILE
    regular_file(Path(name), "map", WeightsError)
    return Path(name)
