"""Hair of the head: a mass behind it, a cap over it, and strands on both."""

import itertools
import math

import numpy as np

from pipelines.procedural.canvas import (
    Colour,
    Point,
    argb,
    fill_paint,
    lerp,
    linear_paint,
    mix,
    scale,
    skia,
    smooth_path,
    soft_spot,
    stroke_paint,
)
from pipelines.procedural.geometry import Face

_TABLE = np.random.Generator(np.random.Philox(key=0x9E3779B97F4A7C15)).uniform(-1.0, 1.0, (4096, 4))
"""Rows of uniform draws, of which each texture takes a run that its seed chooses."""


def texture_draws(seed: int, stage: int, count: int) -> list[list[float]]:
    """Return `count` rows of four uniform draws in [-1, 1] for one texture of an identity."""
    start = (seed * 2654435761 + stage * 40503) % (len(_TABLE) - count)
    return _TABLE[start : start + count].tolist()


def draw_back_hair(canvas: skia.Canvas, face: Face) -> None:
    """Paint the hair that stands behind head and neck."""
    style = face.identity.hair_style
    if style in ("long", "wavy"):
        _draw_falling(canvas, face, wavy=style == "wavy")
    elif style == "curly":
        _draw_curls(canvas, face, _curly_mass(face), behind=True)
    elif style == "tied-back":
        _draw_bun(canvas, face)


def draw_front_hair(canvas: skia.Canvas, face: Face, over: skia.Path) -> None:
    """Paint the hair that stands before the skull; `over` is the contour of the head."""
    style = face.identity.hair_style
    if style == "bald":
        _draw_bald_sides(canvas, face)
        return
    cap = _cap(face)
    _draw_hairline_shadow(canvas, face, cap, over)
    if style == "curly":
        _draw_curls(canvas, face, cap, behind=False)
        return
    _draw_cap(canvas, face, cap)
    if style in ("long", "wavy"):
        _draw_side_locks(canvas, face, wavy=style == "wavy")


def hairline_of(face: Face) -> list[Point]:
    """Return the hairline from the left temple to the right in the image."""
    identity = face.identity
    man = identity.person == "man"
    recede = (0.045 if man else 0.012) * face.efforts.age + (0.008 if man else 0.0)
    middle = 0.180 - 0.010 * identity.hairline - 0.5 * recede
    corner = middle + 0.012 - recede
    swept = 0.0 if man or identity.hair_style in ("curly", "tied-back") else 0.045
    part = 1.0 if identity.parting > 0 else -1.0
    wide = face.half_width
    points = [
        (-wide * 0.97, 0.430), (-wide * 0.93, 0.335), (-wide * 0.84, 0.255),
        (-wide * 0.60, corner), (-wide * 0.28, middle + 0.002), (0.0, middle),
        (wide * 0.28, middle + 0.002), (wide * 0.60, corner), (wide * 0.84, 0.255),
        (wide * 0.93, 0.335), (wide * 0.97, 0.430),
    ]  # fmt: skip
    return [
        face.place(
            x, y + swept * max(0.0, -part * x / wide) * (0.6 if 0.2 < y < 0.4 else 0.9) * (y < 0.3)
        )
        for x, y in points
    ]


def _volume(face: Face) -> float:
    base = {"cropped": 0.004, "tied-back": 0.012, "short": 0.026, "long": 0.030, "wavy": 0.040}
    volume = base.get(face.identity.hair_style, 0.050)
    return volume * (1 + 0.18 * face.identity.hair_volume) * (1 - 0.2 * face.efforts.age)


def _cap(face: Face) -> skia.Path:
    """Return the area of hair over the skull: its outer edge and the hairline."""
    v, wide, top = _volume(face), face.half_width, face.top
    part = 0.03 * face.identity.parting
    style = face.identity.hair_style
    foot = 0.470 if style in ("short", "curly") else 0.440
    half = [
        (wide * 1.0 + 0.25 * v, foot),
        (wide * 1.0 + 0.75 * v, 0.34),
        (wide * 0.93 + v, 0.205),
        (0.170 + 0.85 * v, top + 0.062 - 0.6 * v),
        (0.092 + 0.3 * v, top + 0.012 - 0.8 * v),
    ]
    left = [face.behind(-x, y) for x, y in half]
    right = [face.behind(x, y) for x, y in reversed(half)]
    outer = [*left, face.behind(part, top - 0.9 * v), *right]
    if style == "curly":
        outer = _bumpy(outer, 0.010, face.identity.seed)
    path = smooth_path(outer, closed=False)
    path.addPath(smooth_path(hairline_of(face)[::-1], closed=False), skia.Path.kExtend_AddPathMode)
    path.close()
    return path


def _bumpy(points: list[Point], height: float, seed: int) -> list[Point]:
    dense = [lerp(a, b, t) for a, b in itertools.pairwise(points) for t in (0.0, 0.33, 0.67)]
    dense.append(points[-1])
    offsets = texture_draws(seed, 3, len(dense))
    return [
        (x + height * dx, y + height * dy)
        for (x, y), (dx, dy, _, _) in zip(dense, offsets, strict=True)
    ]


def _draw_hairline_shadow(canvas: skia.Canvas, face: Face, cap: skia.Path, over: skia.Path) -> None:
    canvas.save()
    canvas.clipPath(over, True)
    canvas.translate(-0.006 * face.identity.light[0], 0.012)
    canvas.drawPath(cap, fill_paint(scale(face.identity.skin_colour, 0.35), 0.50, blur=0.010))
    canvas.restore()


def _draw_cap(canvas: skia.Canvas, face: Face, cap: skia.Path) -> None:
    identity = face.identity
    colour = identity.hair_colour
    bounds = cap.getBounds()
    lx = identity.light[0]
    cropped = identity.hair_style == "cropped"
    body = mix(colour, identity.skin_colour, 0.22) if cropped else colour
    stops = [
        (0.0, argb(scale(body, 0.72 - 0.25 * lx))),
        (0.5, argb(scale(body, 1.0))),
        (1.0, argb(scale(body, 0.72 + 0.25 * lx))),
    ]
    blur = 0.006 if cropped else 0.0025
    paint = linear_paint((bounds.left(), 0.0), (bounds.right(), 0.0), stops)
    paint.setMaskFilter(skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, blur))
    canvas.drawPath(cap, paint)
    canvas.save()
    canvas.clipPath(cap, True)
    shine = (0.5 + 0.16 * lx + 0.2 * identity.yaw, bounds.top() + 0.070)
    soft_spot(canvas, shine, (0.20, 0.055), _shine(colour), 0.34)
    if cropped:
        _draw_stubble(canvas, face, bounds)
    else:
        _draw_cap_strands(canvas, face, colour)
    canvas.restore()


def _shine(colour: Colour) -> Colour:
    return mix(scale(colour, 1.7), (1.0, 0.96, 0.90), 0.30)


def _draw_cap_strands(canvas: skia.Canvas, face: Face, colour: Colour) -> None:
    """Comb strands from the parting to both sides."""
    identity = face.identity
    draws = texture_draws(identity.seed, 0, 60)
    part_x = (
        0.075 * max(-1.0, min(1.0, identity.parting)) if identity.hair_style != "tied-back" else 0.0
    )
    wide, top, turn = face.half_width, face.top, face.pose.turn
    paths = (skia.Path(), skia.Path(), skia.Path())
    for i, (a, b, c, d) in enumerate(draws):
        side = 1.0 if i % 2 else -1.0
        u = (i + 0.5) / len(draws)
        start = turn(part_x + 0.01 * a, top - 0.02 + 0.15 * u, 0.10 * u)
        end = turn(side * (wide * (1.02 - 0.22 * u) + 0.02 * b), 0.42 - 0.16 * u + 0.03 * c, 0.02)
        bend = turn(side * (wide * (0.98 - 0.30 * u)), top + 0.05 + 0.10 * u + 0.02 * d, 0.04)
        path = paths[i % 3]
        path.moveTo(*start)
        path.quadTo(*bend, *end)
    dark, light, shine = scale(colour, 0.55), scale(colour, 1.35), _shine(colour)
    for path, shade, alpha in zip(paths, (dark, light, shine), (0.5, 0.4, 0.22), strict=True):
        canvas.drawPath(path, stroke_paint(shade, 0.0042, alpha))


def _draw_stubble(canvas: skia.Canvas, face: Face, bounds: skia.Rect) -> None:
    draws = texture_draws(face.identity.seed, 1, 150)
    path = skia.Path()
    for u, v, _, _ in draws:
        x = bounds.centerX() + 0.5 * u * bounds.width()
        y = bounds.centerY() + 0.5 * v * bounds.height()
        path.moveTo(x, y)
        path.lineTo(x + 0.004, y + 0.007)
    canvas.drawPath(path, stroke_paint(scale(face.identity.hair_colour, 0.6), 0.0035, 0.5))


def _falling_mass(face: Face, wavy: bool) -> skia.Path:
    v, wide, top = _volume(face), face.half_width, face.top
    wave = 0.014 if wavy else 0.0
    end = 0.90 if wavy else 1.08
    half = [
        (0.12, top - 0.9 * v),
        (0.195 + v, top + 0.072),
        (wide + 1.15 * v, 0.30),
        (wide + 1.15 * v + wave, 0.46),
        (wide + 1.3 * v - wave, 0.60),
        (wide + 1.5 * v + wave, 0.74),
        (wide + 1.3 * v, end - 0.05),
        (wide * 0.72, end),
    ]
    right = [face.behind(x, y, -0.04) for x, y in half]
    left = [face.behind(-x, y, -0.04) for x, y in reversed(half)]
    return smooth_path([*right, *left])


def _draw_falling(canvas: skia.Canvas, face: Face, wavy: bool) -> None:
    colour = scale(face.identity.hair_colour, 0.72)
    mass = _falling_mass(face, wavy)
    lx = face.identity.light[0]
    stops = [
        (0.0, argb(scale(colour, 0.95 - 0.3 * lx))),
        (0.5, argb(scale(colour, 0.50))),
        (1.0, argb(scale(colour, 0.95 + 0.3 * lx))),
    ]
    canvas.drawPath(mass, linear_paint((0.2, 0.0), (0.8, 0.0), stops))
    canvas.save()
    canvas.clipPath(mass, True)
    _draw_long_strands(canvas, face, wavy, 0.30)
    canvas.restore()


def _draw_long_strands(canvas: skia.Canvas, face: Face, wavy: bool, bottom_y: float) -> None:
    colour = face.identity.hair_colour
    draws = texture_draws(face.identity.seed, 2, 26)
    paths = (skia.Path(), skia.Path())
    wave = 0.020 if wavy else 0.004
    for i, (a, b, _, _) in enumerate(draws):
        side = 1.0 if i % 2 else -1.0
        x = side * (face.half_width * 0.86 + 0.085 * (i / len(draws)) + 0.006 * a)
        points = [
            (x + side * wave * math.sin(3 * b + 11.0 * k), bottom_y + 0.26 * k) for k in range(4)
        ]
        paths[i // 2 % 2].addPath(
            smooth_path([face.behind(px, py, -0.02) for px, py in points], closed=False)
        )
    canvas.drawPath(paths[0], stroke_paint(scale(colour, 0.5), 0.004, 0.40))
    canvas.drawPath(paths[1], stroke_paint(scale(colour, 1.3), 0.004, 0.32))


def _draw_side_locks(canvas: skia.Canvas, face: Face, wavy: bool) -> None:
    """Paint locks that fall before the ears, beside the face."""
    colour = face.identity.hair_colour
    both = skia.Path()
    for side in (-1.0, 1.0):
        path = _side_lock(face, side, wavy)
        lit = 0.86 + 0.32 * side * face.identity.light[0]
        stops = [
            (0.0, argb(scale(colour, lit * 0.80))),
            (0.35, argb(scale(colour, lit * 1.02))),
            (1.0, argb(scale(colour, lit * 0.66))),
        ]
        canvas.drawPath(path, linear_paint((0.5, 0.30), (0.5, 0.95), stops))
        both.addPath(path)
    canvas.save()
    canvas.clipPath(both, True)
    _draw_long_strands(canvas, face, wavy, 0.22)
    canvas.restore()


def _side_lock(face: Face, side: float, wavy: bool) -> skia.Path:
    v, wide = _volume(face), face.half_width
    end = 0.86 if wavy else 1.02
    wave = 0.012 if wavy else 0.0
    points = [
        (wide * 0.94, 0.33),
        (wide * 0.975, 0.46),
        (wide * 0.97 + wave, 0.60),
        (wide * 0.99, 0.74),
        (wide * 0.92 + wave, end),
        (wide * 1.04 + 1.1 * v, end - 0.03),
        (wide + 1.4 * v + wave, 0.72),
        (wide + 1.15 * v - wave, 0.58),
        (wide + 1.1 * v, 0.44),
        (wide + v, 0.26),
        (wide * 0.90, 0.235),
    ]
    return smooth_path([face.behind(side * x, y, 0.015) for x, y in points])


def _curly_mass(face: Face) -> skia.Path:
    v = _volume(face) * (1.25 if face.identity.person == "woman" else 0.9)
    wide, top = face.half_width, face.top
    low = 0.74 if face.identity.person == "woman" else 0.46
    points = []
    for i in range(26):
        angle = 2 * math.pi * i / 26
        x = (wide + 1.0 * v) * math.sin(angle)
        y = (low + top - v) / 2 - (low - top + v) / 2 * math.cos(angle)
        points.append(face.behind(x, y, -0.03))
    return smooth_path(_bumpy([*points, points[0]], 0.007, face.identity.seed)[:-1])


def _draw_curls(canvas: skia.Canvas, face: Face, area: skia.Path, behind: bool) -> None:
    colour = scale(face.identity.hair_colour, 0.70 if behind else 1.0)
    bounds = area.getBounds()
    lx = face.identity.light[0]
    stops = [
        (0.0, argb(scale(colour, 0.8 - 0.25 * lx))),
        (0.5, argb(colour)),
        (1.0, argb(scale(colour, 0.8 + 0.25 * lx))),
    ]
    canvas.drawPath(area, linear_paint((bounds.left(), 0.0), (bounds.right(), 0.0), stops))
    canvas.save()
    canvas.clipPath(area, True)
    soft_spot(canvas, (0.5 + 0.15 * lx, bounds.top() + 0.08), (0.2, 0.06), _shine(colour), 0.25)
    draws = texture_draws(face.identity.seed, 5 if behind else 4, 130)
    paths = (skia.Path(), skia.Path())
    for i, (a, b, c, d) in enumerate(draws):
        x = bounds.centerX() + 0.5 * a * bounds.width()
        y = bounds.centerY() + 0.5 * b * bounds.height()
        r = 0.013 + 0.005 * c
        paths[i % 2].addArc(skia.Rect.MakeLTRB(x - r, y - r, x + r, y + r), 180.0 * d, 220.0)
    canvas.drawPath(paths[0], stroke_paint(scale(colour, 0.45), 0.0048, 0.7))
    canvas.drawPath(paths[1], stroke_paint(_shine(colour), 0.0042, 0.38))
    canvas.restore()


def _draw_bun(canvas: skia.Canvas, face: Face) -> None:
    colour = face.identity.hair_colour
    x, y = face.behind(0.04 * face.identity.parting, face.top - 0.005, -0.1)
    canvas.drawOval(
        skia.Rect.MakeLTRB(x - 0.095, y - 0.062, x + 0.095, y + 0.07),
        fill_paint(scale(colour, 0.7)),
    )
    rings = skia.Path()
    for k in range(1, 5):
        r = 0.022 * k
        rings.addArc(
            skia.Rect.MakeLTRB(x - r, y - 0.62 * r, x + r, y + 0.7 * r), 190.0 + 8.0 * k, 160.0
        )
    canvas.drawPath(rings, stroke_paint(_shine(colour), 0.005, 0.4))


def _draw_bald_sides(canvas: skia.Canvas, face: Face) -> None:
    """Paint the remaining hair above the ears of the middle-aged and old."""
    if face.identity.years < 36:
        return
    colour = mix(face.identity.hair_colour, face.identity.skin_colour, 0.15)
    wide = face.half_width
    for side in (-1.0, 1.0):
        patch = [
            (wide * 1.03, 0.44),
            (wide * 1.04, 0.36),
            (wide * 0.995, 0.27),
            (wide * 0.93, 0.30),
            (wide * 0.955, 0.38),
            (wide * 0.965, 0.44),
        ]
        path = smooth_path([face.behind(side * x, y, 0.01) for x, y in patch])
        canvas.drawPath(path, fill_paint(scale(colour, 0.9), 0.85, blur=0.006))
