"""Signs of age and of the skin in the second edition: bags, hooded lids, folds, jowls, spots.

They lie where no AU has its furrows, or run otherwise: fine lines over the whole forehead, arcs
below the eyes, folds from the nose that end before the mouth, jowls on the contour, bands on the
neck. What an expression does is told by deep short furrows (`wrinkles`).
"""

from pipelines.procedural.canvas import (
    Point,
    fill_paint,
    mix,
    scale,
    shadow,
    skia,
    smooth_path,
    soft_spot,
    stroke_paint,
)
from pipelines.procedural.geometry import Face
from pipelines.procedural.hair import texture_draws


def draw_age(canvas: skia.Canvas, face: Face) -> None:
    """Paint the lines, folds and spots that age leaves in a face."""
    age = face.efforts.age
    if age < 0.02:
        return
    skin = face.identity.skin_colour
    strong = min(0.25 + 0.75 * age, 1.0)
    _draw_bags(canvas, face, strong)
    fine = skia.Path()
    _add_forehead(fine, face, age)
    _add_corners(fine, face, age)
    _add_cheeks(fine, face, age)
    dark = shadow(skin, 0.42)
    canvas.drawPath(fine, stroke_paint(dark, 0.0036, 0.30 + 0.50 * age))
    folds = skia.Path()
    _add_folds(folds, face)
    canvas.drawPath(folds, stroke_paint(dark, 0.0075, 0.26 + 0.48 * age, blur=0.0022))
    if age > 0.5:
        _draw_jowls(canvas, face, age)
        _draw_spots(canvas, face, age)


def _both(path: skia.Path, face: Face, line: list[Point]) -> None:
    for side in (-1.0, 1.0):
        path.addPath(smooth_path([face.place(side * x, y) for x, y in line], closed=False))


def _draw_bags(canvas: skia.Canvas, face: Face, strong: float) -> None:
    """Paint the arcs and shades below the eyes, and the lids that sink over them."""
    skin = face.identity.skin_colour
    arcs = skia.Path()
    for eye in face.eyes:
        x, half = abs(eye.centre[0]), eye.half_width
        y = eye.centre[1] + max(eye.lower, 0.0)
        side = float(eye.side)
        arc = [
            (x - 0.88 * half, y + 0.010),
            (x - 0.15 * half, y + 0.036),
            (x + 0.75 * half, y + 0.022),
        ]
        arcs.addPath(smooth_path([face.place(side * a, b) for a, b in arc], closed=False))
        at = face.place(side * x, y + 0.024)
        soft_spot(canvas, at, (0.95 * half, 0.022), shadow(skin, 0.50), 0.44 * strong)
        hood = face.place(side * (x + 0.72 * half), eye.centre[1] - eye.upper - 0.010)
        soft_spot(canvas, hood, (0.50 * half, 0.016), shadow(skin, 0.55), 0.40 * strong)
    canvas.drawPath(arcs, stroke_paint(shadow(skin, 0.40), 0.0048, 0.62 * strong))


def _add_forehead(path: skia.Path, face: Face, age: float) -> None:
    """Add fine lines over the whole breadth of the forehead."""
    brow = min(face.brows[0].arch[1], face.brows[1].arch[1])
    rows = 2 if age < 0.5 else 3
    for row, (a, b, c, _) in enumerate(texture_draws(face.identity.seed, 21, rows)):
        y = brow - 0.044 - 0.030 * row
        wide = 0.150 - 0.016 * row + 0.010 * a
        line = [(-wide, y + 0.006 + 0.003 * b), (-0.5 * wide, y - 0.002), (0.0, y + 0.004),
                (0.5 * wide, y - 0.002), (wide, y + 0.006 + 0.003 * c)]  # fmt: skip
        path.addPath(smooth_path([face.place(x, yy) for x, yy in line], closed=False))


def _add_corners(path: skia.Path, face: Face, age: float) -> None:
    """Add fine lines beside the eyes that hang down, where AU6's fan out."""
    eye = face.eyes[1]
    x, y = abs(eye.centre[0]) + eye.half_width + 0.010, eye.centre[1]
    for k in range(2 if age < 0.5 else 3):
        start = y + 0.004 + 0.013 * k
        _both(path, face, [(x, start), (x + 0.016, start + 0.008), (x + 0.028, start + 0.022)])


def _add_cheeks(path: skia.Path, face: Face, age: float) -> None:
    """Add creases of thin skin on the cheeks of the old."""
    if age < 0.55:
        return
    for k in range(3):
        x, y = 0.150 + 0.021 * k, 0.600 + 0.012 * k
        _both(path, face, [(x, y), (x + 0.010, y + 0.040), (x - 0.002, y + 0.085)])
    y = face.mouth.upper_top - 0.006
    for x in (0.014, 0.034):
        _both(path, face, [(x, y - 0.014), (x, y)])


def _add_folds(path: skia.Path, face: Face) -> None:
    """Add the folds from the wings of the nose, which end above the mouth's corners."""
    nose = face.nose
    x, y = nose.half_width + 0.012, nose.wing - 0.004
    _both(path, face, [(x, y), (x + 0.022, y + 0.022), (x + 0.034, y + 0.052)])


def _draw_jowls(canvas: skia.Canvas, face: Face, age: float) -> None:
    """Paint cheeks that hang over the jaw, and bands on the neck."""
    skin = face.identity.skin_colour
    y = face.chin - 0.070
    for side in (-1.0, 1.0):
        at = face.place(side * 0.115, y)
        soft_spot(canvas, at, (0.030, 0.055), shadow(skin, 0.55), 0.34 * age)
        hollow = face.place(side * 0.205, 0.600)
        soft_spot(canvas, hollow, (0.035, 0.060), shadow(skin, 0.55), 0.36 * age)


def _draw_spots(canvas: skia.Canvas, face: Face, age: float) -> None:
    """Paint the spots of old skin at temples and cheeks."""
    skin = face.identity.skin_colour
    spots = skia.Path()
    for a, b, c, d in texture_draws(face.identity.seed, 22, 9):
        x = (0.13 + 0.07 * abs(a)) * (1.0 if d > 0 else -1.0)
        spots.addCircle(*face.place(x, 0.36 + 0.22 * abs(b)), 0.0045 + 0.003 * c)
    canvas.drawPath(spots, fill_paint(mix(scale(skin, 0.62), (0.35, 0.2, 0.12), 0.3), 0.52 * age))
