"""Eyes, lids and brows."""

import numpy as np
import skia

from pipelines.procedural.canvas import (
    Colour,
    Point,
    argb,
    fill_paint,
    lens_path,
    linear_paint,
    mix,
    radial_paint,
    scale,
    smooth_path,
    stroke_paint,
)
from pipelines.procedural.geometry import Brow, Eye, Face


def draw_eye(canvas: skia.Canvas, face: Face, eye: Eye) -> None:
    """Paint one eye: ball within the opening, lids, lashes, and the folds that belong to them."""
    upper, lower = _lid_points(face, eye, eye.upper), _lid_points(face, eye, -eye.lower)
    if eye.opening > 0.002:
        opening = smooth_path(upper, closed=False)
        opening.addPath(smooth_path(lower[::-1], closed=False), skia.Path.kExtend_AddPathMode)
        opening.close()
        canvas.save()
        canvas.clipPath(opening, True)
        _draw_ball(canvas, face, eye, opening)
        canvas.restore()
    _draw_lids(canvas, face, eye, upper, lower)


def draw_brow(canvas: skia.Canvas, face: Face, brow: Brow) -> None:
    """Paint one brow: a tapering band with hairs."""
    identity = face.identity
    centre = [brow.inner, brow.middle, brow.arch, brow.outer]
    widths = [0.42, 0.52, 0.42, 0.06]
    above = [
        face.place(x, y - w * brow.thickness, 0.012)
        for (x, y), w in zip(centre, widths, strict=True)
    ]
    below = [
        face.place(x, y + w * brow.thickness, 0.012)
        for (x, y), w in zip(centre, widths, strict=True)
    ]
    band = smooth_path(above, closed=False)
    band.addPath(smooth_path(below[::-1], closed=False), skia.Path.kExtend_AddPathMode)
    band.close()
    colour = brow_colour(identity.hair_colour, identity.skin_colour)
    canvas.drawPath(band, fill_paint(colour, 0.62, blur=0.0035))
    canvas.drawPath(band, fill_paint(colour, 0.55))
    _draw_brow_hairs(canvas, above, below, colour)


def brow_colour(hair: Colour, skin: Colour) -> Colour:
    """Return a colour of the brows that stands out from the skin."""
    dark = scale(hair, 0.62)
    limit = 0.42 * (skin[0] + skin[1] + skin[2])
    total = dark[0] + dark[1] + dark[2]
    return scale(dark, limit / total) if total > limit else dark


def _lid_points(face: Face, eye: Eye, height: float) -> list[Point]:
    """Return the edge of a lid from the inner to the outer corner."""
    x, y = eye.centre
    side, half = eye.side, eye.half_width
    profile = ((-1.0, 0.0), (-0.62, 0.62), (-0.10, 0.98), (0.42, 0.90), (0.78, 0.50), (1.0, 0.0))
    if height < 0:
        profile = (
            (-1.0, 0.0),
            (-0.62, 0.50),
            (-0.10, 0.86),
            (0.36, 0.98),
            (0.74, 0.66),
            (1.0, 0.0),
        )
    return [
        face.place(
            x + side * half * across,
            y - height * up - eye.tilt * across + (0.004 if across == -1.0 else 0.0),
        )
        for across, up in profile
    ]


def _draw_ball(canvas: skia.Canvas, face: Face, eye: Eye, opening: skia.Path) -> None:
    centre = face.place(eye.centre[0], eye.centre[1] - 0.0015)
    dim = 0.80 + 0.16 * face.identity.light[2]
    white = mix((0.97, 0.955, 0.94), face.identity.skin_colour, 0.10)
    radius = eye.half_width
    stops = [
        (0.0, argb(scale(white, dim + 0.06))),
        (0.62, argb(scale(white, dim))),
        (1.0, argb(scale(white, 0.62))),
    ]
    canvas.drawPath(opening, radial_paint(centre, radius, stops))
    _draw_iris(canvas, face, eye, centre)
    top = face.place(eye.centre[0], eye.centre[1] - eye.upper)
    shadow = linear_paint(
        top,
        (top[0], top[1] + 0.016),
        [(0.0, argb((0.10, 0.05, 0.04), 0.50)), (1.0, argb((0.1, 0.05, 0.04), 0.0))],
    )
    canvas.drawPath(opening, shadow)
    corner = face.place(eye.centre[0] - eye.side * eye.half_width * 0.93, eye.centre[1] + 0.004)
    canvas.drawCircle(*corner, 0.006, fill_paint((0.78, 0.42, 0.40), 0.75))


def _draw_iris(canvas: skia.Canvas, face: Face, eye: Eye, centre: Point) -> None:
    colour = face.identity.eye_colour
    stops = [
        (0.0, argb(scale(colour, 0.75))),
        (0.55, argb(scale(colour, 1.25))),
        (0.82, argb(colour)),
        (1.0, argb(scale(colour, 0.30))),
    ]
    canvas.drawCircle(*centre, eye.iris, radial_paint(centre, eye.iris, stops))
    canvas.drawCircle(*centre, eye.iris * 0.44, fill_paint((0.02, 0.015, 0.015)))
    lx, ly, _ = face.identity.light
    spot = (
        centre[0] + 0.38 * eye.iris * (1.0 if lx > 0 else -1.0),
        centre[1] + 0.55 * eye.iris * ly,
    )
    canvas.drawCircle(*spot, eye.iris * 0.24, fill_paint((1.0, 1.0, 1.0), 0.92))


def _draw_lids(
    canvas: skia.Canvas, face: Face, eye: Eye, upper: list[Point], lower: list[Point]
) -> None:
    identity = face.identity
    skin = identity.skin_colour
    dark = mix(scale(skin, 0.30), (0.10, 0.05, 0.04), 0.5)
    woman = identity.person == "woman"
    closed = eye.opening < 0.012
    fold = 0.0085 + 0.0015 * identity.lid_fold - 0.004 * min(max(face.efforts.lid_raise, 0.0), 1.0)
    crease = [
        face.place(x, y) for x, y in _crease_points(eye, max(eye.upper, -0.3 * eye.lower) + fold)
    ]
    canvas.drawPath(
        smooth_path(crease, closed=False), stroke_paint(scale(skin, 0.45), 0.0035, 0.62)
    )
    line = stroke_paint(scale(skin, 0.52), 0.0034, 0.65)
    canvas.drawPath(smooth_path(lower, closed=False), line)
    lash = mix((0.05, 0.035, 0.03), dark, 0.15 if woman else 0.45)
    width = (0.0082 + 0.002 * identity.makeup) if woman else 0.0060
    canvas.drawPath(
        smooth_path(upper, closed=False), stroke_paint(lash, width * (1.15 if closed else 1.0))
    )
    if woman:
        end, before = upper[-1], upper[-2]
        flick = (end[0] + 0.35 * (end[0] - before[0]), end[1] - 0.006)
        canvas.drawPath(lens_path(before, end, flick, 0.005), fill_paint(lash))


def _crease_points(eye: Eye, height: float) -> list[Point]:
    x, y = eye.centre
    profile = ((-0.85, 0.45), (-0.40, 0.88), (0.10, 1.0), (0.60, 0.78), (1.04, 0.22))
    return [
        (x + eye.side * eye.half_width * across, y - height * up - eye.tilt * across)
        for across, up in profile
    ]


def _draw_brow_hairs(
    canvas: skia.Canvas, above: list[Point], below: list[Point], colour: Colour
) -> None:
    path = skia.Path()
    for root, tip in _HAIRS:
        path.moveTo(*_along(below, *root))
        x, y = _along(above, *tip)
        path.lineTo(x, y - 0.0015)
    canvas.drawPath(path, stroke_paint(scale(colour, 0.8), 0.0028, 0.55))


def _along(points: list[Point], i: int, rest: float) -> Point:
    (x0, y0), (x1, y1) = points[i], points[i + 1]
    return (x0 + (x1 - x0) * rest, y0 + (y1 - y0) * rest)


def _knot(t: float) -> tuple[int, float]:
    """Return segment and rest of a position [0–1] along the four points of a brow."""
    i = min(int(t * 3), 2)
    return i, t * 3 - i


_HAIRS = [(_knot(t), _knot(min(t + 0.07, 1.0))) for t in np.linspace(0.02, 0.92, 17).tolist()]
"""Where each hair of a brow begins on its lower and ends on its upper edge."""
