"""Furrows of expression and of age in the first edition of the drawings.

Each AU has a region of its own: AU1 the middle of the forehead, AU2 its sides, AU4 the glabella,
AU5 none (the white of the eye tells it), AU6 crow's feet and the lower lid, AU9 the root and sides
of the nose, AU12 the nasolabial folds, AU15 the pouches below the mouth corners, AU17 the chin,
AU20 the cheeks beside the mouth corners. Lines of age run in the same places, much fainter.
"""

from pipelines.procedural.canvas import fill_paint, skia
from pipelines.procedural.furrows import Pen
from pipelines.procedural.geometry import Face

_DIMPLES = (
    (-0.030, 0.006), (-0.018, -0.008), (-0.006, 0.004), (0.007, -0.009), (0.018, 0.007),
    (0.030, -0.003), (-0.012, 0.018), (0.011, 0.019), (-0.024, 0.020), (0.025, 0.018),
)  # fmt: skip
"""Pits of a raised chin, from its middle."""


def draw_wrinkles(canvas: skia.Canvas, face: Face) -> None:
    """Paint all furrows of a face."""
    pen = Pen(canvas, face)
    _forehead(pen)
    _glabella(pen)
    _crows_feet(pen)
    _lower_lids(pen)
    _nose_root(pen)
    _nasolabial(pen)
    _pouches(pen)
    _chin(pen)
    _stretch_lines(pen)


def _forehead(pen: Pen) -> None:
    e = pen.efforts
    inner, outer = max(e.brow_in, 0.0), max(e.brow_out, 0.0)
    for row, weight in enumerate((1.0, 0.9, 0.7)):
        y = 0.322 - 0.034 * row - 0.010 * inner
        pen.furrow(
            (-0.066, y + 0.004),
            (0.0, y - 0.012 * inner),
            (0.066, y + 0.004),
            0.0062,
            weight * inner,
        )
        pen.furrow(
            (-0.100, y - 0.014), (0.0, y - 0.020), (0.100, y - 0.014), 0.0035, weight * pen.age
        )
    for row, weight in enumerate((1.0, 0.85)):
        y = 0.318 - 0.032 * row - 0.014 * outer
        pen.mirrored(
            (0.082, y - 0.006), (0.142, y - 0.044), (0.196, y + 0.022), 0.0062, weight * outer
        )


def _glabella(pen: Pen) -> None:
    low = max(pen.efforts.brow_low, 0.0)
    y = pen.face.brows[1].inner[1]
    strength = low + 0.5 * pen.age
    pen.mirrored((0.017, y - 0.036), (0.010, y - 0.005), (0.019, y + 0.018), 0.0068, strength)
    pen.shade((0.0, y - 0.004), (0.015, 0.030), 0.34 * low, pen.light)
    for side in (-1.0, 1.0):
        pen.shade((side * 0.030, y + 0.018), (0.024, 0.020), 0.42 * low, pen.dark)


def _crows_feet(pen: Pen) -> None:
    eye = pen.face.eyes[1]
    x, y = eye.centre[0] + eye.half_width + 0.006, eye.centre[1] - 0.002
    strength = 1.15 * max(pen.efforts.cheek, 0.0) + pen.age
    for rise, length in ((-0.028, 0.040), (-0.002, 0.050), (0.028, 0.040)):
        start = (x, y + 0.35 * rise)
        end = (x + length, y + 1.25 * rise)
        pen.mirrored(start, ((start[0] + end[0]) / 2, y + 0.6 * rise), end, 0.0060, strength)


def _lower_lids(pen: Pen) -> None:
    cheek = max(pen.efforts.cheek, 0.0)
    eye = pen.face.eyes[1]
    x, half = eye.centre[0], eye.half_width
    y = eye.centre[1] + eye.lower + 0.019 - 0.004 * cheek
    strength = 1.05 * cheek + 0.9 * pen.age
    pen.mirrored(
        (x - 0.9 * half, y - 0.004), (x, y + 0.020), (x + 0.95 * half, y - 0.008), 0.0058, strength
    )
    for side in (-1.0, 1.0):
        pen.shade((side * (x + 0.008), y + 0.028), (0.052, 0.020), 0.50 * cheek, pen.light)


def _nose_root(pen: Pen) -> None:
    wrinkle = pen.efforts.nose_wrinkle
    for row, weight in enumerate((1.0, 0.9, 0.75)):
        y = 0.436 + 0.022 * row
        wide = 0.022 + 0.003 * row
        pen.furrow(
            (-wide, y + 0.007), (0.0, y - 0.008), (wide, y + 0.007), 0.0060, weight * wrinkle, 0.02
        )
    for row in range(2):
        y = 0.492 + 0.022 * row
        pen.mirrored(
            (0.022, y), (0.040, y - 0.002), (0.052, y + 0.020), 0.0058, (1.0 - 0.2 * row) * wrinkle
        )


def _nasolabial(pen: Pen) -> None:
    e, nose, mouth = pen.efforts, pen.face.nose, pen.face.mouth
    corner_x, corner_y = mouth.right
    start = (nose.half_width + 0.008, nose.wing - 0.012)
    bow = (corner_x + 0.030 + 0.012 * e.smile, start[1] + 0.024 - 0.016 * min(e.smile, 1.0))
    end = (corner_x + 0.016, corner_y + 0.012 + 0.022 * e.smile)
    strength = 0.95 * e.smile + 1.2 * pen.age + 0.12 * max(e.cheek, 0.0)
    pen.mirrored(start, bow, end, 0.0072, strength)
    upper = (start[0] + 0.034, nose.wing + 0.022)
    pen.mirrored(start, (start[0] + 0.020, nose.wing - 0.008), upper, 0.0064, 0.75 * e.nose_wrinkle)


def _pouches(pen: Pen) -> None:
    frown = pen.efforts.frown
    x, y = pen.face.mouth.right
    pen.mirrored(
        (x + 0.004, y + 0.002),
        (x + 0.020, y + 0.020),
        (x + 0.012, y + 0.050),
        0.0066,
        0.95 * frown + 0.8 * pen.age,
    )
    pen.mirrored(
        (x - 0.018, y + 0.030), (x - 0.004, y + 0.040), (x + 0.008, y + 0.034), 0.0050, 0.55 * frown
    )
    for side in (-1.0, 1.0):
        pen.shade((side * (x - 0.006), y + 0.022), (0.022, 0.016), 0.50 * frown, pen.light)
        pen.shade((side * (x + 0.020), y + 0.028), (0.016, 0.034), 0.50 * frown, pen.dark)


def _chin(pen: Pen) -> None:
    """Draw the dimpled chin: an arch below the lip and pits on the boss."""
    raised = pen.efforts.chin_raise
    bottom, chin = pen.face.mouth.lower_bottom, pen.face.chin
    y = bottom + 0.014
    pen.furrow((-0.050, y + 0.022), (0.0, y - 0.026), (0.050, y + 0.022), 0.0066, 0.85 * raised)
    if raised <= 0.01:
        return
    middle = 0.5 * (y + chin)
    pits, rims = skia.Path(), skia.Path()
    for dx, dy in _DIMPLES:
        x, y = pen.face.place(dx, middle + dy)
        pits.addCircle(x, y, 0.0044)
        rims.addCircle(x + 0.003, y + 0.005, 0.0036)
    pen.canvas.drawPath(pits, fill_paint(pen.dark, 0.60 * min(raised, 1.3)))
    pen.canvas.drawPath(rims, fill_paint(pen.light, 0.42 * min(raised, 1.3)))


def _stretch_lines(pen: Pen) -> None:
    stretch = max(pen.efforts.stretch, 0.0)
    x, y = pen.face.mouth.right
    for i, weight in enumerate((1.0, 0.75)):
        at = x + 0.014 + 0.018 * i
        tall = 0.032 - 0.004 * i
        pen.mirrored(
            (at - 0.004, y - tall),
            (at + 0.012, y),
            (at - 0.004, y + tall),
            0.0060,
            weight * stretch,
        )
