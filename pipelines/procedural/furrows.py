"""Furrows of expression and of age in the second edition of the drawings.

Each half of the face has its own strengths. AU1 the middle of the forehead, AU2 its sides, AU4 the
glabella, AU6 crow's feet and the cheek's fold under the eye, AU7 the pouch of the lower lid, AU9
the root and sides of the nose, AU10 the upper nasolabial furrow and the corner above it, AU12 the
whole nasolabial furrow, AU14 the dimple beside the mouth corner, AU15 the pouches below it, AU17
the chin, AU20 the cheeks beside the corners, AU23 fine lines across the lips' rims, AU24 the
bulges around pressed lips, AU43 the closed lid's crease. Lines of age run in the same places, much
fainter.
"""

from pipelines.procedural.canvas import (
    Colour,
    Point,
    fill_paint,
    lens_path,
    mix,
    shadow,
    skia,
    soft_spot,
)
from pipelines.procedural.geometry import Face

_AGE = 0.15
"""Strength of a line of age, where that of expression at intensity 5 is 1."""

_PITS = (
    (-0.034, 0.004), (-0.021, -0.009), (-0.008, 0.003), (0.006, -0.010), (0.019, 0.005),
    (0.033, -0.002), (-0.014, 0.017), (0.010, 0.018), (-0.027, 0.019), (0.026, 0.018),
    (0.000, -0.021), (-0.012, 0.030), (0.014, 0.031),
)  # fmt: skip
"""Pits of a raised chin, from its middle."""


def draw_furrows(canvas: skia.Canvas, face: Face) -> None:
    """Paint all furrows of a face."""
    pen = Pen(canvas, face)
    _forehead(pen)
    _glabella(pen)
    _nose(pen)
    for side in (-1.0, 1.0):
        _eye(pen, side)
        _nasolabial(pen, side)
        _corner(pen, side)
    _lips(pen)
    _chin(pen)


class Pen:
    """Draws furrows in the face frame: a dark line with a lit edge below it."""

    def __init__(self, canvas: skia.Canvas, face: Face) -> None:
        skin = face.identity.skin_colour
        self.canvas = canvas
        self.face = face
        self.efforts = face.efforts
        self.age = _AGE * face.efforts.age
        depth = min(max((1.9 - sum(skin)) / 1.0, 0.0), 1.0)
        self.dark: Colour = shadow(skin, 0.32 - 0.14 * depth)
        self.light: Colour = mix(skin, (1.0, 0.94, 0.86), 0.38 + 0.14 * depth)

    def furrow(
        self,
        start: Point,
        control: Point,
        end: Point,
        width: float,
        strength: float,
        lift: float = 0.0,
    ) -> None:
        """Draw one furrow; `strength` 0 none, 1 as deep as at intensity 5."""
        if strength <= 0.01:
            return
        a, b, c = (self.face.place(x, y, lift) for x, y in (start, control, end))
        wide = width * (0.65 + 0.35 * min(strength, 1.3))
        shift = 0.9 * width
        across = abs(c[0] - a[0]) > abs(c[1] - a[1])
        dx, dy = (0.0, shift) if across else (shift if a[0] < 0.5 else -shift, 0.0)
        lit = lens_path(
            (a[0] + dx, a[1] + dy), (b[0] + dx, b[1] + dy), (c[0] + dx, c[1] + dy), wide
        )
        self.canvas.drawPath(lit, fill_paint(self.light, min(0.50 * strength, 0.65)))
        self.canvas.drawPath(
            lens_path(a, b, c, wide), fill_paint(self.dark, min(0.74 * strength, 0.9))
        )

    def mirrored(
        self, start: Point, control: Point, end: Point, width: float, strength: float
    ) -> None:
        """Draw a furrow of the right side, and its mirror image."""
        self.furrow(start, control, end, width, strength)
        mirror = [(-x, y) for x, y in (start, control, end)]
        self.furrow(mirror[0], mirror[1], mirror[2], width, strength)

    def half(
        self, side: float, start: Point, control: Point, end: Point, width: float, strength: float
    ) -> None:
        """Draw a furrow of one half: points as on the right, `side` -1 left of the image or +1."""
        a, b, c = ((side * x, y) for x, y in (start, control, end))
        self.furrow(a, b, c, width, strength)

    def shade(self, at: Point, radii: Point, alpha: float, colour: Colour) -> None:
        """Draw a soft spot."""
        soft_spot(self.canvas, self.face.place(*at), radii, colour, min(alpha, 0.9))


def _forehead(pen: Pen) -> None:
    inner = max(pen.efforts.brow_in, 0.0)
    for row, weight in enumerate((1.0, 0.9, 0.7)):
        y = 0.318 - 0.034 * row - 0.010 * inner
        pen.furrow(
            (-0.066, y + 0.004), (0.0, y - 0.012 * inner), (0.066, y + 0.004), 0.0062,
            weight * inner,
        )  # fmt: skip
        pen.furrow(
            (-0.100, y - 0.014), (0.0, y - 0.020), (0.100, y - 0.014), 0.0035, weight * pen.age
        )
    for side in (-1.0, 1.0):
        outer = max(pen.face.side(side).brow_out, 0.0)
        for row, weight in enumerate((1.0, 0.85)):
            y = 0.314 - 0.032 * row - 0.014 * outer
            pen.half(
                side, (0.082, y - 0.006), (0.142, y - 0.044), (0.196, y + 0.022), 0.0062,
                weight * outer,
            )  # fmt: skip


def _glabella(pen: Pen) -> None:
    for side, brow in zip((-1.0, 1.0), pen.face.brows, strict=True):
        low = max(pen.face.side(side).brow_low, 0.0)
        x, y = abs(brow.inner[0]), brow.inner[1]
        strength = low + 0.5 * pen.age
        near = 0.5 * x
        pen.half(
            side, (near + 0.003, y - 0.050), (near - 0.005, y - 0.012), (near + 0.004, y + 0.020),
            0.0078, strength,
        )  # fmt: skip
        pen.half(
            side, (x + 0.030, y - 0.046), (x + 0.014, y - 0.034), (x + 0.004, y - 0.024), 0.0050,
            0.55 * low,
        )  # fmt: skip
        pen.shade((side * (x + 0.006), y + 0.026), (0.030, 0.022), 0.50 * low, pen.dark)
        pen.shade((side * x * 0.2, y - 0.008), (0.010, 0.034), 0.30 * low, pen.light)


def _eye(pen: Pen, side: float) -> None:
    """Draw crow's feet, the fold of the raised cheek, the pouch of the tightened lid."""
    eye = pen.face.eyes[side > 0]
    e = pen.face.side(side)
    cheek, tight = max(e.cheek, 0.0), max(e.lid_tight, 0.0)
    middle, half = abs(eye.centre[0]), eye.half_width
    x, y = middle + half + 0.004, eye.centre[1] - 0.002
    strength = 1.15 * cheek + pen.age
    for rise, length in ((-0.030, 0.042), (-0.004, 0.052), (0.026, 0.044)):
        start, end = (x, y + 0.35 * rise), (x + length, y + 1.25 * rise)
        bend = ((start[0] + end[0]) / 2, y + 0.6 * rise)
        pen.half(side, start, bend, end, 0.0062, strength)
    rim = eye.centre[1] + eye.lower
    fold = rim + 0.022 - 0.003 * cheek
    pen.half(
        side, (middle - 0.95 * half, fold - 0.006), (middle, fold + 0.020),
        (middle + 1.0 * half, fold - 0.012), 0.0062, 1.1 * cheek + 0.9 * pen.age,
    )  # fmt: skip
    pen.shade((side * (middle + 0.012), fold + 0.030), (0.060, 0.024), 0.55 * cheek, pen.light)
    pouch = rim + 0.013
    pen.half(
        side, (middle - 0.88 * half, pouch - 0.003), (middle - 0.1 * half, pouch + 0.010),
        (middle + 0.80 * half, pouch - 0.003), 0.0052, 0.95 * tight,
    )  # fmt: skip
    pen.shade((side * middle, rim + 0.006), (0.046, 0.008), 0.60 * tight, pen.light)
    pen.half(
        side, (middle - 1.05 * half, y + 0.002), (middle - 1.30 * half, y + 0.012),
        (middle - 1.42 * half, y + 0.022), 0.0048, 0.8 * tight,
    )  # fmt: skip
    if e.lid_raise > 0 or eye.opening < 0.02:
        lid = eye.centre[1] - max(eye.upper, 0.0) - 0.012
        amount = 0.35 * min(max(0.02 - eye.opening, 0.0) / 0.02, 1.0)
        pen.shade((side * middle, lid + 0.010), (0.050, 0.014), amount, pen.light)


def _nose(pen: Pen) -> None:
    wrinkle = pen.efforts.nose_wrinkle
    if wrinkle <= 0.01:
        return
    for side in (-1.0, 1.0):
        pen.shade((side * 0.034, 0.492), (0.020, 0.050), 0.50 * wrinkle, pen.dark)
        pen.shade((side * 0.066, 0.512), (0.026, 0.024), 0.40 * wrinkle, pen.light)
    for row, weight in enumerate((0.75, 0.70, 0.5)):
        y = 0.430 + 0.021 * row
        wide = 0.024 + 0.003 * row
        pen.furrow(
            (-wide, y + 0.008), (0.0, y - 0.010), (wide, y + 0.008), 0.0058, weight * wrinkle, 0.02
        )
    for row in range(3):
        y = 0.486 + 0.021 * row
        for side in (-1.0, 1.0):
            pen.half(
                side, (0.020, y), (0.042, y - 0.004), (0.060, y + 0.020), 0.0062,
                (0.8 - 0.15 * row) * wrinkle,
            )  # fmt: skip


def _nasolabial(pen: Pen, side: float) -> None:
    face = pen.face
    e, nose, mouth = face.side(side), face.nose, face.mouth
    x, y = (mouth.right if side > 0 else mouth.left)[0] * side, _corner_of(pen, side)[1]
    lift = max(e.lip_raise, e.nose_wrinkle)
    wing = nose.wing - nose.lifts[side > 0]
    start = (nose.half_width + 0.008, wing - 0.012)
    bow = (x + 0.030 + 0.012 * e.smile, start[1] + 0.024 - 0.016 * min(e.smile, 1.0))
    end = (x + 0.016, y + 0.012 + 0.022 * e.smile)
    strength = 0.95 * e.smile + 1.2 * pen.age + 0.14 * max(e.cheek, 0.0)
    pen.half(side, start, bow, end, 0.0072, strength)
    upper = (start[0] + 0.040, wing + 0.034)
    pen.half(
        side, (start[0] - 0.003, start[1] - 0.008), (start[0] + 0.026, wing - 0.012), upper, 0.0076,
        1.0 * min(e.lip_raise + 0.8 * e.nose_wrinkle, 1.3),
    )  # fmt: skip
    pen.shade((side * (start[0] + 0.034), wing - 0.020), (0.028, 0.022), 0.48 * lift, pen.light)
    pen.half(side, (0.050, 0.640), (0.062, 0.655), (0.066, 0.676), 0.0050, 0.5 * e.lip_raise)


def _corner_of(pen: Pen, side: float) -> Point:
    x, y = pen.face.mouth.right if side > 0 else pen.face.mouth.left
    return abs(x), y


def _corner(pen: Pen, side: float) -> None:
    """Draw the pouch of AU15, the dimple of AU14 and the lines of AU20."""
    e = pen.face.side(side)
    frown, dimple, stretch = e.frown, e.dimple, max(e.stretch, 0.0)
    x, y = _corner_of(pen, side)
    pen.half(
        side, (x + 0.004, y - 0.002), (x + 0.022, y + 0.022), (x + 0.010, y + 0.056), 0.0072,
        0.85 * frown + 0.8 * pen.age,
    )  # fmt: skip
    pen.half(
        side, (x - 0.022, y + 0.030), (x - 0.006, y + 0.042), (x + 0.008, y + 0.036), 0.0052,
        0.45 * frown,
    )  # fmt: skip
    pen.shade((side * (x - 0.008), y + 0.020), (0.022, 0.014), 0.26 * frown, pen.light)
    pen.shade((side * (x + 0.020), y + 0.028), (0.018, 0.034), 0.46 * frown, pen.dark)
    pen.shade((side * (x + 0.010), y), (0.013, 0.022), 0.55 * dimple, pen.dark)
    pen.half(
        side, (x + 0.010, y - 0.032), (x + 0.027, y - 0.002), (x + 0.010, y + 0.028), 0.0090,
        0.85 * dimple,
    )  # fmt: skip
    pen.half(
        side, (x + 0.030, y - 0.026), (x + 0.042, y - 0.004), (x + 0.032, y + 0.020), 0.0056,
        0.55 * dimple,
    )  # fmt: skip
    pen.shade((side * (x + 0.036), y - 0.004), (0.016, 0.032), 0.50 * dimple, pen.light)
    for i, weight in enumerate((1.0, 0.75)):
        at, tall = x + 0.014 + 0.018 * i, 0.032 - 0.004 * i
        pen.half(
            side, (at - 0.004, y - tall), (at + 0.012, y), (at - 0.004, y + tall), 0.0060,
            weight * stretch,
        )  # fmt: skip


def _lips(pen: Pen) -> None:
    """Draw the lines across tightened lips, and the bulges around pressed ones."""
    e, mouth = pen.efforts, pen.face.mouth
    top, bottom = mouth.upper_top, mouth.lower_bottom
    for at in (-0.052, -0.034, -0.016, 0.016, 0.034, 0.052):
        pen.furrow(
            (1.10 * at, top - 0.024), (at, top - 0.012), (0.92 * at, top + 0.004), 0.0044,
            0.80 * e.tight,
        )  # fmt: skip
        pen.furrow(
            (0.92 * at, bottom - 0.003), (at, bottom + 0.010), (1.10 * at, bottom + 0.022), 0.0044,
            0.70 * e.tight,
        )  # fmt: skip
    if e.press > 0.01:
        pen.shade((0.0, top - 0.010), (0.074, 0.011), 0.38 * e.press, pen.light)
        pen.shade((0.0, bottom + 0.010), (0.066, 0.012), 0.44 * e.press, pen.light)
        pen.furrow(
            (-0.066, bottom + 0.016), (0.0, bottom + 0.036), (0.066, bottom + 0.016), 0.0062,
            0.75 * e.press,
        )  # fmt: skip
        for side in (-1.0, 1.0):
            x, y = _corner_of(pen, side)
            pen.shade((side * (x + 0.006), y), (0.012, 0.018), 0.70 * e.press, pen.dark)


def _chin(pen: Pen) -> None:
    """Draw the chin of AU17: an arch below the lip and pits on the boss."""
    raised = pen.efforts.chin_raise
    if raised <= 0.01:
        return
    bottom, chin = pen.face.mouth.lower_bottom, pen.face.chin
    y = bottom + 0.014
    pen.furrow((-0.056, y + 0.026), (0.0, y - 0.028), (0.056, y + 0.026), 0.0076, 0.95 * raised)
    middle = 0.5 * (y + chin) + 0.004
    pen.shade((0.0, middle), (0.056, 0.040), 0.34 * raised, pen.light)
    pits, rims = skia.Path(), skia.Path()
    for dx, dy in _PITS:
        x, y = pen.face.place(dx, middle + dy)
        pits.addCircle(x, y, 0.0046)
        rims.addCircle(x + 0.003, y + 0.005, 0.0036)
    pen.canvas.drawPath(pits, fill_paint(pen.dark, 0.28 * min(raised, 1.3), blur=0.0012))
    pen.canvas.drawPath(rims, fill_paint(pen.light, 0.26 * min(raised, 1.3), blur=0.0012))
