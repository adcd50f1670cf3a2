"""Glasses of the second edition: three shapes, with frames of two pixels in a portrait of 128."""

from pipelines.procedural.canvas import (
    Point,
    argb,
    linear_paint,
    scale,
    skia,
    smooth_path,
    stroke_paint,
)
from pipelines.procedural.geometry import Eye, Face

_SHAPES = (
    (0.076, 0.070, 2.0, 0.014, 0.0150),
    (0.090, 0.054, 5.0, 0.010, 0.0175),
    (0.098, 0.084, 2.7, 0.020, 0.0135),
)
"""Round, rectangular, large: half width and height, roundness (2: an ellipse), drop, frame."""

_QUARTER = ((1.0, 0.0), (0.924, 0.383), (0.707, 0.707), (0.383, 0.924))


def draw_thick_glasses(canvas: skia.Canvas, face: Face) -> None:
    """Paint frames around the eyes, a bridge, temples, and what the lenses reflect."""
    identity = face.identity
    wide, high, roundness, drop, frame = _SHAPES[identity.glasses_shape]
    colour = identity.glasses_colour
    paint = stroke_paint(colour, frame, 1.0)
    inner = abs(face.eyes[0].centre[0]) * 1.04 - wide
    wide = wide + min(inner - 0.012, 0.0)
    rims = skia.Path()
    for eye in face.eyes:
        x, y = eye.centre[0] * 1.04, eye.centre[1] + drop
        rim = smooth_path(rim_points(face, x, y, wide, high, roundness))
        rims.addPath(rim)
        _draw_lens(canvas, rim)
    for eye in face.eyes:
        _add_temple(rims, face, eye, wide)
    inner = max(abs(face.eyes[0].centre[0]) * 1.04 - wide, 0.006)
    over = [(-inner, 0.456), (0.0, 0.444), (inner, 0.456)]
    rims.addPath(smooth_path([face.place(x, y, 0.045) for x, y in over], closed=False))
    canvas.save()
    canvas.translate(-0.008 * identity.light[0], 0.009)
    canvas.drawPath(rims, stroke_paint((0.05, 0.02, 0.02), frame, 0.20, blur=0.003))
    canvas.restore()
    canvas.drawPath(rims, paint)
    canvas.translate(0.0, -0.18 * frame)
    canvas.drawPath(rims, stroke_paint(scale(colour, 1.8), 0.22 * frame, 0.45))
    canvas.translate(0.0, 0.18 * frame)


def _draw_lens(canvas: skia.Canvas, rim: skia.Path) -> None:
    """Paint a lens: a breath of glass, brighter at its upper edge."""
    bounds = rim.getBounds()
    stops = [
        (0.0, argb((0.94, 0.97, 1.0), 0.30)),
        (0.30, argb((0.94, 0.97, 1.0), 0.05)),
        (1.0, argb((0.94, 0.97, 1.0), 0.12)),
    ]
    start, end = (bounds.left(), bounds.top()), (bounds.centerX(), bounds.bottom())
    canvas.drawPath(rim, linear_paint(start, end, stops))


def _add_temple(path: skia.Path, face: Face, eye: Eye, wide: float) -> None:
    hinge = face.place(eye.side * (abs(eye.centre[0]) * 1.04 + wide), eye.centre[1] - 0.008, 0.02)
    path.moveTo(*hinge)
    path.lineTo(*face.behind(eye.side * face.half_width, eye.centre[1] - 0.014, -0.02))


def rim_points(
    face: Face, x: float, y: float, wide: float, high: float, roundness: float
) -> list[Point]:
    """Return a superellipse around a place: round at 2, more rectangular above."""
    points = []
    for quarter in range(4):
        for a, b in _QUARTER:
            ca, cb = (a, b) if quarter % 2 == 0 else (-b, a)
            sign = 1.0 if quarter < 2 else -1.0
            px, py = sign * ca, sign * cb
            stretch = (abs(px) ** roundness + abs(py) ** roundness) ** (-1.0 / roundness)
            points.append(face.place(x + wide * px * stretch, y + high * py * stretch, 0.03))
    return points
