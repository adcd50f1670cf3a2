"""Augmentation of pictures, in numbers that the step alone decides.

They are others than those of the AU network: mirrored, toned and tinted, softened, erased in part.
Everything is drawn from torch's generator.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image as PILImage
from PIL.Image import Image
from torch import Tensor
from torch.nn import functional

from pipelines.training.data.config import BatchAugmentation


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


Pixels = Float[Tensor, "B 3 h w"]


def augment(
    pixels: Pixels, bounds: BatchAugmentation, side: int, mirrored: bool = True
) -> Float[Tensor, "B 3 {side} {side}"]:
    """Change portraits and cut a network's input out of them.

    Args:
        pixels: portraits [0–1], square.
        bounds: how often and how strong.
        side: side of the input [pixels].
        mirrored: whether half of them are mirrored, so that left and right are one.
    """
    pixels = _moved(pixels, bounds, side, mirrored)
    share = bounds.soften * _strength(pixels, bounds)
    pixels = torch.lerp(pixels, functional.avg_pool2d(pixels, 5, 1, 2), share)
    tone = torch.exp(bounds.gamma * _signed(pixels, bounds))
    tint = 1 + bounds.tint * _signed(pixels, bounds, channels=3)
    pixels = pixels.clamp(1e-4, 1) ** tone * tint
    pixels = pixels + bounds.noise * _strength(pixels, bounds) * torch.randn_like(pixels)
    return _erased(pixels.clamp(0, 1), bounds)


def middle(pixels: Pixels, side: int) -> Float[Tensor, "B 3 {side} {side}"]:
    """Cut a network's input out of unchanged portraits."""
    start = (pixels.shape[-1] - side) // 2
    return pixels[..., start : start + side, start : start + side]


def _moved(
    pixels: Pixels, bounds: BatchAugmentation, side: int, mirrored: bool
) -> Float[Tensor, "B 3 {side} {side}"]:
    count = len(pixels)
    change = _signed(pixels, bounds, channels=4).flatten(1)  # [B, 4]
    angle = bounds.rotation * change[:, 0]
    zoom = side / pixels.shape[-1] * (1 + bounds.scale * change[:, 1])
    chance = 0.5 if mirrored else 0.0
    turned = torch.where(torch.rand(count, device=pixels.device) < chance, -1.0, 1.0)
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    x, y = 2 * bounds.shift * change[:, 2], 2 * bounds.shift * change[:, 3]
    rows = [torch.stack([turned * cos, -sin, x], 1), torch.stack([turned * sin, cos, y], 1)]
    size = [count, 3, side, side]
    grid = functional.affine_grid(torch.stack(rows, 1), size, align_corners=False)
    return functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)


def _erased(pixels: Pixels, bounds: BatchAugmentation) -> Pixels:
    """Put a square of one colour somewhere."""
    side = bounds.erase * _strength(pixels, bounds)
    places = torch.linspace(0, 1, pixels.shape[-1], device=pixels.device)
    corner = torch.rand(len(pixels), 2, 1, 1, 1, device=pixels.device) * (1 - side)[:, None]
    across, down = places.view(1, 1, 1, -1), places.view(1, 1, -1, 1)
    inside = (across >= corner[:, 0]) & (across < corner[:, 0] + side)
    inside = inside & (down >= corner[:, 1]) & (down < corner[:, 1] + side)
    colour = torch.rand(len(pixels), 3, 1, 1, device=pixels.device)
    return torch.where(inside, colour, pixels)


def _strength(pixels: Pixels, bounds: BatchAugmentation) -> Float[Tensor, "B 1 1 1"]:
    """Draw a strength [0–1] for each portrait; 0 where it is left unchanged."""
    drawn = torch.rand(2, len(pixels), 1, 1, 1, device=pixels.device)
    return torch.where(drawn[0] < bounds.chance, drawn[1], 0.0)


def _signed(
    pixels: Pixels, bounds: BatchAugmentation, channels: int = 1
) -> Float[Tensor, "B channels 1 1"]:
    """Draw strengths in [-1, 1]; 0 where a portrait is left unchanged."""
    chosen = torch.rand(len(pixels), 1, 1, 1, device=pixels.device) < bounds.chance
    drawn = 2 * torch.rand(len(pixels), channels, 1, 1, device=pixels.device) - 1
    return torch.where(chosen, drawn, 0.0)
