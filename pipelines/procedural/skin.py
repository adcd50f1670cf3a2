"""Painting of the head's skin: a relief of bumps and hollows lit by one lamp, and its colours.

The height is an ellipsoid plus a sum of axis-parallel Gaussians. Such a sum factors into a product
of two small matrices, one for the rows and one for the columns, so that a field of dozens of bumps
costs less than a millisecond. Sums run in fixed order (einsum, not BLAS).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from pipelines.procedural.canvas import Colour, Point, mix, skia, smooth_path
from pipelines.procedural.geometry import Face
from pipelines.procedural.relief import Bump, both, muscles


@dataclass(frozen=True, slots=True)
class Skin:
    """Surface that `shade` lights.

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
    """Direction towards the light (y down, z to the viewer), colour temperature and strength."""

    direction: tuple[float, float, float]
    warmth: float
    strength: float = 0.0


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
    around, direct = 0.36 - 0.11 * lamp.strength, 0.80 + 0.12 * lamp.strength
    intensity = (around + direct * np.maximum(0.12 + 0.88 * facing, 0.0)) * occlusion
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


_FINEST = 1 / 112
"""Distance of two pixels of the relief: finer is not to be seen after interpolation."""


_TINT = {1: 1.0, 2: 1.7}
"""Edition → how far the colour of the light goes."""


def lamp_of(face: Face) -> Lamp:
    """Return the light on a face."""
    identity = face.identity
    tint = _TINT[identity.edition] * identity.warmth
    return Lamp(identity.light, tint, identity.light_strength)


def draw_skin(canvas: skia.Canvas, face: Face) -> skia.Path:
    """Paint the head without eyes, brows and mouth.

    Returns:
        The contour, for what is clipped to it.
    """
    path = smooth_path(face.outline)
    bounds = path.getBounds()
    left, top = bounds.left() - 0.01, bounds.top() - 0.01
    pixels = shade(
        _skin(face),
        lamp_of(face),
        left,
        top,
        bounds.right() + 0.01,
        bounds.bottom() + 0.01,
        _FINEST,
    )
    image = skia.Image.fromarray(pixels, skia.kRGBA_8888_ColorType)
    matrix = skia.Matrix.Scale(_FINEST, _FINEST)
    matrix.postTranslate(left, top)
    shader = image.makeShader(
        skia.TileMode.kClamp,
        skia.TileMode.kClamp,
        skia.SamplingOptions(skia.FilterMode.kLinear),
        matrix,
    )
    canvas.drawPath(path, skia.Paint(AntiAlias=True, Shader=shader))
    return path


def blush_colour(skin: Colour) -> Colour:
    """Return the colour of well-perfused skin."""
    return mix(skin, (skin[0] * 0.95, skin[1] * 0.58, skin[2] * 0.58), 0.7)


def _skin(face: Face) -> Skin:
    identity = face.identity
    centre_y = (face.top + face.chin) / 2
    return Skin(
        centre=(face.place(0.0, centre_y)[0], face.place(0.0, centre_y)[1]),
        radii=(face.half_width * 1.04, (face.chin - face.top) / 2 * 1.04),
        bumps=[*_placed(face, _bones(face)), *_placed(face, muscles(face))],
        hollows=_placed(face, _hollows(face)),
        blush=_placed(face, _blush(face)),
        beard=_placed(face, _beard(face)),
        colour=identity.skin_colour,
        blush_colour=blush_colour(identity.skin_colour),
        beard_colour=mix(identity.hair_colour, identity.skin_colour, 0.12),
        gloss=0.10 + 0.06 * (1 - face.efforts.age),
    )


def _placed(face: Face, bumps: list[Bump]) -> list[Bump]:
    return [(*face.place(x, y, 0.02), sx, sy, amount) for x, y, sx, sy, amount in bumps]


def _bones(face: Face) -> list[Bump]:
    """Return the relief at rest: forehead, brow ridge, sockets, nose, cheekbones, lips, chin."""
    identity, nose, mouth = face.identity, face.nose, face.mouth
    man = 1.0 if identity.person == "man" else 0.45
    age, tip = face.efforts.age, 1 + 0.14 * identity.nose_tip
    middle = (mouth.upper_top + mouth.lower_bottom) / 2
    paired = both(
        [
            (0.085, 0.255, 0.070, 0.060, 0.008),
            (0.100, 0.388, 0.055, 0.020, 0.007 + 0.006 * man + 0.0025 * identity.brow_ridge),
            (0.112, 0.452, 0.046, 0.030, -0.014 - 0.0035 * identity.sockets),
            (0.115, 0.450, 0.034, 0.020, 0.010),
            (0.042, 0.445, 0.018, 0.026, -0.008),
            (0.165, 0.535, 0.042, 0.034, 0.011 + 0.002 * identity.cheek),
            (0.110, 0.520 + 0.006 * age, 0.036, 0.012, -0.0022 - 0.0045 * age),
            (0.155, 0.655, 0.040, 0.050, -0.007 - 0.008 * age + 0.0055 * identity.flesh),
            (nose.half_width * 0.78, nose.wing - 0.006, 0.013, 0.015, 0.014),
            (0.195, 0.760, 0.040, 0.040, 0.004 + 0.006 * age),
        ]
    )
    return [
        *paired,
        (0.0, 0.485, nose.bridge * 1.05, 0.060, 0.015),
        (0.0, 0.550, nose.bridge * 1.15, 0.042, 0.013),
        (0.0, nose.tip - 0.004, 0.022 * tip, 0.021 * tip, 0.023 * tip),
        (0.0, 0.425, 0.020, 0.020, -0.005),
        (0.0, middle, 0.075, 0.050, 0.012),
        (0.0, mouth.upper_top - 0.022, 0.007, 0.016, -0.003),
        (0.0, mouth.lower_bottom + 0.016, 0.040, 0.012, -0.008),
        (0.0, face.chin - 0.045, 0.045, 0.032, 0.014 + 0.002 * identity.chin_width),
    ]


def _hollows(face: Face) -> list[Bump]:
    """Return where little light gets to, and (negative) where tissue catches it."""
    e, nose, mouth, identity = face.efforts, face.nose, face.mouth, face.identity
    age, low = e.age, max(e.brow_low, 0.0)
    corner_x, corner_y = mouth.right
    paired = both(
        [
            (0.100, 0.425, 0.042, 0.012, 0.20 + 0.16 * low + 0.06 * identity.sockets),
            (0.048, 0.440, 0.016, 0.022, 0.13 + 0.10 * low),
            (0.105, 0.482, 0.036, 0.010, 0.07 + 0.17 * age),
            (corner_x + 0.004, corner_y + 0.002, 0.010, 0.010, 0.18 + 0.12 * e.smile),
            (nose.half_width + 0.008, nose.wing + 0.002, 0.010, 0.016, 0.22),
            (0.030, nose.base + 0.004, 0.020, 0.008, 0.24),
            (0.235, 0.33, 0.030, 0.070, 0.10),
            (0.130, 0.528 - 0.012 * max(e.cheek, 0.0), 0.040, 0.014, -0.12 * max(e.cheek, 0.0)),
            (0.145, 0.600 - 0.020 * e.smile, 0.030, 0.024, -0.12 * e.smile),
        ]
    )
    return [
        *paired,
        (0.0, nose.base + 0.006, 0.022, 0.010, 0.30),
        (0.0, mouth.lower_bottom + 0.013, 0.036, 0.010, 0.20 + 0.22 * e.chin_raise),
        (0.0, face.chin + 0.010, 0.110, 0.018, 0.24),
        (0.0, face.chin - 0.060, 0.030, 0.016, -0.12 * e.chin_raise),
        (0.0, 0.10, 0.20, 0.05, 0.14 if identity.hair_style != "bald" else 0.0),
    ]


def _blush(face: Face) -> list[Bump]:
    amount = 0.16 + 0.26 * face.identity.blush + 0.12 * face.identity.makeup
    paired = both(
        [
            (0.145, 0.575, 0.050, 0.038, amount),
            (0.105, 0.475, 0.040, 0.016, 0.16),
            (0.030, face.nose.wing, 0.020, 0.020, 0.10),
        ]
    )
    return [
        *paired,
        (0.0, face.nose.tip, 0.026, 0.022, 0.30),
        (0.0, face.chin - 0.05, 0.04, 0.03, 0.14),
    ]


def _beard(face: Face) -> list[Bump]:
    """Return the density of beard hair over the skin."""
    kind, mouth, chin = face.identity.beard, face.mouth, face.chin
    if kind == "none" or face.identity.edition > 1:
        return []
    jaw = chin - 0.866
    moustache: list[Bump] = [
        *both(
            [
                (0.022, mouth.upper_top - 0.016, 0.016, 0.009, 0.75),
                (0.052, mouth.upper_top - 0.011, 0.018, 0.009, 0.85),
            ]
        ),
    ]
    goatee: list[Bump] = [
        (0.0, chin - 0.012, 0.060, 0.020, 0.95),
        *both(
            [
                (0.094, 0.725 + 0.3 * jaw, 0.012, 0.026, 0.75),
                (0.082, 0.775 + 0.6 * jaw, 0.020, 0.028, 0.85),
                (0.060, 0.815 + 0.9 * jaw, 0.024, 0.024, 0.60),
            ]
        ),
    ]
    cheeks: list[Bump] = both(
        [
            (0.245, 0.560, 0.016, 0.060, 0.80),
            (0.225, 0.640 + 0.2 * jaw, 0.024, 0.045, 0.75),
            (0.195, 0.710 + 0.5 * jaw, 0.034, 0.040, 0.80),
            (0.150, 0.770 + 0.7 * jaw, 0.042, 0.034, 0.80),
            (0.105, 0.820 + 0.9 * jaw, 0.045, 0.026, 0.70),
        ]
    )
    if kind == "moustache":
        return moustache
    if kind == "goatee":
        return [*moustache, *goatee]
    density = 0.30 if kind == "stubble" else 0.92
    return [
        (x, y, sx, sy, amount * density) for x, y, sx, sy, amount in (*moustache, *goatee, *cheeks)
    ]
