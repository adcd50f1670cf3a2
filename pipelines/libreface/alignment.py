"""Find the face that is to be measured, and cut it out the way the network learnt it."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from PIL.Image import Image, Resampling

from pipelines.libreface.cutting import CROP_SIDE
from pipelines.libreface.geometry import face_square
from pipelines.procedural.position import EYE_LEFT, EYE_RIGHT, MOUTH


@dataclass(frozen=True, slots=True)
class Alignment:
    """The face that is measured in an image.

    Attributes:
        faces: number of faces found.
        crop: upright RGB square of the largest face, or None where there is no face.
    """

    faces: int
    crop: Image | None


@runtime_checkable
class Aligner(Protocol):
    """Cuts out the largest face of an image."""

    packages: tuple[str, ...]
    """Packages whose versions the crop is a function of."""

    def align(self, image: Image) -> Alignment:
        """Find the largest face of an RGB image; none is an answer, not an error."""
        ...


class CenteredAligner:
    """Cuts where drawn and mini faces stand, without looking: there is always one face.

    The square is that of LibreFace's formula for the eyes and mouth of `position.py`. It stands
    upright and inside the image, so it is resampled once, straight to the side that the network is
    fed from, instead of through a crop of 512×512. Of an image that is not square the middle square
    is taken.

    Args:
        side: side of the crop [pixels].
    """

    packages: tuple[str, ...] = ("pillow",)

    def __init__(self, side: int = CROP_SIDE) -> None:
        self.side = side

    def align(self, image: Image) -> Alignment:
        """Cut the face out of a drawn or mini portrait."""
        length = min(image.size)
        left, top = (image.width - length) / 2, (image.height - length) / 2
        square = face_square(*(length * np.array(point) for point in (EYE_LEFT, EYE_RIGHT, MOUTH)))
        (x0, y0), (x1, y1) = square.corners[0], square.corners[2]
        box = (left + x0, top + y0, left + x1, top + y1)
        crop = image.resize((self.side, self.side), Resampling.BILINEAR, box=box)
        return Alignment(faces=1, crop=crop)
