"""Beards of the second edition: solid hair with an edge, never to be taken for a shadow.

Stubble is a speckled shade on jaw and lip, a moustache a bar above the mouth, a goatee a ring
around it that hangs over the chin, and a beard covers the jaw and stands out from its contour.
Everything hangs on mouth and chin, and moves with them.
"""

import math

from pipelines.procedural.canvas import (
    Colour,
    Point,
    fill_paint,
    mix,
    scale,
    skia,
    smooth_path,
    stroke_paint,
)
from pipelines.procedural.geometry import Face
from pipelines.procedural.hair import texture_draws


def draw_beard(canvas: skia.Canvas, face: Face) -> None:
    """Paint the beard of a face, if it has one."""
    kind = face.identity.beard
    if kind == "none":
        return
    if kind == "stubble":
        _draw_stubble(canvas, face)
        return
    area = _moustache(face)
    if kind == "goatee":
        area.addPath(_ring(face))
    elif kind == "beard":
        area.addPath(_full(face))
    colour = beard_colour(face)
    canvas.drawPath(area, fill_paint(scale(colour, 0.80), 0.55, blur=0.0055))
    canvas.drawPath(area, fill_paint(colour, 0.93))
    _draw_hairs(canvas, face, area, colour)


def beard_colour(face: Face) -> Colour:
    """Return the colour of the beard: that of the hair, but never that of the skin."""
    identity = face.identity
    hair, skin = identity.hair_colour, identity.skin_colour
    if abs(sum(hair) - sum(skin)) > 0.55:
        return scale(hair, 0.88)
    if sum(skin) > 1.2:
        return scale(hair, 0.60)
    return scale(hair, 1.45 if sum(hair) > sum(skin) else 0.35)


def _corners(face: Face) -> tuple[Point, Point]:
    return face.mouth.left, face.mouth.right


def _moustache(face: Face) -> skia.Path:
    """Return the area between nose and upper lip, past both corners."""
    mouth, nose = face.mouth, face.nose
    (lx, ly), (rx, ry) = _corners(face)
    low, high = mouth.upper_top + 0.006, min(nose.base + 0.016, mouth.upper_top - 0.020)
    points = [
        (lx - 0.016, ly + 0.018), (lx - 0.010, ly - 0.012), (0.55 * lx, high + 0.010),
        (-0.020, high), (0.0, high + 0.006), (0.020, high), (0.55 * rx, high + 0.010),
        (rx + 0.010, ry - 0.012), (rx + 0.016, ry + 0.018), (0.86 * rx, ry + 0.002),
        (0.50 * rx, low + 0.35 * (ry - low) * 0.5), (0.0, low),
        (0.50 * lx, low + 0.35 * (ly - low) * 0.5), (0.86 * lx, ly + 0.002),
    ]  # fmt: skip
    return smooth_path([face.place(x, y, 0.014) for x, y in points])


def _ring(face: Face) -> skia.Path:
    """Return the area around mouth and chin that hangs below it."""
    (_, ly), (rx, ry) = _corners(face)
    grown = _grown(face)
    bottom, chin = face.mouth.lower_bottom, face.chin + 0.022 + grown
    middle = 0.5 * (bottom + chin)
    under = bottom + 0.42 * (face.chin - bottom)
    outer = [
        (rx + 0.018, ry + 0.004), (rx + 0.012, middle - 0.020), (0.80 * rx, chin - 0.018),
        (0.40 * rx, chin), (0.0, chin + 0.008),
    ]  # fmt: skip
    inner = [
        (0.0, under),
        (0.45 * rx, under - 0.010),
        (0.82 * rx, bottom - 0.004),
        (rx, ry + 0.006),
    ]
    mirrored = [(-x, y - ry + ly if x > 0.5 * rx else y) for x, y in outer[-2::-1]]
    back = [(-x, y - ry + ly if x > 0.5 * rx else y) for x, y in inner[:0:-1]]
    points = [*outer, *mirrored, *back, *inner]
    return smooth_path([_chin_point(face, x, y) for x, y in points])


def _full(face: Face) -> skia.Path:
    """Return the area from ear to ear along the contour of the jaw, around the mouth."""
    (_, ly), (rx, ry) = _corners(face)
    grown = _grown(face)
    wide, bottom = face.half_width, face.mouth.lower_bottom
    middle = len(face.outline) // 2
    jaw = face.outline[middle - 7 : middle + 8]
    cx, cy = face.behind(0.0, 0.60)
    outer = []
    for i, (x, y) in enumerate(jaw):
        below = 1.0 - abs(i - 7) / 7.0
        out = (0.006 + grown * (0.35 + 1.2 * below)) / math.hypot(x - cx, y - cy)
        outer.append((x + out * (x - cx), y + out * (y - cy)))
    under = bottom + 0.34 * (face.chin - bottom)
    inner = [
        (0.0, under), (0.45 * rx, under - 0.008), (0.84 * rx, bottom - 0.004), (rx, ry + 0.006),
        (rx + 0.016, ry - 0.016), (rx + 0.042, ry - 0.026), (wide * 0.80, 0.625),
        (wide * 0.885, 0.560), (wide * 0.925, 0.450),
    ]  # fmt: skip
    hole_left = [
        _chin_point(face, -x, y - ry + ly if 0.5 * rx < x < rx + 0.05 else y)
        for x, y in inner[::-1]
    ]
    hole_right = [_chin_point(face, x, y) for x, y in inner[1:]]
    return smooth_path([*outer, *hole_left, *hole_right])


def _grown(face: Face) -> float:
    return 0.012 * max(0.0, 1.0 + face.identity.beard_length)


def _chin_point(face: Face, x: float, y: float) -> Point:
    """Place a point of the beard: on the skin in the middle, at the contour's depth outside."""
    edge = min(abs(x) / max(face.half_width, 1e-6), 1.0)
    ox, oy = face.place(x, y, 0.012)
    bx, by = face.behind(x, y, 0.03)
    t = edge * edge
    return (ox + (bx - ox) * t, oy + (by - oy) * t)


def _draw_hairs(canvas: skia.Canvas, face: Face, area: skia.Path, colour: Colour) -> None:
    """Paint hairs in the area, a few of which leave it."""
    bounds = area.getBounds()
    dark, light = skia.Path(), skia.Path()
    centre = bounds.centerX()
    for i, (u, v, s, _) in enumerate(texture_draws(face.identity.seed, 11, 90)):
        x = centre + 0.52 * u * bounds.width()
        y = bounds.centerY() + 0.50 * v * bounds.height()
        lean = 0.10 * (x - centre) + 0.004 * s
        path = light if i % 3 == 0 else dark
        path.moveTo(x, y)
        path.lineTo(x + lean, y + 0.017)
    canvas.save()
    canvas.clipPath(area, True)
    canvas.drawPath(dark, stroke_paint(scale(colour, 0.45), 0.0042, 0.60))
    canvas.drawPath(
        light, stroke_paint(mix(scale(colour, 1.5), (1.0, 0.95, 0.9), 0.12), 0.004, 0.45)
    )
    canvas.restore()


def _draw_stubble(canvas: skia.Canvas, face: Face) -> None:
    """Paint a shade with specks over lip, chin and jaw."""
    identity = face.identity
    skin = identity.skin_colour
    hair = beard_colour(face)
    dark = mix(scale(hair, 0.45), scale(skin, 0.30), 0.40)
    if sum(skin) < 0.95 and sum(hair) > sum(skin):  # light stubble on dark skin
        dark = mix(hair, skin, 0.35)
    area = _full(face)
    area.addPath(_moustache(face))
    canvas.save()
    canvas.clipPath(smooth_path(face.outline), True)
    canvas.drawPath(area, fill_paint(dark, 0.48, blur=0.006))
    canvas.clipPath(area, True)
    bounds = area.getBounds()
    specks = skia.Path()
    for u, v, a, _ in texture_draws(identity.seed, 12, 240):
        x = bounds.centerX() + 0.5 * u * bounds.width()
        y = bounds.centerY() + 0.5 * v * bounds.height()
        specks.moveTo(x, y)
        specks.lineTo(x + 0.002 * math.copysign(1.0, a), y + 0.005)
    canvas.drawPath(
        specks, stroke_paint(scale(dark, 0.45 if sum(dark) < sum(skin) else 1.4), 0.0046, 0.72)
    )
    canvas.restore()
