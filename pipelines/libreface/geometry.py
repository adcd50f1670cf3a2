"""Where LibreFace cuts the face out: an oriented square from the eyes and the mouth.

The half-side is 2 eye distances or 1.8 eye–mouth distances, whichever is longer; the centre lies
between the eyes, a tenth of the way to the mouth. The square is turned so that the eyes stand level
(FFHQ's alignment: Karras et al., "A style-based generator architecture", CVPR 2019, App. C).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

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
