"""Faces for SMIRK: found in a picture, cut out as SMIRK was trained on them, and read.

The crop is a square around the box of the landmarks, 1.4 times as large as the mean of its width
and height, drawn to 224 pixels bilinearly, with black where it sticks out of the picture. The
corners of the square become the centres of the crop's corner pixels, and what is interpolated is
cut off to whole numbers, not rounded: so it was when SMIRK was trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from PIL import Image
from PIL.Image import Image as Picture
from PIL.Image import Resampling

from pipelines.faceid.embedder import sharpness_of
from pipelines.libreface.alignment import CenteredAligner, FaceMeshes
from pipelines.libreface.presence import FacePresence, load_presence
from pipelines.libreface.weights import PRESENCE_FILE
from pipelines.smirk.extractors import Extractor
from pipelines.smirk.network import SIDE
from synthgen.errors import PictureError

Landmarks = Float[np.ndarray, "landmarks 2"]

FinderName = Literal["mediapipe", "centered"]

_AROUND = 1.4
"""Side of the square over the mean side of the landmarks' box."""

_CENTERED = np.array([[0.251, 0.258], [0.749, 0.861]])
"""Corners of the box of a drawn face, in the picture's middle square."""

_FURTHEST = 1_000_000
"""Bound of a landmark's coordinates [pixels]."""

_LEAST_SIDE = 4
"""Least side of the square [pixels]."""

_SHARPNESS_SIDE = 112
"""Side of the crop whose sharpness is measured [pixels]; recognisers of faces see as many."""


def crop_face(image: np.ndarray, landmarks: np.ndarray) -> UInt8[np.ndarray, "224 224 3"]:
    """Cut a face out of a picture as SMIRK takes it.

    Args:
        image: [h, w, 3], bytes.
        landmarks: [n, 2], x and y of points of the face [pixels], such as MediaPipe's 478; what
            counts is the box around them.

    Raises:
        PictureError: if either is of another shape or type, a landmark is a million pixels away,
            or the square around the face has fewer than 4 pixels a side.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise PictureError(
            "a face is cut out of an image of shape [h, w, 3] and type uint8, and this one has "
            f"{list(image.shape)} and {image.dtype}"
        )
    points = np.asarray(landmarks, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise PictureError(
            f"landmarks of a face are of shape [n, 2], and these have {list(points.shape)}"
        )
    if not (np.abs(points) < _FURTHEST).all():  # NaN is refused, too
        raise PictureError(
            f"landmarks of a face are in pixels and nearer than {_FURTHEST:,}; one of these is not"
        )
    places = crop_places(points)
    lines = _between(image, places[1], axis=0)
    return _between(lines, places[0], axis=1).astype(np.uint8)


def crop_places(landmarks: Landmarks) -> Float[np.ndarray, "2 224"]:
    """Return x of each column and y of each line of a crop, in the picture [pixels].

    Args:
        landmarks: x and y of points of the face [pixels].

    Raises:
        PictureError: if the square around the face has fewer than 4 pixels a side.
    """
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)  # x, y
    side = int(_AROUND * (high - low).mean())
    if side < _LEAST_SIDE:
        raise PictureError(
            f"a face cannot be cut out: the square around it would have {side} pixels a side; at "
            f"least {_LEAST_SIDE} are needed"
        )
    places = np.arange(SIDE) * side / (SIDE - 1)
    return ((low + high) / 2 - side / 2)[:, None] + places


def centered_face(size: tuple[int, int]) -> Landmarks:
    """Return two landmarks of the face of a drawn portrait: corners of the box that it fills.

    It is the box of FaceMesh's landmarks in drawn portraits, by the median of 120.

    Args:
        size: width and height of the picture, whose middle square counts [pixels].
    """
    side = min(size)
    return (np.array(size) - side) / 2 + side * _CENTERED


def _between(pixels: np.ndarray, places: np.ndarray, axis: int) -> Float[np.ndarray, "h w 3"]:
    """Interpolate linearly along an axis; outside of the picture all is black."""
    before = np.floor(places)
    share = np.expand_dims(places - before, [place for place in range(3) if place != axis])
    low = before.astype(np.int64)
    return (1 - share) * _taken(pixels, low, axis) + share * _taken(pixels, low + 1, axis)


def _taken(pixels: np.ndarray, places: np.ndarray, axis: int) -> np.ndarray:
    length = pixels.shape[axis]
    inside = (places >= 0) & (places < length)
    found = np.take(pixels, np.clip(places, 0, length - 1), axis=axis)
    return np.where(np.expand_dims(inside, [p for p in range(3) if p != axis]), found, 0.0)


@runtime_checkable
class FaceFinder(Protocol):
    """Finds faces in pictures.

    Attributes:
        name: its name.
        packages: packages whose versions the landmarks are a function of.
    """

    name: str
    packages: tuple[str, ...]

    def find(self, image: Picture) -> Sequence[Landmarks]:
        """Return the landmarks of each face in an RGB picture; none is an answer, not an error."""
        ...


class MeshFinder:
    """Finds faces anywhere, by MediaPipe's FaceMesh: 478 landmarks each.

    Raises:
        MissingDependencyError: if mediapipe is not installed.
    """

    name = "mediapipe"
    packages: tuple[str, ...] = ("mediapipe",)

    def __init__(self) -> None:
        self._meshes = FaceMeshes("finding faces in photographs")

    def find(self, image: Picture) -> Sequence[Landmarks]:
        """Return the landmarks of each face, of 8 at most."""
        return [np.ascontiguousarray(points.T) for points in self._meshes.find(image)]


class CenteredFinder:
    """Takes the face where drawn and mini portraits have it; of photographs it knows nothing.

    The landmarks are those of `centered_face`. A small network tells whether there is a face at
    all.
    """

    name = "centered"
    packages: tuple[str, ...] = ("pillow", "torch")

    _CROP = 128  # the network was trained on crops of this side [pixels]

    def __init__(self) -> None:
        network, threshold = load_presence(PRESENCE_FILE)
        self._presence = FacePresence(network, threshold)
        self._aligner = CenteredAligner(self._CROP)

    def find(self, image: Picture) -> Sequence[Landmarks]:
        """Return two landmarks, or nothing where no drawn or mini face is seen."""
        crop = self._aligner.align(image).crop
        if crop is None or not self._presence.of([crop])[0]:
            return []
        return [centered_face(image.size)]


def load_finder(name: FinderName) -> FaceFinder:
    """Load what finds faces.

    Args:
        name: `mediapipe` for photographs, `centered` for drawn and mini portraits.

    Raises:
        MissingDependencyError: if its package is not installed.
    """
    return MeshFinder() if name == "mediapipe" else CenteredFinder()


@dataclass(frozen=True, slots=True, eq=False)
class ReadFace:
    """The expression of the largest face of a picture.

    Attributes:
        flame: FLAME's numbers.
        faces: faces that were found.
        side: mean of the width and height of the landmarks' box [pixels].
        sharpness: variance of the Laplacian of the crop's grey values [0–255]² at 112×112 pixels;
            small of a blurred face and of one that was enlarged.
    """

    flame: Float32[np.ndarray, " 55"]
    faces: int
    side: float
    sharpness: float


class ExpressionReader:
    """Reads the expression of faces in pictures; an answer is a function of its picture alone.

    Args:
        encoder: the network.
        finder: what finds faces.
    """

    def __init__(self, encoder: Extractor, finder: FaceFinder) -> None:
        self.encoder = encoder
        self.finder = finder

    def read(self, image: Picture) -> ReadFace | None:
        """Read the expression of the largest face of an RGB picture; None where there is none."""
        faces = self.finder.find(image)
        if not faces:
            return None
        largest = max(faces, key=lambda points: np.prod(np.ptp(points, axis=0)))
        crop = crop_face(np.asarray(image), largest)
        small = Image.fromarray(crop).resize(
            (_SHARPNESS_SIDE, _SHARPNESS_SIDE), Resampling.BILINEAR
        )
        return ReadFace(
            flame=self._encode(crop),
            faces=len(faces),
            side=float(np.ptp(largest, axis=0).mean()),
            sharpness=sharpness_of(small),
        )

    def versions(self) -> dict[str, str]:
        """Return the packages that an answer is a function of, with their versions."""
        return {name: version(name) for name in sorted({"numpy", "torch", *self.finder.packages})}

    @torch.inference_mode()
    def _encode(self, crop: UInt8[np.ndarray, "224 224 3"]) -> Float32[np.ndarray, " 55"]:
        like = next(self.encoder.parameters())
        pixels = torch.from_numpy(crop).permute(2, 0, 1)[None].to(like.device, like.dtype) / 255
        return self.encoder(pixels)[0].float().cpu().numpy()
