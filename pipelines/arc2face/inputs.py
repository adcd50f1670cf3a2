"""Inputs of a call: reference images as the VAE takes them, sizes, the number of samples."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from pipelines.pictures import to_rgb
from synthgen.errors import FaceEmbeddingError, PictureError

References = Any
"""A PIL image; a tensor [3, h, w] or [batch, 3, h, w] in [−1, 1]; a list of these and of None."""

_ROUNDING = 1e-3


def reference_batch(
    given: References, height: int, width: int
) -> list[Float[Tensor, "3 height width"] | None]:
    """Return reference images in [−1, 1], as large as the images that are painted.

    Args:
        given: a PIL image of any size that has the shape of the images, which is scaled; a tensor
            [3, height, width] or [batch, 3, height, width] in [−1, 1]; or a list of these, with
            None for a sample without a reference.
        height: height of the images [pixels].
        width: their width.

    Raises:
        PictureError: if one is neither, has another shape, or holds numbers outside [−1, 1].
    """
    if isinstance(given, Tensor) and given.ndim == 4:
        given = list(given)
    images = list(given) if isinstance(given, list | tuple) else [given]
    if not images:
        raise PictureError("reference_image is empty; give an image for all samples or for each")
    return [_reference(image, number, height, width) for number, image in enumerate(images)]


def _reference(image: Any, number: int, height: int, width: int) -> Tensor | None:
    what = f"reference image {number} (from 0)"
    if image is None:
        return None
    if isinstance(image, Tensor):
        return _from_tensor(image, what, height, width)
    if not isinstance(image, Image.Image):
        raise PictureError(
            f"{what} is of the type {type(image).__name__}; it must be a PIL image, a tensor "
            "[3, height, width] in [−1, 1], or None"
        )
    if image.width * height != image.height * width:
        raise PictureError(
            f"{what} has {image.width} × {image.height} pixels; it must have the shape of the "
            f"images, {width} × {height}: cut the face out as in FFHQ first"
        )
    try:
        picture = to_rgb(image)
    except PictureError as error:
        raise PictureError(f"{what} cannot be used: {error}") from error
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    pixels = np.asarray(picture, dtype=np.float32) / 127.5 - 1  # [height, width, 3]
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _from_tensor(image: Tensor, what: str, height: int, width: int) -> Tensor:
    if list(image.shape) != [3, height, width]:
        raise PictureError(
            f"{what} is a tensor of shape {list(image.shape)}; it must be [3, {height}, {width}], "
            "as large as the images"
        )
    pixels = image.detach().float()
    if not pixels.isfinite().all() or pixels.abs().max() > 1 + _ROUNDING:
        raise PictureError(
            f"{what} holds numbers from {pixels.min():g} to {pixels.max():g}; a tensor's must lie "
            "in [−1, 1]"
        )
    return pixels


def image_size(
    height: int | None, width: int | None, own: int | Sequence[int], scale: int
) -> tuple[int, int]:
    """Return height and width of the images of a call [pixels], as Stable Diffusion chooses them.

    Args:
        height: the one asked for; None: the base's own of both.
        width: likewise.
        own: `sample_size` of the UNet.
        scale: pixels of a cell of the latents.
    """
    if height and width:
        return height, width
    rows, columns = (own, own) if isinstance(own, int) else own
    return rows * scale, columns * scale


def sample_count(rows: Mapping[str, int]) -> int:
    """Return how many samples a call has, of which each input has one row for all or one for each.

    Args:
        rows: what the input is called → its rows.

    Raises:
        FaceEmbeddingError: if two inputs have several rows and not equally many.
    """
    samples = max(rows.values())
    if any(count not in (1, samples) for count in rows.values()):
        counts = ", ".join(f"{count} of {name}" for name, count in rows.items())
        raise FaceEmbeddingError(
            f"rows that do not go together: {counts}; give one for all samples, or one for each"
        )
    return samples
