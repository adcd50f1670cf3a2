"""Painting of eyes, lids and brows, nose, mouth."""

import numpy as np

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
    shadow,
    skia,
    smooth_path,
    soft_spot,
    stroke_paint,
)
from pipelines.procedural.geometry import Brow, Eye, Face, Mouth


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
    gaze = face.place(eye.centre[0] + eye.gaze[0], eye.centre[1] - 0.0015 + eye.gaze[1])
    _draw_iris(canvas, face, eye, gaze)
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
"""Begin of each hair of a brow on its lower edge, and end on its upper one."""


def draw_nose(canvas: skia.Canvas, face: Face) -> None:
    """Paint what the relief of the nose leaves open."""
    skin = face.identity.skin_colour
    nose = face.nose
    light_x = face.identity.light[0]
    shadow_side = -1.0 if light_x > 0 else 1.0
    shade = face.place(shadow_side * nose.bridge * 1.25, 0.545, 0.01)
    soft_spot(canvas, shade, (0.020, 0.075), shadow(skin, 0.45), 0.10 + 0.40 * abs(light_x))
    cast = face.place(shadow_side * 0.022 * abs(light_x), nose.base + 0.008, 0.01)
    soft_spot(canvas, cast, (nose.half_width * 1.05, 0.018), shadow(skin, 0.40), 0.42)
    for side in (-1.0, 1.0):
        _draw_wing(canvas, face, side)
    tip = face.place(0.010 * light_x, nose.tip - 0.010, 0.045)
    soft_spot(canvas, tip, (0.015, 0.013), (1.0, 0.97, 0.93), 0.32)


def _draw_wing(canvas: skia.Canvas, face: Face, side: float) -> None:
    skin, nose = face.identity.skin_colour, face.nose
    uneven = 0.0015 * face.identity.asymmetry[3] * side
    wide, wing = side * nose.half_width, nose.wing - nose.lifts[side > 0]
    flare = 0.25 * min(face.efforts.nose_wrinkle, 1.0)
    outline = [
        (wide * 0.78, wing - 0.024),
        (wide * 1.01, wing - 0.012),
        (wide * 1.03, wing + 0.006 + uneven),
        (wide * 0.80, wing + 0.015 + uneven),
    ]
    points = [face.place(x, y, 0.018) for x, y in outline]
    edge = stroke_paint(shadow(skin, 0.45), 0.0042, 0.55 + flare, blur=0.0012)
    canvas.drawPath(smooth_path(points, closed=False), edge)
    hole = face.place(wide * 0.46, (nose.base + wing) / 2 + 0.004, 0.026)
    canvas.save()
    canvas.translate(*hole)
    canvas.rotate(-18.0 * side)
    oval = skia.Rect.MakeLTRB(-0.0135, -0.0058, 0.0135, 0.0058)
    canvas.drawOval(oval, fill_paint(shadow(skin, 0.18), 0.85, blur=0.0014))
    canvas.restore()


_TEETH = (0.30, 0.72, 0.93, 1.0, 1.0, 1.0, 0.93, 0.72, 0.30)
"""Height of a row of teeth along the lip, as a share of that in the middle."""

_OPEN = 0.0025
"""Gap between the lips from which on the inside of the mouth is drawn."""


def draw_mouth(canvas: skia.Canvas, face: Face) -> None:
    """Paint the mouth."""
    mouth = face.mouth
    colour = _shown(face)
    upper, inner_top, inner_bottom, lower = _edges(face, mouth)
    _draw_upper_lip(canvas, face, upper, inner_top, colour)
    _draw_lower_lip(canvas, face, lower, inner_bottom, colour)
    if mouth.opening > _OPEN:
        _draw_inside(canvas, face, inner_top, inner_bottom)
    pressed = mouth.lips.pressed if mouth.lips else 0.0
    _draw_line(canvas, face, inner_top, colour, 0.0052 * (1 + 0.5 * pressed))


def _edges(face: Face, mouth: Mouth) -> tuple[list[Point], list[Point], list[Point], list[Point]]:
    """Return the lips' edges in the image, from above: outer, inner, inner, outer."""
    if mouth.lips is None:
        return (
            _upper_edge(face, mouth),
            _edge(face, mouth, mouth.upper_bottom, 0.30, 0.90),
            _edge(face, mouth, mouth.lower_top, 0.18, 0.80),
            _lower_edge(face, mouth),
        )
    lips, rx = mouth.lips, max(mouth.right[0], -mouth.left[0])
    edges = (lips.upper, lips.upper_in, lips.lower_in, lips.lower)
    placed = [[face.place(x, y, 0.012 * (1 - (x / rx) ** 2)) for x, y in edge] for edge in edges]
    return placed[0], placed[1], placed[2], placed[3]


def _shown(face: Face) -> Colour:
    thin = 0.10 * face.efforts.age
    return mix(face.identity.lip_colour, face.identity.skin_colour, 0.10 + thin)


def _edge(face: Face, mouth: Mouth, middle: float, bend: float, shoulder: float) -> list[Point]:
    """Return a lip's edge from corner to corner.

    Args:
        face: whose.
        mouth: its mouth.
        middle: y in the middle.
        bend: how much of the way to `middle` the edge has gone at 0.72 of the half-width.
        shoulder: the same at 0.38.
    """
    (lx, ly), (rx, ry) = mouth.left, mouth.right
    across = (
        (lx, ly),
        (lx * 0.72, ly + (middle - ly) * _eased(bend, middle - ly)),
        (lx * 0.38, ly + (middle - ly) * shoulder),
        (0.0, middle),
        (rx * 0.38, ry + (middle - ry) * shoulder),
        (rx * 0.72, ry + (middle - ry) * _eased(bend, middle - ry)),
        (rx, ry),
    )
    return [face.place(x, y, 0.012 * (1 - (x / rx) ** 2)) for x, y in across]


def _eased(bend: float, rise: float) -> float:
    """Round the edge more, the further it is from the corners' height."""
    return bend + min(6.0 * abs(rise), 0.25)


def _upper_edge(face: Face, mouth: Mouth) -> list[Point]:
    (lx, ly), (rx, ry) = mouth.left, mouth.right
    top = mouth.upper_top
    outer = [
        (lx, ly - 0.001),
        (lx * 0.58, ly + (top - ly) * 0.62),
        (-0.021, top),
        (0.0, top + mouth.bow),
        (0.021, top),
        (rx * 0.58, ry + (top - ry) * 0.62),
        (rx, ry - 0.001),
    ]
    return [face.place(x, y, 0.012) if abs(x) < abs(rx) else face.place(x, y) for x, y in outer]


def _lower_edge(face: Face, mouth: Mouth) -> list[Point]:
    (lx, ly), (rx, ry) = mouth.left, mouth.right
    bottom = mouth.lower_bottom
    roundness = 0.66 + min(2.0 * mouth.opening, 0.17)
    outer = [
        (lx * 0.97, ly + 0.002),
        (lx * 0.66, ly + (bottom - ly) * roundness),
        (lx * 0.30, ly + (bottom - ly) * 0.97),
        (0.0, bottom),
        (rx * 0.30, ry + (bottom - ry) * 0.97),
        (rx * 0.66, ry + (bottom - ry) * roundness),
        (rx * 0.97, ry + 0.002),
    ]
    return [face.place(x, y, 0.008) for x, y in outer]


def _draw_upper_lip(
    canvas: skia.Canvas, face: Face, outer: list[Point], inner: list[Point], colour: Colour
) -> None:
    mouth, top = face.mouth, face.mouth.upper_top
    path = smooth_path(outer, closed=False)
    path.addPath(smooth_path(inner[::-1], closed=False), skia.Path.kExtend_AddPathMode)
    path.close()
    above, below = face.place(0.0, top, 0.012), face.place(0.0, mouth.upper_bottom, 0.012)
    stops = [(0.0, argb(scale(colour, 0.94))), (1.0, argb(scale(colour, 0.62)))]
    canvas.drawPath(path, linear_paint(above, below, stops))
    light = mix(face.identity.skin_colour, (1.0, 1.0, 1.0), 0.25)
    soft_spot(canvas, face.place(0.0, top - 0.004, 0.012), (0.028, 0.006), light, 0.30)


def _draw_lower_lip(
    canvas: skia.Canvas, face: Face, outer: list[Point], inner: list[Point], colour: Colour
) -> None:
    mouth, bottom = face.mouth, face.mouth.lower_bottom
    path = smooth_path(outer, closed=False)
    path.addPath(smooth_path(inner[::-1], closed=False), skia.Path.kExtend_AddPathMode)
    path.close()
    above, below = face.place(0.0, mouth.lower_top, 0.012), face.place(0.0, bottom, 0.012)
    stops = [
        (0.0, argb(scale(colour, 0.86))),
        (0.45, argb(scale(colour, 1.12))),
        (1.0, argb(scale(colour, 0.78))),
    ]
    canvas.drawPath(path, linear_paint(above, below, stops))
    lx = face.identity.light[0]
    shine = face.place(0.018 * lx, 0.55 * mouth.lower_top + 0.45 * bottom, 0.012)
    amount = 0.22 + 0.25 * mouth.pout + 0.15 * face.identity.makeup
    soft_spot(
        canvas, shine, (0.036, 0.30 * (bottom - mouth.lower_top) + 0.003), (1.0, 0.95, 0.92), amount
    )


def _draw_inside(canvas: skia.Canvas, face: Face, top: list[Point], bottom: list[Point]) -> None:
    mouth = face.mouth
    path = smooth_path(top, closed=False)
    path.addPath(smooth_path(bottom[::-1], closed=False), skia.Path.kExtend_AddPathMode)
    path.close()
    canvas.drawPath(path, fill_paint((0.17, 0.045, 0.045)))
    canvas.save()
    canvas.clipPath(path, True)
    depth = mouth.opening
    if depth > 0.045:
        tongue = face.place(0.0, mouth.lower_top + 0.004)
        soft_spot(canvas, tongue, (0.055, 0.034), (0.80, 0.36, 0.36), 0.95)
    _draw_teeth(canvas, face, top, min(0.62 * depth, 0.021), upper=True)
    if depth > 0.05:
        _draw_teeth(canvas, face, bottom, min(0.2 * (depth - 0.05), 0.008), upper=False)
    canvas.drawPath(
        smooth_path(top, closed=False), stroke_paint((0.15, 0.04, 0.04), 0.006, 0.45, 0.002)
    )
    canvas.restore()


def _draw_teeth(
    canvas: skia.Canvas, face: Face, edge: list[Point], height: float, upper: bool
) -> None:
    """Paint a row of teeth that stands `height` out from behind a lip."""
    down = 1.0 if upper else -1.0
    inset = edge[1:-1]
    rise = (0.55, 0.95, 1.0, 0.95, 0.55) if len(inset) == 5 else _TEETH
    far = [(x, y + down * height * h) for (x, y), h in zip(inset, rise, strict=True)]
    near = [(x, y - down * 0.006) for x, y in inset]
    row = smooth_path(near, closed=False)
    row.addPath(smooth_path(far[::-1], closed=False), skia.Path.kExtend_AddPathMode)
    row.close()
    yellow = 0.10 * face.efforts.age
    canvas.drawPath(row, fill_paint((0.95, 0.93 - 0.3 * yellow, 0.89 - yellow)))
    gaps = skia.Path()
    for (x0, y0), (x1, y1) in zip(near[1:], far[1:], strict=True):
        gaps.moveTo((x0 + x1) / 2 - 0.014, y0)
        gaps.lineTo((x0 + x1) / 2 - 0.014, y1)
    canvas.drawPath(gaps, stroke_paint((0.55, 0.45, 0.42), 0.0022, 0.30))


def _draw_line(
    canvas: skia.Canvas, face: Face, line: list[Point], colour: Colour, width: float
) -> None:
    """Paint the dark line between the lips and the shadows in the corners."""
    dark = scale(colour, 0.28)
    canvas.drawPath(smooth_path(line, closed=False), stroke_paint(dark, width, 0.92))
    for corner in (line[0], line[-1]):
        soft_spot(canvas, corner, (0.010, 0.009), scale(face.identity.skin_colour, 0.25), 0.75)
