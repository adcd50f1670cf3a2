"""Drawing primitives on a skia canvas whose unit is the side of the image."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from synthgen.errors import MissingDependencyError

try:
    import skia
except ImportError as error:
    raise MissingDependencyError(
        f"procedural faces need skia ({error}); pip install skia-python, and on a system without "
        "graphics libraries: apt install libegl1 libgl1"
    ) from error

Point = tuple[float, float]
"""(x, y) in fractions of the image's side, y down."""

Colour = tuple[float, float, float]
"""Red, green, blue [0–1]."""


def mix(a: Colour, b: Colour, t: float) -> Colour:
    """Blend two colours: `a` at t = 0, `b` at t = 1."""
    return (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t)


def scale(colour: Colour, factor: float) -> Colour:
    """Darken (factor < 1) or lighten a colour, clipped to white."""
    return (
        min(colour[0] * factor, 1.0),
        min(colour[1] * factor, 1.0),
        min(colour[2] * factor, 1.0),
    )


def shadow(colour: Colour, light: float) -> Colour:
    """Dim skin to `light` (1 leaves it): red falls least, as in flesh that scatters light."""
    return (colour[0] * light**0.82, colour[1] * light**1.10, colour[2] * light**1.22)


def lerp(a: Point, b: Point, t: float) -> Point:
    """Return the point at t between a (0) and b (1)."""
    return (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t)


def smooth_path(points: Sequence[Point], closed: bool = True) -> skia.Path:
    """Return a Catmull-Rom curve through the points."""
    if closed:
        before, joined = points[-1], [*points, points[0], points[1]]
    else:
        before, joined = points[0], [*points, points[-1]]
    path = skia.Path()
    path.moveTo(*points[0])
    ax, ay = before
    bx, by = points[0]
    cx, cy = joined[1]
    for dx, dy in joined[2:]:
        path.cubicTo(
            bx + (cx - ax) / 6, by + (cy - ay) / 6, cx - (dx - bx) / 6, cy - (dy - by) / 6, cx, cy
        )
        ax, ay, bx, by, cx, cy = bx, by, cx, cy, dx, dy
    if closed:
        path.close()
    return path


def lens_path(start: Point, control: Point, end: Point, width: float) -> skia.Path:
    """Return a curved stroke that is `width` thick in its middle and tapers to both ends."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = max((dx * dx + dy * dy) ** 0.5, 1e-6)
    nx, ny = -dy / length * width, dx / length * width
    path = skia.Path()
    path.moveTo(*start)
    path.quadTo(control[0] + nx, control[1] + ny, *end)
    path.quadTo(control[0] - nx, control[1] - ny, *start)
    path.close()
    return path


def fill_paint(colour: Colour, alpha: float = 1.0, blur: float = 0.0) -> skia.Paint:
    """Return an anti-aliased fill.

    Args:
        colour: its colour.
        alpha: opacity [0–1].
        blur: standard deviation of a blur of the edge [fraction of the side].
    """
    paint = skia.Paint(AntiAlias=True, Color4f=skia.Color4f(*colour, alpha))
    if blur > 0:
        paint.setMaskFilter(skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, blur))
    return paint


def stroke_paint(colour: Colour, width: float, alpha: float = 1.0, blur: float = 0.0) -> skia.Paint:
    """Return an anti-aliased stroke with round ends; arguments as for `fill_paint`."""
    paint = fill_paint(colour, alpha, blur)
    paint.setStyle(skia.Paint.kStroke_Style)
    paint.setStrokeWidth(width)
    paint.setStrokeCap(skia.Paint.kRound_Cap)
    paint.setStrokeJoin(skia.Paint.kRound_Join)
    return paint


def argb(colour: Colour, alpha: float = 1.0) -> int:
    """Pack a colour as skia's 32-bit ARGB; parts outside [0, 1] are clipped."""
    packed = _byte(alpha) << 24
    return packed | _byte(colour[0]) << 16 | _byte(colour[1]) << 8 | _byte(colour[2])


def _byte(part: float) -> int:
    return 0 if part <= 0.0 else 255 if part >= 1.0 else int(part * 255.0 + 0.5)


def linear_paint(start: Point, end: Point, stops: Sequence[tuple[float, int]]) -> skia.Paint:
    """Return a fill with a linear gradient; `stops` are (position [0–1], packed colour)."""
    shader = skia.GradientShader.MakeLinear(
        [start, end], [colour for _, colour in stops], [position for position, _ in stops]
    )
    return skia.Paint(AntiAlias=True, Shader=shader)


def radial_paint(centre: Point, radius: float, stops: Sequence[tuple[float, int]]) -> skia.Paint:
    """Return a fill with a radial gradient; `stops` as for `linear_paint`."""
    shader = skia.GradientShader.MakeRadial(
        centre, radius, [colour for _, colour in stops], [position for position, _ in stops]
    )
    return skia.Paint(AntiAlias=True, Shader=shader)


def soft_spot(
    canvas: skia.Canvas, centre: Point, radii: Point, colour: Colour, alpha: float
) -> None:
    """Paint an ellipse that fades out towards its edge."""
    if alpha <= 0.0:
        return
    canvas.save()
    canvas.translate(*centre)
    canvas.scale(*radii)
    clear = argb(colour, 0.0)
    colours = [_byte(alpha) << 24 | clear, _byte(alpha * 0.45) << 24 | clear, clear]
    shader = skia.GradientShader.MakeRadial((0.0, 0.0), 1.0, colours, [0.0, 0.55, 1.0])
    canvas.drawCircle(0.0, 0.0, 1.0, skia.Paint(AntiAlias=True, Shader=shader))
    canvas.restore()


def new_canvas(size: int) -> tuple[skia.Surface, skia.Canvas]:
    """Return a surface of size × size pixels and its canvas with the unit coordinates."""
    surface = skia.Surface.MakeRaster(
        skia.ImageInfo.Make(size, size, skia.kRGBA_8888_ColorType, skia.kOpaque_AlphaType)
    )
    canvas = surface.getCanvas()
    canvas.scale(size, size)
    return surface, canvas


def to_image(surface: skia.Surface) -> Image.Image:
    """Copy a surface into a PIL RGB image."""
    pixels = np.empty((surface.height(), surface.width(), 4), np.uint8)
    info = skia.ImageInfo.Make(
        surface.width(), surface.height(), skia.kRGBA_8888_ColorType, skia.kOpaque_AlphaType
    )
    surface.readPixels(info, pixels, pixels.strides[0], 0, 0)
    return Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
