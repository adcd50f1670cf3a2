"""Surroundings of a face in the second edition: backgrounds and clothes; freckles, make-up."""

from pipelines.procedural.body import draw_clothes
from pipelines.procedural.canvas import (
    Colour,
    Point,
    argb,
    fill_paint,
    linear_paint,
    mix,
    radial_paint,
    scale,
    skia,
    smooth_path,
    soft_spot,
    stroke_paint,
)
from pipelines.procedural.geometry import Face
from pipelines.procedural.hair import texture_draws

_JACKET, _HOOD = 4, 5
_LAPEL = ((0.155, 0.925), (0.105, 0.955), (0.035, 1.03), (0.16, 1.06), (0.25, 0.975))


def draw_backdrop(canvas: skia.Canvas, face: Face) -> None:
    """Paint a plain wall, a gradient, or shapes out of focus."""
    identity = face.identity
    lx, ly, _ = identity.light
    wall, edge = identity.background, identity.background_edge
    if identity.background_kind == 0:
        stops = [(0.0, argb(scale(wall, 1.10))), (1.0, argb(scale(wall, 0.72)))]
        canvas.drawPaint(radial_paint((0.5 + 0.45 * lx, 0.45 + 0.4 * ly), 0.95, stops))
        return
    turned = 0.5 * lx
    stops = [(0.0, argb(wall)), (1.0, argb(edge))]
    canvas.drawPaint(linear_paint((0.5 - turned, 0.0), (0.5 + turned, 1.0), stops))
    if identity.background_kind == 1:
        return
    accent = identity.background_accent
    for i, (a, b, c, d) in enumerate(texture_draws(identity.seed, 31, 6)):
        at = (0.5 + 0.55 * a, 0.40 + 0.48 * b)
        tone = mix(accent, (1.0, 0.97, 0.9), 0.25 * (d + 1.0)) if i % 2 else scale(accent, 0.55)
        size = 0.13 + 0.06 * c
        if i < 2:
            block = skia.Rect.MakeLTRB(at[0] - size, at[1] - 0.5, at[0] + size, at[1] + 0.6)
            canvas.drawRect(block, fill_paint(scale(tone, 0.8), 0.45, blur=0.02))
        else:
            soft_spot(canvas, at, (1.5 * size, 1.5 * size), tone, 0.62)


def draw_garment(canvas: skia.Canvas, face: Face) -> None:
    """Paint clothes: those of the first edition, stripes, a jacket or a hood."""
    identity = face.identity
    draw_clothes(canvas, face)
    if identity.pattern == 1 and identity.clothes in (0, 1, 2):
        lines = skia.Path()
        for k in range(3):
            y = 0.962 + 0.034 * k
            lines.addPath(
                smooth_path([(0.0, y + 0.05), (0.28, y), (0.72, y), (1.0, y + 0.05)], False)
            )
        canvas.drawPath(lines, stroke_paint(identity.clothes_accent, 0.013, 0.85))
    if identity.clothes == _JACKET:
        _draw_jacket(canvas, face)
    elif identity.clothes == _HOOD:
        _draw_hood(canvas, face)


def _draw_jacket(canvas: skia.Canvas, face: Face) -> None:
    """Paint lapels over a shirt."""
    identity = face.identity
    shirt = [(0.40, 0.93), (0.60, 0.93), (0.55, 1.05), (0.45, 1.05)]
    canvas.drawPath(smooth_path(shirt), fill_paint(identity.clothes_accent))
    dark, bright = scale(identity.clothes_colour, 0.5), scale(identity.clothes_colour, 1.18)
    for side in (-1.0, 1.0):
        lapel: list[Point] = [(0.5 + side * x, y) for x, y in _LAPEL]
        path = smooth_path(lapel)
        canvas.drawPath(path, fill_paint(bright))
        canvas.drawPath(path, stroke_paint(dark, 0.007, 0.9))


def _draw_hood(canvas: skia.Canvas, face: Face) -> None:
    """Paint a hood that lies around the neck, with its strings."""
    identity = face.identity
    colour = identity.clothes_colour
    roll = [(0.24, 0.945), (0.34, 0.900), (0.42, 0.965), (0.5, 0.995), (0.58, 0.965), (0.66, 0.900),
            (0.76, 0.945), (0.66, 1.02), (0.5, 1.05), (0.34, 1.02)]  # fmt: skip
    path = smooth_path(roll)
    canvas.drawPath(path, fill_paint(scale(colour, 0.86)))
    canvas.drawPath(path, stroke_paint(scale(colour, 0.45), 0.007, 0.8))
    strings = skia.Path()
    for x in (0.455, 0.545):
        strings.moveTo(x, 0.99)
        strings.lineTo(x, 1.02)
    canvas.drawPath(strings, stroke_paint(identity.clothes_accent, 0.010, 0.95))


def draw_spots(canvas: skia.Canvas, face: Face) -> None:
    """Paint freckles over nose and cheeks, large enough for 128 pixels."""
    amount = face.identity.freckles
    if amount <= 0.05:
        return
    spots = skia.Path()
    for a, b, c, _ in texture_draws(face.identity.seed, 10, int(46 * amount) + 14):
        x = 0.185 * a
        y = 0.540 + 0.055 * b - 0.15 * abs(x) * (abs(x) < 0.05)
        spots.addCircle(*face.place(x, y, 0.01), 0.0040 + 0.0013 * c)
    skin = face.identity.skin_colour
    tone = (skin[0] * 0.66, skin[1] * 0.50, skin[2] * 0.42)
    canvas.drawPath(spots, fill_paint(tone, 0.42 + 0.22 * amount))


def draw_makeup(canvas: skia.Canvas, face: Face) -> None:
    """Paint eyeshadow and rouge; the lips have their own colour."""
    identity = face.identity
    if identity.makeup <= 0.05:
        return
    for eye in face.eyes:
        x, y = eye.centre
        at = face.place(x + 0.15 * eye.side * eye.half_width, y - max(eye.upper, 0.0) - 0.014)
        radii = (1.15 * eye.half_width, 0.028)
        soft_spot(canvas, at, radii, identity.eyeshadow, 0.72 * identity.makeup)
        cheek = face.place(eye.side * 0.165, 0.580)
        soft_spot(
            canvas, cheek, (0.075, 0.050), _rouge(identity.skin_colour), 0.34 * identity.makeup
        )


def _rouge(skin: Colour) -> Colour:
    return mix(skin, (0.82, 0.22, 0.28), 0.65)
