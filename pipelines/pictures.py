"""Pictures from outside as upright RGB: what each kind of pixel means, within bounds."""

import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from synthgen.errors import PictureError
from synthgen.foreign import first_line, regular_file

ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Endings of pictures that are looked for in folders, in lower case."""

LARGEST_PIXELS = 64 << 20
"""Pixels of a picture that are read at most: 67 million, 200 MB as RGB."""

_LARGEST_FILE = 1 << 30
_ORIENTATION = 0x0112
_UPRIGHT = (None, 1)
_WHITE_16 = 65535
_IN_16_BITS = ("PNG", "PPM")
_PLAIN = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV")
_SEE_THROUGH = ("LA", "La", "PA", "RGBA", "RGBa")


def open_picture(source: Path | bytes) -> Image.Image:
    """Read a picture as upright RGB.

    Args:
        source: its file, or what such a file holds.

    Returns:
        Its first frame, by what `to_rgb` says.

    Raises:
        PictureError: with the reason, if it is no regular file, too large, no picture, or of pixels
            that mean no colour.
    """
    if isinstance(source, Path):
        _check_file(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # judged just below
            image = Image.open(BytesIO(source) if isinstance(source, bytes) else source)
        with image:
            _refuse_large(image)
            image.load()
            return to_rgb(image)
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError("it is no picture of a kind that is known") from error
    except Exception as error:  # of Pillow's many readers, each of which fails in its own way
        raise PictureError(f"it cannot be read: {first_line(error)}") from error


def picture_bytes(path: Path) -> bytes:
    """Read the bytes of a picture's file, for `open_picture`.

    Raises:
        PictureError: with the reason, if it is no regular file, too large, or cannot be read.
    """
    _check_file(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise PictureError(f"it cannot be read: {error.strerror or first_line(error)}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Return a picture as upright RGB, by what its pixels mean.

    16-bit grey is scaled from its own white, transparency shows white instead of the colour that
    lies hidden under it, and a camera's orientation is applied. An upright RGB picture is returned
    as it is.

    Args:
        image: a picture of any mode of Pillow's.

    Raises:
        PictureError: if its pixels mean no colour, as those of numbers without a known white.
    """
    kind, orientation = image.format, image.getexif().get(_ORIENTATION)
    if orientation not in _UPRIGHT:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and kind in _IN_16_BITS):
        return _of_16_bits(image)
    if image.mode in _SEE_THROUGH or (image.mode in _PLAIN and image.has_transparency_data):
        return _on_white(image)
    if image.mode not in _PLAIN:
        raise PictureError(
            f"its pixels are of the kind {image.mode!r}, for which no white is known; save it as "
            "RGB, or as grey of 8 or 16 bits"
        )
    return image if image.mode == "RGB" else image.convert("RGB")


def all_rgb(images: Sequence[Image.Image]) -> list[Image.Image]:
    """Return pictures as `to_rgb` does.

    Raises:
        PictureError: as `to_rgb`, with the number of the picture.
    """
    found = []
    for number, image in enumerate(images):
        try:
            found.append(to_rgb(image))
        except PictureError as error:
            raise PictureError(f"image {number} (from 0) cannot be used: {error}") from error
    return found


def _of_16_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).clip(0, _WHITE_16).astype(np.uint32)
    grey = (values * 255 + _WHITE_16 // 2) // _WHITE_16
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    whole = image.convert({"La": "LA", "RGBa": "RGBA"}.get(image.mode, image.mode)).convert("RGBA")
    white = Image.new("RGBA", whole.size, "white")
    white.alpha_composite(whole)
    return white.convert("RGB")


def _check_file(path: Path) -> None:
    regular_file(path, "the picture", PictureError, _LARGEST_FILE)


def _refuse_large(image: Image.Image) -> None:
    if image.width * image.height > LARGEST_PIXELS:
        raise PictureError(
            f"it has {image.width:,} × {image.height:,} pixels; at most {LARGEST_PIXELS:,} are "
            "read: make it smaller"
        )
