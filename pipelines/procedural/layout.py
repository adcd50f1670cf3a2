"""Layout of a face in the second edition of the drawings: 18 AUs, each half for itself.

Sizes follow FACS: 1 mm of a face is about 0.0037 of the image's side (the eyes of an adult stand
63 mm apart). At the maximum (E) the corrugator lowers the inner brow by some 8 mm and draws it in
by 5 mm, a raised upper lid shows 3–5 mm of white, the corners of the mouth fall by 8–10 mm.
"""

import math

from pipelines.procedural.canvas import Point
from pipelines.procedural.expression import Efforts
from pipelines.procedural.identity import Identity
from pipelines.procedural.parts import SHAPES, Brow, Eye, Head, Lips, Mouth, Nose

_EYEBALL = 0.046
"""Radius of an eyeball."""

_ALONG = (1.0, 0.84, 0.60, 0.36, 0.20)
"""Places of the points of a lip's edge, from a corner (1) towards the middle (0)."""

_TO_CORNER = (1.0, 0.73, 0.42, 0.17, 0.06)
"""Share of the corner's height that the line between the lips has at each of them."""

_UPPER = (0.0, 0.36, 0.72, 0.94, 1.05)
"""Thickness of the upper lip at each of them, of that in the middle."""

_LOWER = (0.0, 0.46, 0.80, 0.96, 1.0)

_GAP = (0.0, 0.44, 0.78, 0.95, 1.0)
"""Distance of the lips at each of them, of that in the middle."""

_LIFTED = (0.06, 0.44, 0.92, 1.0, 0.86)
"""Lift of the upper lip by AU10 at each of them."""

_PUSHED = (0.10, 0.36, 0.70, 0.93, 0.99)
"""Push of the lips by AU17 at each of them."""


def eye(identity: Identity, e: Efforts, side: int) -> Eye:
    """Lay out one eye.

    Args:
        identity: whose.
        e: efforts of that half of the face.
        side: -1 left of the image, +1 right.
    """
    size = 1 + 0.06 * identity.eye_size
    uneven = side * 0.0022 * identity.asymmetry[1]
    low, nose = max(e.brow_low, 0.0), e.nose_wrinkle
    cheek, tight, lid = e.cheek, e.lid_tight, e.lid_raise
    gaze = tuple(_EYEBALL * math.sin(turn) for turn in identity.gaze)
    lower = 0.0175 * size * (1 - 0.58 * cheek) * (1 - 0.56 * tight) * (1 - 0.42 * nose)
    lower *= (1 - 0.12 * low) * (1 - 0.12 * max(e.smile, 0.0)) * (1 - 0.16 * e.lip_raise)
    lower = max(lower, 0.001) + 0.15 * gaze[1]
    upper = 0.0220 * size * (1 - 0.16 * max(cheek, 0.0)) * (1 - 0.24 * tight)
    upper *= (1 - 0.28 * low) * (1 - 0.22 * nose)
    upper = max(upper, 0.006) + 0.0235 * max(lid, 0.0) - 0.55 * gaze[1]
    shut = min(max(e.shut, -lid), 1.0)
    upper -= (upper + lower) * max(shut, 0.0)
    return Eye(
        side,
        (
            side * 0.115 * (1 + 0.03 * identity.eye_spacing),
            0.45 + uneven + 0.003 * identity.eye_height,
        ),
        0.0565 * (1 + 0.05 * identity.eye_size),
        0.004 + 0.0035 * identity.eye_tilt,
        max(upper, -lower),
        lower,
        0.0255 * (1 + 0.02 * identity.eye_size),
        (gaze[0], gaze[1]),
        max(tight, 0.0),
    )  # fmt: skip


def brow(identity: Identity, e: Efforts, side: int) -> Brow:
    """Lay out one brow; arguments as for `eye`.

    AU4 lowers less what AU1 and AU2 raise: the three together give the oblique brow of fear.
    """
    up_in, up_out, low = e.brow_in, e.brow_out, e.brow_low
    base = 0.387 - 0.0045 * identity.brow_height + side * 0.003 * identity.asymmetry[0]
    woman = identity.person == "woman"
    arch = 0.013 + 0.0035 * identity.brow_arch + (0.004 if woman else 0.0)
    nose, cheek = e.nose_wrinkle, max(e.cheek, 0.0)
    down_in = low * (1 - 0.72 * min(max(up_in, 0.0), 1.0))
    down_out = low * (1 - 0.60 * min(max(up_out, 0.0), 1.0))
    inner = (
        0.048 + 0.004 * identity.brow_spacing - 0.025 * low - 0.004 * nose,
        base - 0.004 - 0.047 * up_in + 0.043 * down_in + 0.014 * nose,
    )
    middle = (
        0.098 - 0.012 * low,
        base - 0.7 * arch - 0.026 * up_in - 0.030 * up_out + 0.042 * down_in + 0.013 * nose,
    )
    top = (
        0.145 - 0.005 * low,
        base - arch - 0.004 * up_in - 0.046 * up_out + 0.038 * down_out + 0.009 * nose
        + 0.004 * cheek,
    )  # fmt: skip
    outer = (0.188, base + 0.004 - 0.042 * up_out + 0.030 * down_out + 0.006 * cheek)
    thickness = 0.0235 * (1 + 0.13 * identity.brow_thickness)
    thickness *= 0.82 if woman else 1.12
    inner, middle, top, outer = ((side * x, y) for x, y in (inner, middle, top, outer))
    return Brow(side, inner, middle, top, outer, thickness)


def nose(identity: Identity, sides: tuple[Efforts, Efforts], e: Efforts) -> Nose:
    """Lay out the nose.

    Args:
        identity: whose.
        sides: efforts of both halves, left of the image first.
        e: their mean.
    """
    longer = 0.006 * identity.nose_length
    wrinkle = e.nose_wrinkle
    return Nose(
        0.445,
        0.598 + longer - 0.010 * wrinkle,
        0.632 + longer - 0.009 * wrinkle - 0.003 * e.lip_raise,
        0.616 + longer - 0.022 * wrinkle,
        0.043 * (1 + 0.10 * identity.nose_width)
        + 0.005 * wrinkle
        + 0.005 * e.smile
        + 0.003 * e.lip_raise,
        0.017 * (1 + 0.15 * identity.nose_bridge),
        (0.010 * sides[0].lip_raise, 0.010 * sides[1].lip_raise),
    )


def mouth(identity: Identity, sides: tuple[Efforts, Efforts], e: Efforts) -> Mouth:
    """Lay out the mouth; arguments as for `nose`."""
    chin, jaw, part = e.chin_raise, e.jaw, e.part
    thin = 1 - 0.42 * e.stretch - 0.20 * e.smile + 0.04 * e.frown + 0.25 * min(part, 0.0)
    thin *= (1 - 0.52 * e.tight) * (1 - 0.84 * e.press) * (1 - 0.30 * e.dimple)
    thin = max(thin, 0.14)
    full = (1 + 0.13 * identity.lip_fullness) * (1 - 0.004 * (identity.years - 30)) * thin
    gap = 0.050 * max(part, 0.0) + 0.028 * jaw + 0.044 * jaw * min(1.5 * max(part, 0.0), 1.0)
    gap *= (1 - 0.45 * min(e.tight, 1.0)) * (1 - 0.92 * min(e.press, 1.0))
    line = 0.7005 + 0.004 * identity.mouth_height + 0.030 * jaw
    line += 0.006 * e.smile + 0.004 * e.frown - 0.002 * e.press
    lift = 0.032 * e.lip_raise + 0.017 * e.nose_wrinkle
    upper_in = line - 0.30 * gap - 0.025 * chin - 0.72 * lift * (1 - 0.8 * min(e.press, 1.0))
    closing = min(max(chin, 1.6 * e.press), 1.6)
    lower_in = line + 0.70 * gap - 0.027 * chin - 0.06 * lift - 0.40 * lift * closing
    lower_in = max(lower_in, upper_in)
    thick_up = 0.0225 * full * (1 - 0.22 * min(chin, 1.2)) + 0.28 * 0.4 * lift
    thick_low = 0.0310 * full * (1 + 0.10 * chin) * (1 - 0.35 * min(gap / 0.09, 1.0))
    corners = tuple(
        _corner(identity, half, side) for half, side in zip(sides, (-1.0, 1.0), strict=True)
    )
    lifts = tuple(0.032 * half.lip_raise + 0.017 * half.nose_wrinkle for half in sides)
    bow = 0.006 * thin * (1 - 0.7 * min(e.lip_raise, 1.0))
    lips = _lips(
        corners, (upper_in, lower_in), (thick_up, thick_low), bow, chin, lift, lifts, e.press
    )
    return Mouth(
        corners[0],
        corners[1],
        upper_in - thick_up,
        upper_in,
        lower_in,
        lower_in + thick_low,
        bow,
        chin,
        lips,
    )


def _corner(identity: Identity, e: Efforts, side: float) -> Point:
    """Place one mouth corner by the efforts of its half."""
    chin, jaw = e.chin_raise, e.jaw
    reach = 0.087 * (1 + 0.05 * identity.mouth_width)
    reach += 0.031 * e.smile + 0.046 * e.stretch - 0.012 * chin - 0.009 * jaw + 0.013 * e.frown
    reach += 0.020 * e.dimple - 0.017 * e.tight + 0.001 * e.press - 0.002 * e.lip_raise
    height = 0.697 + 0.004 * identity.mouth_height - 0.041 * e.smile + 0.036 * e.frown
    height += 0.006 * e.stretch + 0.003 * chin + 0.034 * jaw - 0.010 * e.dimple
    height += 0.006 * e.press - 0.004 * e.lip_raise
    return (side * reach, height + side * 0.0025 * identity.asymmetry[2])


def _lips(
    corners: tuple[Point, ...],
    middle: tuple[float, float],
    thickness: tuple[float, float],
    bow: float,
    chin: float,
    lift: float,
    lifts: tuple[float, ...],
    pressed: float,
) -> Lips:
    """Draw the four edges between the corners.

    Args:
        corners: of the mouth, left of the image first.
        middle: y of the inner edges in the middle.
        thickness: of both lips in the middle.
        bow: depth of the cupid's bow.
        chin: effort of AU17.
        lift: of the upper lip in the middle.
        lifts: the same of each half.
        pressed: how hard the lips are on one another.
    """
    upper_in, lower_in = middle
    up, low = thickness
    rest = upper_in + 0.72 * lift + 0.025 * chin
    gap = lower_in - upper_in
    halves = []
    for (cx, cy), own in zip(corners, lifts, strict=True):
        points = []
        for along, corner, above, below, open_, raised, pushed in zip(
            _ALONG, _TO_CORNER, _UPPER, _LOWER, _GAP, _LIFTED, _PUSHED, strict=True
        ):
            inner = rest + (cy - rest) * corner - 0.025 * chin * pushed * (1 - corner)
            inner -= 0.72 * own * raised
            extra = 0.28 * own * raised
            points.append(
                (
                    cx * along,
                    inner - up * above - extra * (above > 0),
                    inner,
                    inner + gap * open_,
                    inner + gap * open_ + low * below,
                )
            )
        halves.append(points)
    centre = (
        0.0,
        upper_in - up + bow,
        upper_in,
        lower_in,
        lower_in + low,
    )
    row = [*halves[0], centre, *reversed(halves[1])]
    edges = [tuple((point[0], point[k]) for point in row) for k in (1, 2, 3, 4)]
    return Lips(edges[0], edges[1], edges[2], edges[3], pressed)


def head(identity: Identity, e: Efforts) -> Head:
    """Lay out the contour; `e` are the mean efforts."""
    width, jaw, chin_width, longer = SHAPES[identity.face]
    chin = 0.866 + longer + 0.008 * identity.face_height + 0.078 * e.jaw
    return Head(
        half_width=0.247 * width * (1 + 0.022 * identity.face_width),
        top=0.062 - 0.006 * identity.forehead,
        chin=chin - 0.015 * e.chin_raise,
        jaw=jaw * (1 + 0.03 * identity.jaw_width),
        chin_width=chin_width * (1 + 0.10 * identity.chin_width) * (1 + 0.10 * e.chin_raise),
        cheek=0.008 * identity.cheek + 0.010 * max(e.smile, 0.0) + 0.004 * max(e.cheek, 0.0),
        sag=0.006 * min(max((identity.years - 45) / 35, 0.0), 1.0),
    )
