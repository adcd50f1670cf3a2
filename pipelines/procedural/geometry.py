"""Geometry of a face for one identity and one AU vector.

Pose and face shape move the features by a few percent around `EYE_LEFT`, `EYE_RIGHT` and `MOUTH`.
The `centered` aligner crops by them, so that drawn and mini faces need no face tracker.

Lengths are fractions of the image's side. In the *face frame* x runs from the middle line of the
face to the right of the image and y from the top of the image down; `Face.place` turns it by the
pose into image coordinates. What each AU moves follows the FACS manual (Ekman, Friesen & Hager,
2002); sizes are drawn a little larger than life, so that they survive 128 pixels.
"""

import math
from dataclasses import dataclass

from pipelines.procedural.canvas import Point
from pipelines.procedural.expression import AUVector, Efforts, efforts_of
from pipelines.procedural.identity import Identity

EYE_LEFT = (0.385, 0.45)
"""Centre of the eye on the left of the image (the person's right eye), (x, y)."""

EYE_RIGHT = (0.615, 0.45)
"""Centre of the eye on the right of the image, (x, y)."""

MOUTH = (0.5, 0.70)
"""Middle between the mouth corners, (x, y)."""


_AXIS_Y = 0.52
_PIVOT_Z = 0.12
_ROLL_CENTRE = (0.5, 0.62)

_BESIDE_MOUTH = 0.048
"""Least width of the cheek beside a mouth corner."""

_SHAPES = {
    "oval": (1.0, 1.0, 1.0, 0.0),
    "round": (1.04, 1.05, 1.10, -0.012),
    "square": (1.0, 1.06, 1.22, -0.004),
    "heart": (1.02, 0.90, 0.82, 0.004),
    "long": (0.94, 0.99, 1.02, 0.016),
}
"""Face shape → factors of head, jaw and chin width, and what is added to the chin's y."""


@dataclass(frozen=True, slots=True)
class Eye:
    """One eye in the face frame.

    Attributes:
        side: -1 left of the image, +1 right.
        centre: middle between the corners.
        half_width: half the distance between the corners.
        tilt: how much the outer corner stands above the centre.
        upper: height of the upper lid's edge above the centre.
        lower: depth of the lower lid's edge below the centre; less than -upper never.
        iris: radius of the iris.
    """

    side: int
    centre: Point
    half_width: float
    tilt: float
    upper: float
    lower: float
    iris: float

    @property
    def opening(self) -> float:
        """Distance between the lids' edges at the middle; 0 when closed."""
        return self.upper + self.lower


@dataclass(frozen=True, slots=True)
class Brow:
    """Middle line of one brow in the face frame, from its inner to its outer end."""

    side: int
    inner: Point
    middle: Point
    arch: Point
    outer: Point
    thickness: float


@dataclass(frozen=True, slots=True)
class Nose:
    """Nose in the face frame: heights, half-widths, and how round the wings are raised."""

    root: float
    tip: float
    base: float
    wing: float
    half_width: float
    bridge: float


@dataclass(frozen=True, slots=True)
class Mouth:
    """Lips in the face frame.

    Attributes:
        left, right: corners.
        upper_top, upper_bottom: outer and inner edge of the upper lip in the middle (y).
        lower_top, lower_bottom: inner and outer edge of the lower lip in the middle (y).
        bow: depth of the cupid's bow.
        pout: how far the lower lip is pushed forward [0–1.4].
    """

    left: Point
    right: Point
    upper_top: float
    upper_bottom: float
    lower_top: float
    lower_bottom: float
    bow: float
    pout: float

    @property
    def width(self) -> float:
        """Distance between the corners."""
        return self.right[0] - self.left[0]

    @property
    def opening(self) -> float:
        """Distance between the lips in the middle."""
        return self.lower_top - self.upper_bottom


@dataclass(frozen=True, slots=True)
class Pose:
    """Sines and cosines of yaw and pitch."""

    yaw_cos: float
    yaw_sin: float
    pitch_cos: float
    pitch_sin: float

    def turn(self, x: float, y: float, z: float) -> Point:
        """Turn a point of the face frame, z towards the viewer, into image coordinates."""
        depth = z - _PIVOT_Z
        return (
            0.5 + x * self.yaw_cos + depth * self.yaw_sin,
            _AXIS_Y + (y - _AXIS_Y) * self.pitch_cos + depth * self.pitch_sin,
        )


@dataclass(frozen=True, slots=True)
class _Head:
    """Sizes that make the contour; `jaw` and `chin_width` are factors."""

    half_width: float
    top: float
    chin: float
    jaw: float
    chin_width: float
    cheek: float
    sag: float


@dataclass(frozen=True, slots=True)
class Face:
    """A posed face.

    Attributes:
        identity: whose.
        pose: of the head, without the roll.
        efforts: how strongly each AU and each wrinkle shows.
        eyes, brows: left of the image first.
        nose, mouth: in the face frame.
        half_width: of the head at the cheekbones.
        top, chin: y of the head's ends in the face frame.
        outline: closed contour of head and jaw in the image.
    """

    identity: Identity
    pose: Pose
    efforts: Efforts
    eyes: tuple[Eye, Eye]
    brows: tuple[Brow, Brow]
    nose: Nose
    mouth: Mouth
    half_width: float
    top: float
    chin: float
    outline: tuple[Point, ...]

    def place(self, x: float, y: float, lift: float = 0.0) -> Point:
        """Turn a point on the face's surface into image coordinates, before the roll.

        Args:
            x: from the middle line.
            y: from the top of the image.
            lift: how far it stands out of the skin, as the tip of the nose does.
        """
        drop = y - 0.55
        return self.pose.turn(x, y, 0.19 - 2.2 * x * x - 0.45 * drop * drop + lift)

    def behind(self, x: float, y: float, depth: float = 0.0) -> Point:
        """Turn a point off the face's surface (hair, ears, neck) into image coordinates.

        Args:
            x: from the middle line.
            y: from the top of the image.
            depth: how far before the plane of the ears.
        """
        return self.pose.turn(x, y, depth)

    def points(self) -> dict[str, Point]:
        """Return named points in the image, all of the pose applied; (x, y) in [0, 1]."""
        frame = {"chin": (0.0, self.chin), "nose_tip": (0.0, self.nose.tip)}
        frame |= {"mouth_left": self.mouth.left, "mouth_right": self.mouth.right}
        frame |= {
            "lip_upper_top": (0.0, self.mouth.upper_top),
            "lip_upper_bottom": (0.0, self.mouth.upper_bottom),
            "lip_lower_top": (0.0, self.mouth.lower_top),
            "lip_lower_bottom": (0.0, self.mouth.lower_bottom),
        }
        for side, eye, brow in zip(("left", "right"), self.eyes, self.brows, strict=True):
            frame |= {
                f"eye_{side}": eye.centre,
                f"lid_upper_{side}": (eye.centre[0], eye.centre[1] - eye.upper),
                f"lid_lower_{side}": (eye.centre[0], eye.centre[1] + eye.lower),
                f"brow_inner_{side}": brow.inner,
                f"brow_outer_{side}": brow.outer,
                f"nostril_{side}": (eye.side * self.nose.half_width, self.nose.wing),
            }
        return {name: roll_point(self.identity, self.place(*at)) for name, at in frame.items()}


def geometry(identity: Identity, aus: AUVector) -> Face:
    """Lay out a face.

    Args:
        identity: whose.
        aus: an intensity for each AU, [0, 5] normally; clipped to [-5, 7].

    Raises:
        ActionUnitError: if their number is another, or one is not a finite number.
    """
    efforts = efforts_of(identity, aus)
    pose = _pose(identity)
    head = _head(identity, efforts)
    mouth = _mouth(identity, efforts)
    return Face(
        identity,
        pose,
        efforts,
        (_eye(identity, efforts, -1), _eye(identity, efforts, 1)),
        (_brow(identity, efforts, -1), _brow(identity, efforts, 1)),
        _nose(identity, efforts),
        mouth,
        head.half_width,
        head.top,
        head.chin,
        _outline(pose, head, mouth.right[0] + _BESIDE_MOUTH),
    )


def roll_point(identity: Identity, point: Point) -> Point:
    """Turn a point of the image by the roll of the head."""
    cos, sin = math.cos(identity.roll), math.sin(identity.roll)
    x, y = point[0] - _ROLL_CENTRE[0], point[1] - _ROLL_CENTRE[1]
    return (_ROLL_CENTRE[0] + x * cos - y * sin, _ROLL_CENTRE[1] + x * sin + y * cos)


def roll_of(identity: Identity) -> tuple[float, Point]:
    """Return angle [degrees] and centre of the roll, as skia takes them."""
    return math.degrees(identity.roll), _ROLL_CENTRE


def _pose(identity: Identity) -> Pose:
    yaw, pitch = identity.yaw, identity.pitch
    return Pose(math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch))


def _eye(identity: Identity, efforts: Efforts, side: int) -> Eye:
    size = 1 + 0.06 * identity.eye_size
    uneven = side * 0.0022 * identity.asymmetry[1]
    lower = 0.0175 * size - 0.0140 * efforts.cheek - 0.003 * efforts.nose_wrinkle
    upper = 0.0225 * size - 0.004 * max(efforts.cheek, 0.0) - 0.0025 * max(efforts.brow_low, 0.0)
    upper = max(upper, 0.008) + 0.0235 * max(efforts.lid_raise, 0.0)
    upper += (upper + lower) * min(efforts.lid_raise, 0.0)
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
        0.0245 * (1 + 0.02 * identity.eye_size),
    )  # fmt: skip


def _brow(identity: Identity, efforts: Efforts, side: int) -> Brow:
    up_in, up_out, low = efforts.brow_in, efforts.brow_out, efforts.brow_low
    base = 0.386 - 0.0045 * identity.brow_height + side * 0.003 * identity.asymmetry[0]
    woman = identity.person == "woman"
    arch = 0.013 + 0.0035 * identity.brow_arch + (0.004 if woman else 0.0)
    wrinkle = 0.012 * max(efforts.nose_wrinkle, 0.0)
    inner = (
        0.048 + 0.004 * identity.brow_spacing - 0.021 * low,
        base - 0.005 - 0.046 * up_in + 0.036 * low + wrinkle,
    )
    middle = (
        0.098 - 0.010 * low,
        base - 0.7 * arch - 0.024 * up_in - 0.030 * up_out + 0.030 * low + 0.6 * wrinkle,
    )
    top = (0.145 - 0.004 * low, base - arch - 0.004 * up_in - 0.044 * up_out + 0.021 * low)
    outer = (0.188, base + 0.003 - 0.040 * up_out + 0.012 * low)
    thickness = 0.0235 * (1 + 0.13 * identity.brow_thickness)
    thickness *= 0.82 if woman else 1.12
    inner, middle, top, outer = ((side * x, y) for x, y in (inner, middle, top, outer))
    return Brow(side, inner, middle, top, outer, thickness)


def _nose(identity: Identity, efforts: Efforts) -> Nose:
    longer = 0.006 * identity.nose_length
    wrinkle = efforts.nose_wrinkle
    return Nose(
        0.445,
        0.598 + longer - 0.007 * wrinkle,
        0.632 + longer - 0.006 * wrinkle,
        0.616 + longer - 0.018 * wrinkle,
        0.043 * (1 + 0.10 * identity.nose_width) + 0.004 * wrinkle + 0.005 * efforts.smile,
        0.017 * (1 + 0.15 * identity.nose_bridge),
    )


def _mouth(identity: Identity, efforts: Efforts) -> Mouth:
    smile, frown, stretch = efforts.smile, efforts.frown, efforts.stretch
    chin, jaw, part = efforts.chin_raise, efforts.jaw, efforts.part
    line = 0.700 + 0.004 * identity.mouth_height - 0.020 * chin + 0.030 * jaw
    line += 0.006 * smile - 0.004 * frown
    reach = 0.087 * (1 + 0.05 * identity.mouth_width)
    reach += 0.031 * smile + 0.046 * stretch - 0.011 * chin - 0.009 * jaw + 0.004 * frown
    height = 0.700 + 0.004 * identity.mouth_height - 0.038 * smile + 0.038 * frown
    height += 0.006 * stretch - 0.004 * chin + 0.034 * jaw
    uneven = 0.0025 * identity.asymmetry[2]
    thin = max(1 - 0.42 * stretch - 0.20 * smile - 0.12 * frown + 0.25 * min(part, 0.0), 0.3)
    full = (1 + 0.13 * identity.lip_fullness) * (1 - 0.004 * (identity.years - 30)) * thin
    gap = 0.040 * max(part, 0.0) + 0.016 * jaw + 0.052 * jaw * min(1.5 * max(part, 0.0), 1.0)
    raised = 0.010 * efforts.nose_wrinkle
    upper_bottom = line - 0.25 * gap - raised
    lower_top = max(line + 0.75 * gap - 0.6 * raised, upper_bottom)
    return Mouth(
        (-reach, height - uneven),
        (reach, height + uneven),
        upper_bottom - 0.0225 * full * (1 - 0.15 * chin),
        upper_bottom,
        lower_top,
        lower_top + 0.0310 * full * (1 + 0.45 * chin) * (1 - 0.35 * min(gap / 0.09, 1.0)),
        0.006 * thin,
        chin,
    )


def _head(identity: Identity, efforts: Efforts) -> _Head:
    head, jaw, chin_width, longer = _SHAPES[identity.face]
    chin = 0.866 + longer + 0.008 * identity.face_height + 0.078 * efforts.jaw
    return _Head(
        half_width=0.247 * head * (1 + 0.022 * identity.face_width),
        top=0.062 - 0.006 * identity.forehead,
        chin=chin - 0.012 * efforts.chin_raise,
        jaw=jaw * (1 + 0.03 * identity.jaw_width),
        chin_width=chin_width * (1 + 0.10 * identity.chin_width),
        cheek=0.008 * identity.cheek + 0.010 * max(efforts.smile, 0.0),
        sag=0.006 * min(max((identity.years - 45) / 35, 0.0), 1.0),
    )


def _outline(pose: Pose, head: _Head, room: float) -> tuple[Point, ...]:
    """Return the contour clockwise from the top.

    The table holds (x, y, depth) of the right half; the cheeks are at least `room` wide beside the
    mouth, so that stretched lips push them out.
    """
    drop = head.chin - 0.866
    top, chin, half_width, jaw = head.top, head.chin, head.half_width, head.jaw
    half = [
        (0.092, top + 0.013, 0.0),
        (0.168, top + 0.060, 0.0),
        (half_width * 0.905, 0.205, 0.0),
        (half_width * 0.985, 0.32, 0.0),
        (half_width * 0.985, 0.43, 0.0),
        (half_width * 0.970 + 0.3 * head.cheek, 0.53, 0.0),
        (half_width * 0.915 + head.cheek, 0.63 + 0.2 * drop, 0.0),
        (max(half_width * 0.795 * jaw + head.sag, room), 0.725 + 0.5 * drop, 0.02),
        (half_width * 0.600 * jaw + 0.5 * head.sag, 0.800 + 0.85 * drop, 0.05),
        (half_width * 0.330 * head.chin_width, chin - 0.022, 0.09),
        (half_width * 0.150 * head.chin_width, chin - 0.003, 0.11),
    ]
    right = [pose.turn(x, y, z) for x, y, z in half]
    left = [pose.turn(-x, y, z) for x, y, z in reversed(half)]
    return (
        pose.turn(0.0, top, 0.0),
        *right,
        pose.turn(0.0, chin, 0.11),
        *left,
    )
