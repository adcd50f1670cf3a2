"""Images as the tensors that models learn from, and back."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image as PILImage
from PIL.Image import Image
from torch import Tensor
from torch.nn import functional


def to_pixels(image: Image) -> Float[Tensor, "3 h w"]:
    """Return an RGB image as float32 in [-1, 1]."""
    array = np.asarray(image.convert("RGB"), np.float32) / 127.5 - 1
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()


def sheet_of(rows: Sequence[Sequence[Float[Tensor, "3 h w"]]]) -> Image:
    """Return rows of pixels in [-1, 1], all of one size, as a picture; short rows end white."""
    lines = [torch.cat(list(row), -1) for row in rows]
    width = max(line.shape[-1] for line in lines)
    lines = [functional.pad(line, (0, width - line.shape[-1]), value=1.0) for line in lines]
    whole = torch.cat(lines, -2).clamp(-1, 1)
    return PILImage.fromarray(whole.add(1).mul(127.5).round().byte().permute(1, 2, 0).cpu().numpy())


def to_image(pixels: Float[Tensor, "3 h w"]) -> Image:
    """Return pixels in [-1, 1] as an RGB image; values outside are clipped."""
    return sheet_of([[pixels]])
