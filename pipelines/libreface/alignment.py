"""Alignment of faces for LibreFace: the face found, an oriented square cut out to the pixel.

The half-side is 2 eye distances or 1.8 eye–mouth distances, whichever is longer; the centre lies
between the eyes, a tenth of the way to the mouth. The square is turned so that the eyes stand level
(FFHQ's alignment: Karras et al., "A style-based generator architecture", CVPR 2019, App. C).

The blurred picture is blended in by a weight that is 0 in the middle, and black far from the
picture stays black. What is left is a frame, which is cut into four blocks; each is blurred with as
much around it as the kernel reaches, so that every float is the one that a blur of the whole image
gives.

Large images are first shrunk by a whole factor, then cut near the face; where the square sticks out
of the image, the image is padded with black whose edge is blurred and faded to the image's median
colour (the padding of FFHQ's alignment). LibreFace asks Pillow for `Image.ANTIALIAS` when it
shrinks, which Pillow 10 removed; it was another name of LANCZOS, which is used here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import scipy.ndimage
from jaxtyping import Float
from PIL import Image
from PIL.Image import Image as Picture
from PIL.Image import Resampling

from pipelines.procedural.geometry import EYE_LEFT, EYE_RIGHT, MOUTH
from synthgen.errors import MissingDependencyError
from synthgen.installation import install_command

_EYE_DISTANCES = 2.0
_EYE_MOUTH_DISTANCES = 1.8
_TOWARDS_MOUTH = 0.1


@dataclass(frozen=True, slots=True)
class FaceSquare:
    """An oriented square in image coordinates [pixels].

    Attributes:
        corners: upper left, lower left, lower right, upper right, each (x, y).
        side: length of a side.
    """

    corners: Float[np.ndarray, "4 2"]
    side: float


def face_square(
    eye_a: Float[np.ndarray, "2"], eye_b: Float[np.ndarray, "2"], mouth: Float[np.ndarray, "2"]
) -> FaceSquare:
    """Return the square that LibreFace cuts out for a face.

    Args:
        eye_a: centre of the eye on the left of an upright image, (x, y) [pixels].
        eye_b: centre of the other eye.
        mouth: middle between the mouth corners.
    """
    between_eyes = (eye_a + eye_b) * 0.5
    across = eye_b - eye_a
    down = mouth - between_eyes
    x = across - np.flipud(down) * [-1, 1]
    x /= np.hypot(*x)
    x *= max(np.hypot(*across) * _EYE_DISTANCES, np.hypot(*down) * _EYE_MOUTH_DISTANCES)
    y = np.flipud(x) * [-1, 1]
    centre = between_eyes + down * _TOWARDS_MOUTH
    corners = np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])
    return FaceSquare(corners=corners, side=float(np.hypot(*x) * 2))


_TRUNCATE = 4.0  # reach of the kernel in standard deviations, scipy's own default

Block = tuple[slice, slice]


def blend_blurred(
    pixels: Float[np.ndarray, "h w 3"],
    picture: Block,
    down: Float[np.ndarray, " h"],
    across: Float[np.ndarray, " w"],
    blur: float,
) -> None:
    """Blend the blurred image in near its rim, in place.

    Args:
        pixels: padded image.
        picture: rows and columns of the picture; all else is black.
        down: of each row, 1 at the rim, 0 where the picture begins, negative inside.
        across: the same of each column.
        blur: standard deviation of the blur [pixels].
    """
    reach = int(_TRUNCATE * blur + 0.5)
    high, wide = pixels.shape[:2]
    outer = (_grown(picture[0], reach, high), _grown(picture[1], reach, wide))
    inner = (_middle(_weight(down) > 0), _middle(_weight(across) > 0))
    blocks = [(block, _blurred(pixels, block, reach, blur)) for block in _frame(outer, inner)]
    for (rows, columns), blurred in blocks:
        here = pixels[rows, columns]
        edge = np.maximum(across[None, columns, None], down[rows, None, None])
        here += (blurred - here) * _weight(edge)


def _weight(edge: np.ndarray) -> np.ndarray:
    return np.clip(edge * 3.0 + 1.0, 0.0, 1.0)


def _blurred(pixels: np.ndarray, block: Block, reach: int, blur: float) -> np.ndarray:
    rows, columns = (
        _grown(side, reach, length) for side, length in zip(block, pixels.shape, strict=False)
    )
    blurred = scipy.ndimage.gaussian_filter(
        pixels[rows, columns], [blur, blur, 0], truncate=_TRUNCATE
    )
    return blurred[
        block[0].start - rows.start : block[0].stop - rows.start,
        block[1].start - columns.start : block[1].stop - columns.start,
    ]


def _frame(outer: Block, inner: Block) -> list[Block]:
    """Cut `outer` without `inner` into blocks: above, left, right, below."""
    rows, columns = outer
    top, bottom = max(inner[0].start, rows.start), min(inner[0].stop, rows.stop)
    left, right = max(inner[1].start, columns.start), min(inner[1].stop, columns.stop)
    if top >= bottom or left >= right:
        return [outer]
    blocks = [
        (slice(rows.start, top), columns),
        (slice(top, bottom), slice(columns.start, left)),
        (slice(top, bottom), slice(right, columns.stop)),
        (slice(bottom, rows.stop), columns),
    ]
    return [block for block in blocks if all(side.stop > side.start for side in block)]


def _middle(marked: np.ndarray) -> slice:
    """Return what is not marked: one piece, or nothing."""
    inside = np.flatnonzero(~marked)
    return slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0)


def _grown(side: slice, reach: int, length: int) -> slice:
    return slice(max(side.start - reach, 0), min(side.stop + reach, length))


CROP_SIDE = 512
"""Side of LibreFace's aligned crop [pixels]."""

_SHRINK_TOWARDS = 512  # a face is shrunk while twice this or more of it is left [pixels]
_BORDER = 0.1  # of the square's side, kept around it
_PADDING = 0.3  # of the square's side, where padding is needed at all
_BLUR = 0.02  # of the square's side


def cut_square(
    image: Image.Image,
    square: FaceSquare,
    side: int = CROP_SIDE,
    shrink_towards: int = _SHRINK_TOWARDS,
) -> Image.Image:
    """Cut a square out of an RGB image and turn it upright.

    Args:
        image: RGB image.
        square: what to cut out, in the image's pixels; it may stick out of the image.
        side: side of the crop [pixels].
        shrink_towards: a square of twice this length or more is shrunk first [pixels].

    Returns:
        RGB crop.
    """
    image, corners, length = _shrink(image, square.corners, square.side, shrink_towards)
    border = max(round(length * _BORDER), 3)
    image, corners = _cut_around(image, corners, border)
    image, corners = _pad(image, corners, length, border)
    return image.transform(
        (side, side),
        Image.Transform.QUAD,
        (corners + 0.5).flatten().tolist(),
        Image.Resampling.BILINEAR,
    )


def _shrink(
    image: Image.Image, corners: np.ndarray, side: float, towards: int
) -> tuple[Image.Image, np.ndarray, float]:
    factor = int(side / towards)
    if factor <= 1:
        return image, corners, side
    size = (round(image.width / factor), round(image.height / factor))
    return image.resize(size, Image.Resampling.LANCZOS), corners / factor, side / factor


def _cut_around(
    image: Image.Image, corners: np.ndarray, border: int
) -> tuple[Image.Image, np.ndarray]:
    left, top, right, bottom = _bounds(corners)
    left, top = max(left - border, 0), max(top - border, 0)
    right, bottom = min(right + border, image.width), min(bottom + border, image.height)
    if right - left >= image.width and bottom - top >= image.height:
        return image, corners
    return image.crop((left, top, right, bottom)), corners - (left, top)


def _pad(
    image: Image.Image, corners: np.ndarray, side: float, border: int
) -> tuple[Image.Image, np.ndarray]:
    left, top, right, bottom = _bounds(corners)
    outside = (-left, -top, right - image.width, bottom - image.height)
    pad = np.array([max(edge + border, 0) for edge in outside])
    if pad.max() <= border - 4:
        return image, corners
    pad = np.maximum(pad, round(side * _PADDING))
    return _soften(_padded(image, pad), pad, side * _BLUR), corners + pad[:2]


def _padded(image: Image.Image, pad: Sequence[int] | np.ndarray) -> np.ndarray:
    left, top, right, bottom = pad
    pixels = np.asarray(image, dtype=np.float32)  # [h, w, 3]
    return np.pad(pixels, ((top, bottom), (left, right), (0, 0)))


def _soften(pixels: np.ndarray, pad: np.ndarray, blur: float) -> Image.Image:
    across, down = (_edge(pixels.shape[1 - axis], pad[axis::2]) for axis in (0, 1))
    picture = (
        slice(pad[1], pixels.shape[0] - pad[3]),
        slice(pad[0], pixels.shape[1] - pad[2]),
    )
    blend_blurred(pixels, picture, down, across, blur)
    edge = np.maximum(across[None, :, None], down[:, None, None])  # [h, w, 1]
    pixels += (_median(pixels) - pixels) * np.clip(edge, 0.0, 1.0)
    return Image.fromarray(
        np.clip(np.rint(pixels, out=pixels), 0, 255, out=pixels).astype(np.uint8)
    )


def _edge(length: int, pad: np.ndarray) -> np.ndarray:
    """Return, along one axis, 1 at the outer rim, 0 where the picture begins, negative inside."""
    place = np.arange(length)
    inwards = np.minimum(np.float32(place) / pad[0], np.float32(length - 1 - place) / pad[1])
    return 1.0 - inwards


def _median(pixels: np.ndarray) -> np.ndarray:
    channels = [np.ascontiguousarray(pixels[..., channel]).ravel() for channel in range(3)]
    return np.array([np.median(channel, overwrite_input=True) for channel in channels])


def _bounds(corners: np.ndarray) -> tuple[int, int, int, int]:
    left, top = np.floor(corners.min(axis=0))
    right, bottom = np.ceil(corners.max(axis=0))
    return int(left), int(top), int(right), int(bottom)


@dataclass(frozen=True, slots=True)
class Alignment:
    """The face that is measured in an image.

    Attributes:
        faces: number of faces found.
        crop: upright RGB square of the largest face, or None where there is no face.
    """

    faces: int
    crop: Picture | None


@runtime_checkable
class Aligner(Protocol):
    """Cuts out the largest face of an image."""

    packages: tuple[str, ...]
    """Packages whose versions the crop is a function of."""

    def align(self, image: Picture) -> Alignment:
        """Find the largest face of an RGB image; none is an answer, not an error."""
        ...


class CenteredAligner:
    """Cuts where drawn and mini faces stand, without looking: there is always one face.

    The square is that of LibreFace's formula for a drawn face's eyes and mouth. It stands
    upright and inside the image, so it is resampled once, straight to the side that the network is
    fed from, instead of through a crop of 512×512. Of an image that is not square the middle square
    is taken.

    Args:
        side: side of the crop [pixels].
    """

    packages: tuple[str, ...] = ("pillow",)

    def __init__(self, side: int = CROP_SIDE) -> None:
        self.side = side

    def align(self, image: Picture) -> Alignment:
        """Cut the face out of a drawn or mini portrait."""
        length = min(image.size)
        left, top = (image.width - length) / 2, (image.height - length) / 2
        square = face_square(*(length * np.array(point) for point in (EYE_LEFT, EYE_RIGHT, MOUTH)))
        (x0, y0), (x1, y1) = square.corners[0], square.corners[2]
        box = (left + x0, top + y0, left + x1, top + y1)
        crop = image.resize((self.side, self.side), Resampling.BILINEAR, box=box)
        return Alignment(faces=1, crop=crop)


MAX_FACES = 8
"""Faces that are looked for in an image; more are counted as this many."""

_MIN_CONFIDENCE = 0.5

# Points of FaceMesh's contours. The eye on the right of the image is the person's left one.
MESH_EYE_RIGHT = (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398)
MESH_EYE_LEFT = (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173)
LIPS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409),
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415),
)


class MediaPipeAligner:
    """Finds faces anywhere in an image of any size.

    Raises:
        MissingDependencyError: if mediapipe is not installed.
    """

    packages: tuple[str, ...] = ("mediapipe", "pillow", "scipy")

    def __init__(self) -> None:
        self._meshes = FaceMeshes("aligner mediapipe")

    def align(self, image: Picture) -> Alignment:
        """Find faces, and cut out the one whose landmarks span the largest box."""
        faces = self._meshes.find(image)
        if not faces:
            return Alignment(faces=0, crop=None)
        return Alignment(faces=len(faces), crop=cut_square(image, landmark_square(largest(faces))))


class FaceMeshes:
    """Finds the landmarks of each face in an image of any size, by MediaPipe's FaceMesh.

    Args:
        what: what needs them, for the error.

    Raises:
        MissingDependencyError: if mediapipe is not installed.
    """

    def __init__(self, what: str) -> None:
        self._mesh = _face_mesh(what)

    def find(self, image: Picture) -> list[Float[np.ndarray, "2 landmarks"]]:
        """Return x and y of FaceMesh's 478 landmarks of each face in an RGB image [pixels]."""
        found = self._mesh.process(np.asarray(image)).multi_face_landmarks or []
        return [_points(face.landmark, image.size) for face in found]


def largest(faces: Sequence[Float[np.ndarray, "2 landmarks"]]) -> Float[np.ndarray, "2 landmarks"]:
    """Return the face whose landmarks span the largest box."""
    return max(faces, key=lambda points: np.prod(np.ptp(points, axis=1)))


def landmark_square(points: Float[np.ndarray, "2 landmarks"]) -> FaceSquare:
    """Return the square that LibreFace cuts out for FaceMesh landmarks.

    Args:
        points: x and y of each landmark of FaceMesh, in its order [pixels].
    """
    lips = points[:, LIPS]
    mouth = (lips[:, lips[0].argmin()] + lips[:, lips[0].argmax()]) / 2
    return face_square(
        points[:, MESH_EYE_LEFT].mean(axis=1), points[:, MESH_EYE_RIGHT].mean(axis=1), mouth
    )


def _points(landmarks: Sequence[Any], size: tuple[int, int]) -> Float[np.ndarray, "2 landmarks"]:
    points = np.array([[mark.x for mark in landmarks], [mark.y for mark in landmarks]])
    return points * np.array(size)[:, None]


def _face_mesh(what: str) -> Any:
    try:
        from mediapipe.python.solutions.face_mesh import FaceMesh
    except ImportError as error:
        raise MissingDependencyError(
            f"{what} needs the package mediapipe, which is not installed; "
            f"install it with: {install_command('alignment')}"
        ) from error
    return FaceMesh(
        static_image_mode=True,
        max_num_faces=MAX_FACES,
        refine_landmarks=True,
        min_detection_confidence=_MIN_CONFIDENCE,
    )
