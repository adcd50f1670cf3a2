"""Painting around and upon the face: background, neck, clothes, ears; freckles, beard, glasses."""

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
    skia,
    smooth_path,
    soft_spot,
    stroke_paint,
)
from pipelines.procedural.geometry import Face
from pipelines.procedural.glasses import rim_points
from pipelines.procedural.hair import texture_draws


def draw_freckles(canvas: skia.Canvas, face: Face) -> None:
    """Paint freckles over nose and cheeks."""
    amount = face.identity.freckles
    if amount <= 0.05:
        return
    draws = texture_draws(face.identity.seed, 10, int(60 * amount) + 10)
    spots = skia.Path()
    spots.setFillType(skia.PathFillType.kWinding)
    for a, b, c, _ in draws:
        x = 0.19 * a
        at = face.place(x, 0.545 + 0.045 * b - 0.15 * abs(x) * (abs(x) < 0.05), 0.01)
        spots.addCircle(*at, 0.0026 + 0.0012 * c)
    canvas.drawPath(spots, fill_paint(scale(face.identity.skin_colour, 0.62), 0.5))


def draw_beard_hairs(canvas: skia.Canvas, face: Face) -> None:
    """Paint single hairs where the relief of the skin has the beard's colour."""
    kind = face.identity.beard
    if kind in ("none", "stubble"):
        return
    mouth, chin = face.mouth, face.chin
    path = skia.Path()
    draws = texture_draws(face.identity.seed, 11, 90)
    for i, (a, b, c, _) in enumerate(draws):
        if i % 3 == 0:
            x, y, slant = 0.062 * a, mouth.upper_top - 0.016 + 0.006 * b, 0.012 * a
        elif kind == "moustache":
            continue
        elif kind == "goatee" or i % 3 == 1:
            x, y, slant = 0.060 * a, chin - 0.022 + 0.020 * b, 0.004 * a
        else:
            side = 1.0 if a > 0 else -1.0
            y = 0.62 + 0.19 * (0.5 + 0.5 * b)
            x, slant = side * (0.216 - 0.55 * max(y - 0.70, 0.0) - 0.03 * abs(c)), -0.004 * side
        start, end = face.place(x, y - 0.006, 0.0), face.place(x + slant, y + 0.010, 0.0)
        path.moveTo(*start)
        path.lineTo(*end)
    canvas.drawPath(path, stroke_paint(scale(face.identity.hair_colour, 0.6), 0.003, 0.55))


def draw_glasses(canvas: skia.Canvas, face: Face) -> None:
    """Paint thin frames around the eyes, bridge and temples."""
    shape = face.identity.glasses_shape
    colour = ((0.10, 0.09, 0.10), (0.28, 0.16, 0.10), (0.42, 0.36, 0.24))[shape]
    wide, high, roundness = ((0.080, 0.068, 2.0), (0.088, 0.058, 3.6), (0.092, 0.074, 2.6))[shape]
    paint = stroke_paint(colour, 0.0075, 0.95)
    for eye in face.eyes:
        x, y = eye.centre[0] * 1.03, eye.centre[1] + 0.014
        rim = smooth_path(rim_points(face, x, y, wide, high, roundness))
        canvas.drawPath(rim, fill_paint((0.92, 0.96, 1.0), 0.07))
        canvas.drawPath(rim, paint)
        hinge = face.place(eye.side * (abs(x) + wide), y - 0.012, 0.02)
        ear = face.behind(eye.side * face.half_width * 1.0, y - 0.016, -0.02)
        arm = skia.Path()
        arm.moveTo(*hinge)
        arm.lineTo(*ear)
        canvas.drawPath(arm, paint)
    inner = abs(face.eyes[0].centre[0]) * 1.03 - wide
    bridge = [
        face.place(-inner, 0.458, 0.04),
        face.place(0.0, 0.449, 0.05),
        face.place(inner, 0.458, 0.04),
    ]
    canvas.drawPath(smooth_path(bridge, closed=False), paint)


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
    neckline = (0.985, 1.06, 1.0, 0.925, 1.04, 0.985)[identity.clothes]
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
