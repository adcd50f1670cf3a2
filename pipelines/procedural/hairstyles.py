"""Hair of the second edition: seven styles that differ in outline, length and grain.

Bald shows the skull, cropped a shadow of hair on it, short a textured crown that ends at the ears,
long straight locks before the shoulders, wavy wide swings down to them, curly a bumpy ball of
ringlets, tied-back a smooth cap with bare ears and a tail.
"""

import itertools
import math
from collections.abc import Callable

from pipelines.procedural.canvas import (
    Colour,
    Point,
    argb,
    fill_paint,
    linear_paint,
    mix,
    scale,
    skia,
    smooth_path,
    soft_spot,
    stroke_paint,
)
from pipelines.procedural.geometry import Face
from pipelines.procedural.hair import texture_draws

_VOLUME = {"cropped": 0.005, "tied-back": 0.010, "short": 0.034, "long": 0.028, "wavy": 0.046,
           "curly": 0.062}  # fmt: skip
"""Style → how far the hair stands off the skull."""


def draw_hair_behind(canvas: skia.Canvas, face: Face) -> None:
    """Paint the hair that stands behind head and neck."""
    style = face.identity.hair_style
    if style in ("long", "wavy"):
        _fill(canvas, face, _curtain(face, style), 0.62)
    elif style == "curly":
        _fill_curls(canvas, face, _ball(face), 0.66, 5)
    elif style == "tied-back":
        _draw_tied(canvas, face)


def draw_hair_before(canvas: skia.Canvas, face: Face, over: skia.Path) -> None:
    """Paint the hair that stands before the skull; `over` is the contour of the head."""
    style = face.identity.hair_style
    if style == "bald":
        _draw_skull(canvas, face, over)
        return
    if style == "cropped":
        _draw_cropped(canvas, face, over)
        return
    cap = _cap(face)
    _draw_shadow(canvas, face, cap, over)
    if style == "curly":
        _fill_curls(canvas, face, cap, 1.0, 4)
        return
    _fill(canvas, face, cap, 1.0)
    canvas.save()
    canvas.clipPath(cap, True)
    _draw_shine(canvas, face, cap)
    _draw_strands(canvas, face, _combed_back if style == "tied-back" else _combed)
    canvas.restore()
    if style in ("long", "wavy"):
        _draw_locks(canvas, face, style)


def _volume(face: Face) -> float:
    grown = 1 + 0.20 * face.identity.hair_volume
    return _VOLUME[face.identity.hair_style] * grown * (1 - 0.25 * face.efforts.age)


def _parted(face: Face) -> float:
    """Return the side of the parting: x of it in the face frame."""
    parting = face.identity.parting
    return 0.075 * max(-1.0, min(1.0, 1.4 * parting))


def _hairline(face: Face) -> list[Point]:
    """Return the hairline from the left temple to the right, in the face frame."""
    identity = face.identity
    man, style = identity.person == "man", identity.hair_style
    recede = (0.055 if man else 0.014) * face.efforts.age + (0.010 if man else 0.0)
    middle = 0.182 - 0.011 * identity.hairline - 0.45 * recede
    corner = middle + 0.014 - recede - 0.008 * abs(identity.peak)
    peak = middle + 0.014 * max(identity.peak, 0.0)
    foot = 0.460 if man or style in ("curly", "short") else 0.425
    wide = face.half_width
    half = [
        (wide * 0.97, foot),
        (wide * 0.935, 0.345),
        (wide * 0.85, 0.262),
        (wide * 0.60, corner),
        (wide * 0.27, middle),
    ]
    line = [(-x, y) for x, y in half] + [(0.0, peak)] + half[::-1]
    if style == "tied-back" or (man and identity.fringe == 0):
        return line
    return [(x, y + _fringe(face, x, y)) for x, y in line]


def _fringe(face: Face, x: float, y: float) -> float:
    """Return how far hair hangs over the forehead: straight, or swept from the parting."""
    across = x / face.half_width
    if y > 0.3 or face.identity.hair_style == "curly":
        return 0.0
    if face.identity.fringe == 1:
        return 0.110 * (1.0 - abs(across) ** 4)
    side = 1.0 if face.identity.parting > 0 else -1.0
    swept = 0.105 if face.identity.fringe == 2 else 0.045
    return swept * max(0.0, -side * across + 0.12)


def _cap(face: Face) -> skia.Path:
    """Return the area of hair over the skull: its outer edge and the hairline."""
    v, wide, top = _volume(face), face.half_width, face.top
    style, woman = face.identity.hair_style, face.identity.person == "woman"
    foot = {"short": 0.555 if woman else 0.475, "curly": 0.50}.get(style, 0.440)
    side = 0.9 if style == "short" and not woman else 1.0
    half = [
        (wide * 0.99 + 0.25 * v * side, foot),
        (wide * 1.0 + 0.75 * v * side, 0.345),
        (wide * 0.94 + v * side, 0.205),
        (0.172 + 0.85 * v, top + 0.058 - 0.6 * v),
        (0.092 + 0.3 * v, top + 0.010 - 0.9 * v),
    ]
    left = [face.behind(-x, y) for x, y in half]
    right = [face.behind(x, y) for x, y in reversed(half)]
    outer = [*left, face.behind(0.5 * _parted(face), top - 0.95 * v), *right]
    if style == "curly":
        outer = _bumpy(outer, 0.013, face.identity.seed)
    elif style == "short":
        outer = _bumpy(outer, 0.0050, face.identity.seed)
    line = [face.place(x, y) for x, y in _hairline(face)]
    path = smooth_path(outer, closed=False)
    path.addPath(smooth_path(line[::-1], closed=False), skia.Path.kExtend_AddPathMode)
    path.close()
    return path


def _bumpy(points: list[Point], height: float, seed: int) -> list[Point]:
    """Add points to an open line and push them to and fro."""
    dense: list[Point] = []
    for (ax, ay), (bx, by) in itertools.pairwise(points):
        dense += [(ax + (bx - ax) * t, ay + (by - ay) * t) for t in (0.0, 0.33, 0.67)]
    dense.append(points[-1])
    offsets = texture_draws(seed, 3, len(dense))
    return [
        (x + height * dx, y + height * (dy + (0.4 if i % 2 else -0.4)))
        for i, ((x, y), (dx, dy, _, _)) in enumerate(zip(dense, offsets, strict=True))
    ]


def _lit(face: Face, colour: Colour, bounds: skia.Rect) -> skia.Paint:
    """Return a fill of hair that is brighter on the side of the light."""
    lx = 0.32 * face.identity.light[0]
    stops = [
        (0.0, argb(scale(colour, 0.76 - lx))),
        (0.5, argb(colour)),
        (1.0, argb(scale(colour, 0.76 + lx))),
    ]
    return linear_paint((bounds.left(), 0.0), (bounds.right(), 0.0), stops)


def _fill(canvas: skia.Canvas, face: Face, area: skia.Path, depth: float) -> None:
    canvas.drawPath(area, _lit(face, scale(face.identity.hair_colour, depth), area.getBounds()))


def _shine(colour: Colour) -> Colour:
    return mix(scale(colour, 1.6), (1.0, 0.96, 0.90), 0.08 + 0.14 * min(sum(colour), 1.0))


def _draw_shine(canvas: skia.Canvas, face: Face, cap: skia.Path) -> None:
    identity = face.identity
    x = 0.5 + 0.16 * identity.light[0] + 0.2 * identity.yaw
    at = (x, cap.getBounds().top() + 0.066)
    soft_spot(canvas, at, (0.19, 0.045), _shine(identity.hair_colour), 0.34)


def _draw_shadow(canvas: skia.Canvas, face: Face, cap: skia.Path, over: skia.Path) -> None:
    """Paint the shadow of the hair on the forehead."""
    canvas.save()
    canvas.clipPath(over, True)
    canvas.translate(-0.006 * face.identity.light[0], 0.011)
    canvas.drawPath(cap, fill_paint(scale(face.identity.skin_colour, 0.35), 0.42, blur=0.008))
    canvas.restore()


def _draw_skull(canvas: skia.Canvas, face: Face, over: skia.Path) -> None:
    """Paint the shine of a bald head, and what older men keep above the ears."""
    identity = face.identity
    canvas.save()
    canvas.clipPath(over, True)
    lx = identity.light[0]
    at = face.behind(0.10 * lx + 0.03, face.top + 0.070, 0.06)
    soft_spot(canvas, at, (0.105, 0.050), (1.0, 0.985, 0.96), 0.62)
    soft_spot(canvas, (at[0] + 0.012, at[1] - 0.012), (0.040, 0.018), (1.0, 1.0, 1.0), 0.70)
    canvas.restore()
    if identity.years < 40 or identity.person == "woman" or identity.hair_volume < 0.0:
        return
    colour = mix(identity.hair_colour, identity.skin_colour, 0.15)
    wide = face.half_width
    sides = skia.Path()
    for side in (-1.0, 1.0):
        patch = [
            (wide * 1.04, 0.45), (wide * 1.07, 0.37), (wide * 1.02, 0.285), (wide * 0.93, 0.31),
            (wide * 0.935, 0.38), (wide * 0.955, 0.45),
        ]  # fmt: skip
        sides.addPath(smooth_path([face.behind(side * x, y, 0.01) for x, y in patch]))
    canvas.drawPath(sides, fill_paint(scale(colour, 0.9), 0.92, blur=0.004))


def _draw_cropped(canvas: skia.Canvas, face: Face, over: skia.Path) -> None:
    """Paint hair so short that the skull shines through, in dots."""
    identity = face.identity
    cap = _cap(face)
    colour = mix(scale(identity.hair_colour, 0.85), identity.skin_colour, 0.26)
    paint = _lit(face, colour, cap.getBounds())
    paint.setAlphaf(0.94)
    paint.setMaskFilter(skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, 0.007))
    canvas.drawPath(cap, paint)
    bounds = cap.getBounds()
    dots, lights = skia.Path(), skia.Path()
    for i, (u, v, _, _) in enumerate(texture_draws(identity.seed, 1, 150)):
        x = bounds.centerX() + 0.5 * u * bounds.width()
        y = bounds.centerY() + 0.5 * v * bounds.height()
        path = lights if i % 3 == 0 else dots
        path.moveTo(x, y)
        path.lineTo(x + 0.002, y + 0.006)
    canvas.save()
    canvas.clipPath(cap, True)
    canvas.drawPath(dots, stroke_paint(scale(identity.hair_colour, 0.45), 0.0045, 0.60))
    canvas.drawPath(lights, stroke_paint(mix(colour, identity.skin_colour, 0.6), 0.0045, 0.5))
    canvas.restore()


Combing = Callable[[Face, int, float, list[float]], tuple[Point, Point, Point]]


def _combed(face: Face, i: int, u: float, draws: list[float]) -> tuple[Point, Point, Point]:
    """Return a strand from the parting down to a side."""
    a, b, c, d = draws
    side = 1.0 if i % 2 else -1.0
    wide, top, turn = face.half_width, face.top, face.pose.turn
    start = turn(_parted(face) + 0.01 * a, top - 0.02 + 0.15 * u, 0.10 * u)
    bend = turn(side * (wide * (0.98 - 0.30 * u)), top + 0.05 + 0.10 * u + 0.02 * d, 0.04)
    end = turn(side * (wide * (1.02 - 0.22 * u) + 0.02 * b), 0.44 - 0.14 * u + 0.03 * c, 0.02)
    return start, bend, end


def _combed_back(face: Face, i: int, u: float, draws: list[float]) -> tuple[Point, Point, Point]:
    """Return a strand from the hairline up to the crown."""
    a, _, _, d = draws
    side = 1.0 if i % 2 else -1.0
    wide, top, turn = face.half_width, face.top, face.pose.turn
    start = turn(side * wide * (0.98 * math.sin(1.5 * u)), 0.42 - 0.24 * (1.0 - u * u), 0.06)
    bend = turn(side * wide * 0.80 * u, 0.20 - 0.02 * a, 0.03)
    end = turn(0.012 * d, top + 0.002, -0.02)
    return start, bend, end


def _draw_strands(canvas: skia.Canvas, face: Face, combing: Combing) -> None:
    colour = face.identity.hair_colour
    paths = (skia.Path(), skia.Path(), skia.Path())
    draws = texture_draws(face.identity.seed, 0, 48)
    for i, row in enumerate(draws):
        start, bend, end = combing(face, i, (i + 0.5) / len(draws), row)
        paths[i % 3].moveTo(*start)
        paths[i % 3].quadTo(*bend, *end)
    shades = ((scale(colour, 0.50), 0.55), (scale(colour, 1.35), 0.45), (_shine(colour), 0.26))
    for path, (shade, alpha) in zip(paths, shades, strict=True):
        canvas.drawPath(path, stroke_paint(shade, 0.0048, alpha))


def _swing(style: str, y: float, phase: float) -> float:
    """Return how far a lock swings to the side at a height."""
    return 0.021 * math.sin(21.0 * (y - 0.40) + phase) if style == "wavy" else 0.0


def _curtain(face: Face, style: str) -> skia.Path:
    """Return the hair that falls behind the neck."""
    v, wide, top = _volume(face), face.half_width, face.top
    end = 0.97 if style == "wavy" else 1.10
    half = [(0.12, top - 0.9 * v), (0.195 + v, top + 0.072), (wide + 1.15 * v, 0.30)]
    half += [
        (wide + 1.25 * v + 0.010 * k + _swing(style, 0.44 + 0.10 * k, 0.0), 0.44 + 0.10 * k)
        for k in range(6)
        if 0.44 + 0.10 * k < end - 0.02
    ]
    half.append((wide * 0.80, end))
    right = [face.behind(x, y, -0.04) for x, y in half]
    left = [face.behind(-x, y, -0.04) for x, y in reversed(half)]
    return smooth_path([*right, *left])


def _draw_locks(canvas: skia.Canvas, face: Face, style: str) -> None:
    """Paint locks that fall beside the face and before the shoulders."""
    colour = face.identity.hair_colour
    both = skia.Path()
    for side in (-1.0, 1.0):
        path = _lock(face, side, style)
        lit = 0.88 + 0.30 * side * face.identity.light[0]
        stops = [
            (0.0, argb(scale(colour, lit * 0.84))),
            (0.35, argb(scale(colour, lit * 1.04))),
            (1.0, argb(scale(colour, lit * 0.74))),
        ]
        canvas.drawPath(path, linear_paint((0.5, 0.30), (0.5, 1.0), stops))
        both.addPath(path)
    canvas.save()
    canvas.clipPath(both, True)
    _draw_hanging(canvas, face, style)
    canvas.restore()


def _lock(face: Face, side: float, style: str) -> skia.Path:
    v, wide = _volume(face), face.half_width
    end = 0.955 if style == "wavy" else 1.06
    heights = [0.33, 0.43, 0.53, 0.63, 0.73, 0.83, 0.93]
    inner = [
        (wide * (0.93 + 0.03 * min(k, 2)) + 0.6 * _swing(style, y, 0.6), y)
        for k, y in enumerate(heights)
        if y < end
    ]
    outer = [
        (wide + 1.25 * v + 0.006 * k + _swing(style, y, 0.0), y)
        for k, y in enumerate(heights)
        if y < end
    ]
    tip = (wide * 0.95 + 0.5 * v + 0.02, end + 0.02)
    points = [*inner, tip, *reversed(outer), (wide + v, 0.25), (wide * 0.90, 0.232)]
    return smooth_path([face.behind(side * x, y, 0.015) for x, y in points])


def _draw_hanging(canvas: skia.Canvas, face: Face, style: str) -> None:
    colour = face.identity.hair_colour
    paths = (skia.Path(), skia.Path())
    steps = 9 if style == "wavy" else 3
    reach = 0.12 + 0.6 * _volume(face)
    draws = texture_draws(face.identity.seed, 2, 20)
    for i, (a, b, _, _) in enumerate(draws):
        side = 1.0 if i % 2 else -1.0
        x = face.half_width * 0.92 + reach * (i / len(draws)) + 0.006 * a
        line = []
        for k in range(steps + 1):
            y = 0.26 + 0.82 * k / steps
            line.append(face.behind(side * (x + _swing(style, y, 0.5 * b)), y, 0.0))
        paths[i // 2 % 2].addPath(smooth_path(line, closed=False))
    canvas.drawPath(paths[0], stroke_paint(scale(colour, 0.45), 0.0055, 0.50))
    canvas.drawPath(paths[1], stroke_paint(_shine(colour), 0.0050, 0.34))


def _ball(face: Face) -> skia.Path:
    """Return the outline of a head of curls: small on a man, down to the jaw on a woman."""
    woman = face.identity.person == "woman"
    v = _volume(face) * (1.35 if woman else 1.0)
    low = 0.80 if woman else 0.52
    wide, top = face.half_width, face.top
    points = []
    for i in range(18):
        angle = 2 * math.pi * i / 18
        bump = 1.0 + (0.045 if i % 2 else -0.02)
        x = (wide + 1.05 * v) * math.sin(angle) * bump
        y = (low + top - v) / 2 - (low - top + v) / 2 * math.cos(angle) * bump
        points.append(face.behind(x, y, -0.03))
    return smooth_path(_bumpy([*points, points[0]], 0.008, face.identity.seed)[:-1])


def _fill_curls(canvas: skia.Canvas, face: Face, area: skia.Path, depth: float, stage: int) -> None:
    """Fill an area with ringlets."""
    colour = scale(face.identity.hair_colour, depth)
    bounds = area.getBounds()
    canvas.drawPath(area, _lit(face, colour, bounds))
    canvas.save()
    canvas.clipPath(area, True)
    dark, bright = skia.Path(), skia.Path()
    for a, b, c, d in texture_draws(face.identity.seed, stage, 100):
        x = bounds.centerX() + 0.5 * a * bounds.width()
        y = bounds.centerY() + 0.5 * b * bounds.height()
        r = 0.0175 + 0.005 * c
        dark.addArc(skia.Rect.MakeLTRB(x - r, y - r, x + r, y + r), 180.0 * d, 230.0)
        s = 0.55 * r
        bright.addArc(skia.Rect.MakeLTRB(x - s, y - s, x + s, y + s), 180.0 * d + 140.0, 180.0)
    canvas.drawPath(dark, stroke_paint(scale(colour, 0.50), 0.0062, 0.70))
    canvas.drawPath(
        bright, stroke_paint(mix(scale(colour, 1.35), _shine(colour), 0.3), 0.0058, 0.42)
    )
    canvas.restore()


def _draw_tied(canvas: skia.Canvas, face: Face) -> None:
    """Paint a tail that falls over a shoulder, and for some a bun on the crown."""
    identity = face.identity
    colour = identity.hair_colour
    if identity.hair_volume > 0.6:
        x, y = face.behind(0.02 * identity.parting, face.top - 0.010, -0.08)
        bun = skia.Path()
        bun.addOval(skia.Rect.MakeLTRB(x - 0.105, y - 0.075, x + 0.105, y + 0.080))
        _fill(canvas, face, bun, 0.80)
        rings = skia.Path()
        for k in range(1, 5):
            r = 0.025 * k
            oval = skia.Rect.MakeLTRB(x - r, y - 0.62 * r, x + r, y + 0.7 * r)
            rings.addArc(oval, 190.0 + 8.0 * k, 160.0)
        canvas.drawPath(rings, stroke_paint(_shine(colour), 0.006, 0.5))
    side = 1.0 if identity.parting > 0 else -1.0
    wide = face.half_width
    tail = [
        (0.06, 0.50), (wide * 0.98, 0.56), (wide + 0.075, 0.66), (wide + 0.085, 0.80),
        (wide + 0.050, 0.98), (wide - 0.005, 1.10), (wide - 0.060, 1.04), (wide - 0.080, 0.86),
        (wide - 0.075, 0.70),
    ]  # fmt: skip
    path = smooth_path([face.behind(side * x, y, -0.04) for x, y in tail])
    _fill(canvas, face, path, 0.86)
    lines = skia.Path()
    for k in range(4):
        x = wide - 0.045 + 0.034 * k
        line = [(x - 0.015, 0.62), (x + 0.012, 0.78), (x - 0.010, 1.02)]
        lines.addPath(smooth_path([face.behind(side * a, b, -0.04) for a, b in line], False))
    canvas.drawPath(lines, stroke_paint(scale(colour, 0.5), 0.0050, 0.55))
