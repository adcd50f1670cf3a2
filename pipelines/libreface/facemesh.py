"""Find faces with MediaPipe FaceMesh and cut out the largest, as LibreFace's own aligner does."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL.Image import Image

from pipelines.libreface.alignment import Alignment
from pipelines.libreface.cutting import cut_square
from pipelines.libreface.geometry import FaceSquare, face_square
from synthgen.errors import MissingDependencyError

MAX_FACES = 8
"""Faces that are looked for in an image; more are counted as this many."""

_MIN_CONFIDENCE = 0.5

# Points of FaceMesh's contours. The eye on the right of the image is the person's left one.
EYE_RIGHT = (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398)
EYE_LEFT = (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173)
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
        self._mesh = _face_mesh()

    def align(self, image: Image) -> Alignment:
        """Find faces, and cut out the one whose landmarks span the largest box."""
        found = self._mesh.process(np.asarray(image)).multi_face_landmarks or []
        if not found:
            return Alignment(faces=0, crop=None)
        faces = [_points(face.landmark, image.size) for face in found]
        largest = max(faces, key=lambda points: np.prod(np.ptp(points, axis=1)))
        return Alignment(faces=len(faces), crop=cut_square(image, landmark_square(largest)))


def landmark_square(points: Float[np.ndarray, "2 landmarks"]) -> FaceSquare:
    """Return the square that LibreFace cuts out for FaceMesh landmarks.

    Args:
        points: x and y of each landmark of FaceMesh, in its order [pixels].
    """
    lips = points[:, LIPS]
    mouth = (lips[:, lips[0].argmin()] + lips[:, lips[0].argmax()]) / 2
    return face_square(points[:, EYE_LEFT].mean(axis=1), points[:, EYE_RIGHT].mean(axis=1), mouth)


def _points(landmarks: Sequence[Any], size: tuple[int, int]) -> Float[np.ndarray, "2 landmarks"]:
    points = np.array([[mark.x for mark in landmarks], [mark.y for mark in landmarks]])
    return points * np.array(size)[:, None]


def _face_mesh() -> Any:
    try:
        from mediapipe.python.solutions.face_mesh import FaceMesh
    except ImportError as error:
        raise MissingDependencyError(
            "aligner mediapipe needs the package mediapipe, which is not installed; "
            'install it with: pip install "synthgen[alignment]"'
        ) from error
    return FaceMesh(
        static_image_mode=True,
        max_num_faces=MAX_FACES,
        refine_landmarks=True,
        min_detection_confidence=_MIN_CONFIDENCE,
    )
