"""Cut an oriented square out of an image, to the pixel as LibreFace's own aligner does.

Large images are first shrunk by a whole factor, then cut near the face; where the square sticks out
of the image, the image is padded with black whose edge is blurred and faded to the image's median
colour (the padding of FFHQ's alignment). LibreFace asks Pillow for `Image.ANTIALIAS` when it
shrinks, which Pillow 10 removed; it was another name of LANCZOS, which is used here.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from pipelines.libreface.geometry import FaceSquare
from pipelines.libreface.softening import blend_blurred

CROP_SIDE = 512
"""Side of LibreFace's aligned crop [pixels]."""

_SHRINK_TOWARDS = 512  # a face is shrunk while twice this or more of it is left [pixels]
_BORDER = 0.1  # of the square's side, kept around it
_PADDING = 0.3  # of the square's side, where padding is needed at all
_BLUR = 0.02  # of the square's side


def cut_square(image: Image.Image, square: FaceSquare) -> Image.Image:
    """Cut a square out of an RGB image and turn it upright.

    Args:
        image: RGB image.
        square: what to cut out, in the image's pixels; it may stick out of the image.

    Returns:
        RGB crop of 512×512.
    """
    image, corners, side = _shrink(image, square.corners, square.side)
    border = max(round(side * _BORDER), 3)
    image, corners = _cut_around(image, corners, border)
    image, corners = _pad(image, corners, side, border)
    return image.transform(
        (CROP_SIDE, CROP_SIDE),
        Image.Transform.QUAD,
        (corners + 0.5).flatten().tolist(),
        Image.Resampling.BILINEAR,
    )


def _shrink(
    image: Image.Image, corners: np.ndarray, side: float
) -> tuple[Image.Image, np.ndarray, float]:
    factor = int(side / _SHRINK_TOWARDS)
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
