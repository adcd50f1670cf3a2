"""What stands around the face: background, neck, clothes, ears."""

import skia

from pipelines.procedural.canvas import (
    Colour,
    Point,
    argb,
    fill_paint,
    linear_paint,
    mix,
    radial_paint,
    scale,
    shadow,
    smooth_path,
    soft_spot,
    stroke_paint,
)
from pipelines.procedural.geometry import Face


def draw_background(canvas: skia.Canvas, face: Face) -> None:
    """Paint a wall that is lit from where the light comes."""
    identity = face.identity
    lx, ly, _ = identity.light
    stops = [(0.0, argb(scale(identity.background, 1.12))), (1.0, argb(identity.background_edge))]
    canvas.drawPaint(radial_paint((0.5 + 0.45 * lx, 0.45 + 0.4 * ly), 0.85, stops))


def draw_neck(canvas: skia.Canvas, face: Face) -> None:
    """Paint the neck with the head's shadow on it."""
    identity = face.identity
    skin = identity.skin_colour
    wide = 0.150 if identity.person == "man" else 0.122
    half = [
        (wide * 1.02, 0.66, 0.0),
        (wide * 0.98, 0.80, 0.0),
        (wide * 1.03, 0.90, 0.0),
        (wide * 1.5, 0.965, 0.0),
        (wide * 2.4, 1.02, 0.0),
    ]
    right = [face.behind(x, y, z) for x, y, z in half]
    left = [face.behind(-x, y, z) for x, y, z in reversed(half)]
    path = smooth_path([*right, *left])
    lx = identity.light[0]
    edge, lit = shadow(skin, 0.52), shadow(skin, 0.90)
    centre = 0.5 + 0.25 * lx
    x0, x1 = right[1][0], left[-2][0]
    stops = [(0.0, argb(edge)), (centre, argb(lit)), (1.0, argb(edge))]
    canvas.drawPath(path, linear_paint((x1, 0.9), (x0, 0.9), stops))
    canvas.save()
    canvas.clipPath(path, True)
    under = face.behind(-0.03 * lx, face.chin - 0.015, 0.11)
    dark = shadow(skin, 0.34)
    soft_spot(canvas, under, (0.25, 0.13), dark, 0.95)
    for side in (-1.0, 1.0):
        tendon = [
            face.behind(side * wide * 0.80, 0.84),
            face.behind(side * wide * 0.42, 0.93),
            face.behind(side * 0.022, 1.0),
        ]
        canvas.drawPath(
            smooth_path(tendon, closed=False), stroke_paint(shadow(skin, 0.5), 0.008, 0.35, 0.005)
        )
    canvas.restore()


def draw_clothes(canvas: skia.Canvas, face: Face) -> None:
    """Paint shoulders and collar."""
    identity = face.identity
    colour = identity.clothes_colour
    man = identity.person == "man"
    wide = 0.150 if man else 0.122
    neckline = {0: 0.985, 1: 1.06, 2: 1.0, 3: 0.925}[identity.clothes]
    slope = 0.93 if man else 0.945
    shoulders = [
        (0.5 - 0.60, 1.10), (0.5 - 0.50, 1.00), (0.5 - 0.36, slope + 0.018),
        (0.5 - wide * 1.28, slope - 0.006), (0.5 - 0.45 * wide, neckline - 0.01), (0.5, neckline),
        (0.5 + 0.45 * wide, neckline - 0.01), (0.5 + wide * 1.28, slope - 0.006),
        (0.5 + 0.36, slope + 0.018), (0.5 + 0.50, 1.00), (0.5 + 0.60, 1.10),
    ]  # fmt: skip
    path = smooth_path(shoulders)
    lx = identity.light[0]
    stops = [
        (0.0, argb(scale(colour, 0.75 - 0.35 * lx))),
        (0.5, argb(scale(colour, 1.05))),
        (1.0, argb(scale(colour, 0.75 + 0.35 * lx))),
    ]
    canvas.drawPath(path, linear_paint((0.0, 1.0), (1.0, 1.0), stops))
    _draw_collar(canvas, identity.clothes, colour, wide, slope, neckline)


def _draw_collar(
    canvas: skia.Canvas, kind: int, colour: Colour, wide: float, slope: float, neckline: float
) -> None:
    dark = scale(colour, 0.55)
    edge: list[Point] = [
        (0.5 - wide * 1.28, slope - 0.004),
        (0.5 - 0.45 * wide, neckline - 0.008),
        (0.5, neckline),
    ]
    edge += [(1.0 - x, y) for x, y in reversed(edge[:-1])]
    canvas.drawPath(smooth_path(edge, closed=False), stroke_paint(dark, 0.012, 0.8))
    if kind == 2:
        for side in (-1.0, 1.0):
            flap = [
                (0.5 + side * wide * 1.3, slope - 0.02),
                (0.5 + side * 0.02, 1.0),
                (0.5 + side * 0.11, 1.05),
                (0.5 + side * wide * 1.75, slope + 0.03),
            ]
            canvas.drawPath(smooth_path(flap), fill_paint(scale(colour, 1.22)))
            canvas.drawPath(smooth_path(flap), stroke_paint(dark, 0.005, 0.8))
    if kind == 3:
        roll = [
            (0.5 - wide * 1.12, 0.90),
            (0.5, 0.935),
            (0.5 + wide * 1.12, 0.90),
            (0.5 + wide * 1.2, 0.97),
            (0.5, 1.01),
            (0.5 - wide * 1.2, 0.97),
        ]
        canvas.drawPath(smooth_path(roll), fill_paint(scale(colour, 0.90)))
        canvas.drawPath(smooth_path(roll), stroke_paint(dark, 0.005, 0.6))


def draw_ears(canvas: skia.Canvas, face: Face) -> None:
    """Paint both ears; the head is painted over their roots."""
    for side in (-1.0, 1.0):
        _draw_ear(canvas, face, side)


def _draw_ear(canvas: skia.Canvas, face: Face, side: float) -> None:
    identity = face.identity
    size = (1 + 0.07 * identity.ear_size) * (1 + 0.06 * face.efforts.age)
    root = face.half_width * 0.955
    turn = 1.0 - 2.2 * side * identity.yaw
    profile = ((-0.01, -0.052), (0.022, -0.068), (0.042, -0.048), (0.043, -0.015), (0.030, 0.020),
               (0.026, 0.048), (0.008, 0.060), (-0.012, 0.040))  # fmt: skip
    points = [
        face.behind(side * (root + x * size * max(turn, 0.55)), 0.478 + y * size, -0.03)
        for x, y in profile
    ]
    path = smooth_path(points)
    lit = 0.74 + 0.30 * side * identity.light[0]
    flesh = mix(identity.skin_colour, (identity.skin_colour[0], 0.35, 0.30), 0.14)
    canvas.drawPath(path, fill_paint(scale(flesh, lit)))
    rim = [points[0], points[1], points[2], points[3], points[4]]
    centre = face.behind(side * (root + 0.014 * size), 0.478, -0.03)
    inner = [((x * 0.62 + centre[0] * 0.38), (y * 0.68 + centre[1] * 0.32)) for x, y in rim]
    dark = scale(flesh, 0.45 * lit)
    canvas.drawPath(smooth_path(inner, closed=False), stroke_paint(dark, 0.006, 0.65, 0.002))
    soft_spot(canvas, face.behind(side * (root + 0.008), 0.490, -0.03), (0.018, 0.030), dark, 0.75)
