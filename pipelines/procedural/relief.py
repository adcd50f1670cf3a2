"""The shaded skin of a head: a height field of soft bumps, lit by one lamp.

The height is an ellipsoid plus a sum of axis-parallel Gaussians. Such a sum factors into a product
of two small matrices, one for the rows and one for the columns, so that a field of dozens of bumps
costs less than a millisecond. Sums run in fixed order (einsum, not BLAS).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from pipelines.procedural.canvas import Colour, Point

Bump = tuple[float, float, float, float, float]
"""x, y, standard deviations in x and y, amount."""


@dataclass(frozen=True, slots=True)
class Skin:
    """What `shade` lights.

    Attributes:
        centre, radii: of the ellipsoid in the image.
        bumps: heights [fraction of the side].
        hollows: occlusion; amounts darken, negative ones lighten.
        blush: where the skin is redder; amounts [0–1].
        beard: where hair of the beard's colour covers the skin; amounts [0–1].
        colour, blush_colour, beard_colour: before shading.
        gloss: strength of the highlights.
    """

    centre: Point
    radii: Point
    bumps: Sequence[Bump]
    hollows: Sequence[Bump]
    blush: Sequence[Bump]
    beard: Sequence[Bump]
    colour: Colour
    blush_colour: Colour
    beard_colour: Colour
    gloss: float


@dataclass(frozen=True, slots=True)
class Lamp:
    """Direction towards the light (y down, z to the viewer) and its colour temperature."""

    direction: tuple[float, float, float]
    warmth: float


def shade(
    skin: Skin, lamp: Lamp, left: float, top: float, right: float, bottom: float, step: float
) -> UInt8[np.ndarray, "rows columns 4"]:
    """Light the skin over a box of the image.

    Args:
        skin: what to light.
        lamp: the light.
        left: left edge of the box; as the other edges a fraction of the side.
        top: upper edge.
        right: right edge.
        bottom: lower edge.
        step: distance of two pixels.

    Returns:
        Opaque RGBA pixels; pixel (0, 0) is centred half a step inside the box's corner.
    """
    x = np.arange(left + step / 2, right, step, dtype=np.float32)
    y = np.arange(top + step / 2, bottom, step, dtype=np.float32)
    intensity, gloss = _light(skin, lamp, x, y)
    colour = _albedo(skin, x, y)
    warm = lamp.warmth * 0.035
    dark = np.minimum(intensity, 1.0)
    bright = np.maximum(intensity - 1.0, 0.0)
    pixels = np.empty((len(y), len(x), 4), np.uint8)
    falls = ((0.86, 1.0 + warm), (1.10, 1.0), (1.18, 1.0 - warm))
    for channel, (fall, tint) in enumerate(falls):
        value = colour[channel] * dark**fall * tint
        value += (1.0 - value) * (0.36 * bright) + gloss
        pixels[..., channel] = np.clip(value * 255.0 + 0.5, 0.0, 255.0)
    pixels[..., 3] = 255
    return pixels


def _light(
    skin: Skin, lamp: Lamp, x: Float[np.ndarray, " columns"], y: Float[np.ndarray, " rows"]
) -> tuple[Float[np.ndarray, "rows columns"], Float[np.ndarray, "rows columns"]]:
    """Return intensity (about 1 where the skin faces the lamp) and highlights."""
    u = (x - skin.centre[0]) / skin.radii[0]
    v = (y - skin.centre[1]) / skin.radii[1]
    slope_x, slope_y = _slopes(skin.bumps, x, y)
    nx = (1.05 * np.sign(u) * np.abs(u) ** 2.0)[None, :] - slope_x
    ny = (0.62 * np.sign(v) * np.abs(v) ** 2.0)[:, None] - slope_y
    norm = 1.0 / np.sqrt(1.0 + nx * nx + ny * ny)
    lx, ly, lz = lamp.direction
    toward = nx * lx + ny * ly + lz
    facing = toward * norm
    half = 1.0 / np.sqrt(2.0 + 2.0 * lz)
    mirror = np.maximum((toward + 1.0) * norm * half, 0.0)
    occlusion = np.exp(-_field(skin.hollows, x, y))
    intensity = (0.36 + 0.80 * np.maximum(0.12 + 0.88 * facing, 0.0)) * occlusion
    mirror *= mirror
    mirror *= mirror
    mirror *= mirror
    mirror *= mirror
    return intensity, skin.gloss * mirror * mirror * occlusion


def _albedo(
    skin: Skin, x: Float[np.ndarray, " columns"], y: Float[np.ndarray, " rows"]
) -> list[Float[np.ndarray, "rows columns"]]:
    blush = np.clip(_field(skin.blush, x, y), 0.0, 1.0)
    beard = np.clip(_field(skin.beard, x, y), 0.0, 1.0) if skin.beard else None
    channels = []
    for base, red, hair in zip(skin.colour, skin.blush_colour, skin.beard_colour, strict=True):
        channel = base + (red - base) * blush
        if beard is not None:
            channel += (hair - channel) * beard
        channels.append(channel)
    return channels


def _field(
    bumps: Sequence[Bump], x: Float[np.ndarray, " columns"], y: Float[np.ndarray, " rows"]
) -> Float[np.ndarray, "rows columns"]:
    table = np.array(bumps, np.float32)
    _, across = _bells(x, table[:, 0:1], table[:, 2:3])
    _, down = _bells(y, table[:, 1:2], table[:, 3:4])
    return np.einsum("ki,kj->ij", table[:, 4:5] * down, across)


def _slopes(
    bumps: Sequence[Bump], x: Float[np.ndarray, " columns"], y: Float[np.ndarray, " rows"]
) -> tuple[Float[np.ndarray, "rows columns"], Float[np.ndarray, "rows columns"]]:
    table = np.array(bumps, np.float32)
    dx, across = _bells(x, table[:, 0:1], table[:, 2:3])
    dy, down = _bells(y, table[:, 1:2], table[:, 3:4])
    down = table[:, 4:5] * down
    across_slope = -dx / table[:, 2:3] * across
    down_slope = -dy / table[:, 3:4] * down
    return np.einsum("ki,kj->ij", down, across_slope), np.einsum("ki,kj->ij", down_slope, across)


def _bells(
    at: Float[np.ndarray, " positions"],
    centres: Float[np.ndarray, "bumps 1"],
    widths: Float[np.ndarray, "bumps 1"],
) -> tuple[Float[np.ndarray, "bumps positions"], Float[np.ndarray, "bumps positions"]]:
    """Return distances [standard deviations] and the bells' values."""
    distance = (at[None, :] - centres) / widths
    return distance, np.exp(-0.5 * distance * distance)
