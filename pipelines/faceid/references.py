"""Reference images: faces cut out as those of FFHQ are, and the picture of a person that is kept.

FFHQ's alignment (Karras et al., "A style-based generator architecture", CVPR 2019, App. C) spans a
square by the eyes and the mouth, whose half-side is the longer of 2 eye distances and 1.8 distances
from the eyes to the mouth. It is the square of `pipelines.libreface.alignment`, sampled finer here:
LibreFace measures in 224 pixels, while what is edited is looked at in all its 512.
"""

from io import BytesIO

import numpy as np
from jaxtyping import Float
from PIL.Image import Image, Resampling

from pipelines.faceid.embedder import FaceEmbeddings
from pipelines.libreface.alignment import cut_square, face_square
from samplers.identities.reference import ReferenceImage

REFERENCE_SIDE = 512
"""Side of a reference image [pixels]."""

_FINER = 4
_SHRINK_TOWARDS = 2 * REFERENCE_SIDE


def aligned_face(image: Image, points: Float[np.ndarray, "3 2"]) -> Image:
    """Cut a face out of a picture as FFHQ's are.

    Args:
        image: RGB image.
        points: middle of the eye on the left, of that on the right, and of the mouth, (x, y)
            [pixels].

    Returns:
        RGB image of 512×512, upright; black, blurred at its edge, where the picture ends.
    """
    eye_left, eye_right, mouth = points.astype(np.float64)
    square = face_square(eye_left, eye_right, mouth)
    fine = cut_square(image, square, _FINER * REFERENCE_SIDE, _SHRINK_TOWARDS)
    return fine.resize((REFERENCE_SIDE, REFERENCE_SIDE), Resampling.LANCZOS)


def reference_image(image: Image, points: Float[np.ndarray, "3 2"]) -> ReferenceImage:
    """Return a face of a picture as a reference image, encoded without loss; see `aligned_face`."""
    buffer = BytesIO()
    aligned_face(image, points).save(buffer, "PNG")
    return ReferenceImage.of(buffer.getvalue())


def several_faces(found: FaceEmbeddings, place: int) -> str | None:
    """Say why a picture cannot be a reference image although its face is good; None where it can.

    Args:
        found: what an embedder found.
        place: number of the image.
    """
    faces = int(found.faces[place])
    return f"it shows {faces} faces; a reference image shows one" if faces > 1 else None
