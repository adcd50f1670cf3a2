"""From aligned faces to the network's input, as LibreFace does it.

LibreFace shrinks its crop of 512×512 to 256 (PIL, bilinear), cuts 224 out of the middle, and
normalises by the mean and deviation of ImageNet. For another `input_size` the proportions are kept.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import Image, Resampling
from torch import Tensor

from pipelines.libreface.network import INPUT_SIZE

RESIZED = 256
"""Side to which LibreFace shrinks a crop before it cuts out 224 [pixels]."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def resized_side(input_size: int) -> int:
    """Return the side that a crop is shrunk to for an input of this size [pixels]."""
    return round(input_size * RESIZED / INPUT_SIZE)


def face_pixels(
    crops: Sequence[Image], input_size: int = INPUT_SIZE
) -> Float[Tensor, "batch 3 size size"]:
    """Turn aligned face crops into the network's input.

    Args:
        crops: square RGB crops of any size.
        input_size: side of the input [pixels].

    Returns:
        Normalised pixels, float32, on the CPU.
    """
    cut = np.stack([_middle(crop, input_size) for crop in crops])  # [batch, size, size, 3]
    pixels = torch.from_numpy(cut).permute(0, 3, 1, 2).float().div_(255)
    mean = torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD).view(3, 1, 1)
    return pixels.sub_(mean).div_(std)


def _middle(crop: Image, input_size: int) -> np.ndarray:
    side = resized_side(input_size)
    if crop.size != (side, side):
        crop = crop.resize((side, side), Resampling.BILINEAR)
    start = round((side - input_size) / 2)
    return np.asarray(crop)[start : start + input_size, start : start + input_size]
