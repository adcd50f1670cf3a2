"""What lies on the face: freckles, hairs of the beard, glasses."""

import skia

from pipelines.procedural.canvas import fill_paint, scale, smooth_path, stroke_paint
from pipelines.procedural.geometry import Face
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
        rim = smooth_path(_rim(face, x, y, wide, high, roundness))
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


def _rim(
    face: Face, x: float, y: float, wide: float, high: float, roundness: float
) -> list[tuple[float, float]]:
    """Return a superellipse: round at 2, more rectangular above."""
    unit = ((1.0, 0.0), (0.924, 0.383), (0.707, 0.707), (0.383, 0.924))
    points = []
    for quarter in range(4):
        for a, b in unit:
            ca, cb = (a, b) if quarter % 2 == 0 else (-b, a)
            sign = 1.0 if quarter < 2 else -1.0
            px, py = sign * ca, sign * cb
            stretch = (abs(px) ** roundness + abs(py) ** roundness) ** (-1.0 / roundness)
            points.append(face.place(x + wide * px * stretch, y + high * py * stretch, 0.03))
    return points
