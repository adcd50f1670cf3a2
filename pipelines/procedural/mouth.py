"""Lips, teeth, and the tongue."""

import skia

from pipelines.procedural.canvas import (
    Colour,
    Point,
    argb,
    fill_paint,
    linear_paint,
    mix,
    scale,
    smooth_path,
    soft_spot,
    stroke_paint,
)
from pipelines.procedural.geometry import Face, Mouth

_OPEN = 0.0025
"""Gap between the lips from which on the inside of the mouth is drawn."""


def draw_mouth(canvas: skia.Canvas, face: Face) -> None:
    """Paint the mouth."""
    mouth = face.mouth
    colour = _shown(face)
    inner_top = _edge(face, mouth, mouth.upper_bottom, 0.30, 0.90)
    inner_bottom = _edge(face, mouth, mouth.lower_top, 0.18, 0.80)
    _draw_upper_lip(canvas, face, inner_top, colour)
    _draw_lower_lip(canvas, face, inner_bottom, colour)
    if mouth.opening > _OPEN:
        _draw_inside(canvas, face, inner_top, inner_bottom)
    _draw_line(canvas, face, inner_top, colour)


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


def _draw_upper_lip(canvas: skia.Canvas, face: Face, inner: list[Point], colour: Colour) -> None:
    mouth = face.mouth
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
    path = smooth_path(
        [face.place(x, y, 0.012) if abs(x) < abs(rx) else face.place(x, y) for x, y in outer],
        closed=False,
    )
    path.addPath(smooth_path(inner[::-1], closed=False), skia.Path.kExtend_AddPathMode)
    path.close()
    above, below = face.place(0.0, top, 0.012), face.place(0.0, mouth.upper_bottom, 0.012)
    stops = [(0.0, argb(scale(colour, 0.94))), (1.0, argb(scale(colour, 0.62)))]
    canvas.drawPath(path, linear_paint(above, below, stops))
    light = mix(face.identity.skin_colour, (1.0, 1.0, 1.0), 0.25)
    soft_spot(canvas, face.place(0.0, top - 0.004, 0.012), (0.028, 0.006), light, 0.30)


def _draw_lower_lip(canvas: skia.Canvas, face: Face, inner: list[Point], colour: Colour) -> None:
    mouth = face.mouth
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
    path = smooth_path([face.place(x, y, 0.008) for x, y in outer], closed=False)
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
    inset = [edge[1], edge[2], edge[3], edge[4], edge[5]]
    far = [
        (x, y + down * height * h)
        for (x, y), h in zip(inset, (0.55, 0.95, 1.0, 0.95, 0.55), strict=True)
    ]
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


def _draw_line(canvas: skia.Canvas, face: Face, line: list[Point], colour: Colour) -> None:
    """Paint the dark line between the lips and the shadows in the corners."""
    dark = scale(colour, 0.28)
    canvas.drawPath(smooth_path(line, closed=False), stroke_paint(dark, 0.0052, 0.92))
    for corner in (line[0], line[-1]):
        soft_spot(canvas, corner, (0.010, 0.009), scale(face.identity.skin_colour, 0.25), 0.75)
