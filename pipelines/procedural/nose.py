"""Nostrils, wings and the shadow that a nose casts; its body is relief."""

import skia

from pipelines.procedural.canvas import fill_paint, shadow, smooth_path, soft_spot, stroke_paint
from pipelines.procedural.geometry import Face


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
    wide = side * nose.half_width
    flare = 0.25 * min(face.efforts.nose_wrinkle, 1.0)
    outline = [
        (wide * 0.78, nose.wing - 0.024),
        (wide * 1.01, nose.wing - 0.012),
        (wide * 1.03, nose.wing + 0.006 + uneven),
        (wide * 0.80, nose.wing + 0.015 + uneven),
    ]
    points = [face.place(x, y, 0.018) for x, y in outline]
    edge = stroke_paint(shadow(skin, 0.45), 0.0042, 0.55 + flare, blur=0.0012)
    canvas.drawPath(smooth_path(points, closed=False), edge)
    hole = face.place(wide * 0.46, (nose.base + nose.wing) / 2 + 0.004, 0.026)
    canvas.save()
    canvas.translate(*hole)
    canvas.rotate(-18.0 * side)
    oval = skia.Rect.MakeLTRB(-0.0135, -0.0058, 0.0135, 0.0058)
    canvas.drawOval(oval, fill_paint(shadow(skin, 0.18), 0.85, blur=0.0014))
    canvas.restore()
