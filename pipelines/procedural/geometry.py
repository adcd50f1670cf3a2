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

from pipelines.procedural import first_layout, layout
from pipelines.procedural.canvas import Point
from pipelines.procedural.expression import (
    AUVector,
    Efforts,
    Expression,
    efforts_of,
    mean_efforts,
)
from pipelines.procedural.identity import Identity
from pipelines.procedural.parts import Brow, Eye, Head, Mouth, Nose

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
class Face:
    """A posed face.

    Attributes:
        identity: whose.
        pose: of the head, without the roll.
        efforts: how strongly each AU and each wrinkle shows; the mean of both halves.
        sides: the same of each half, left of the image first.
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
    sides: tuple[Efforts, Efforts]

    def side(self, side: float) -> Efforts:
        """Return the efforts of one half: -1 left of the image, +1 right."""
        return self.sides[side > 0]

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


def geometry(identity: Identity, aus: AUVector | Expression) -> Face:
    """Lay out a face.

    Args:
        identity: whose.
        aus: an intensity for each AU, [0, 5] normally; clipped to [-5, 7].

    Raises:
        ActionUnitError: if their number is another, one is not a finite number, or the edition of
            the identity cannot show it.
    """
    sides = efforts_of(identity, aus)
    efforts = mean_efforts(*sides)
    pose = _pose(identity)
    if identity.edition == 1:
        head = first_layout.head(identity, efforts)
        mouth = first_layout.mouth(identity, efforts)
        nose = first_layout.nose(identity, efforts)
        eyes = (first_layout.eye(identity, efforts, -1), first_layout.eye(identity, efforts, 1))
        brows = (first_layout.brow(identity, efforts, -1), first_layout.brow(identity, efforts, 1))
    else:
        head = layout.head(identity, efforts)
        mouth = layout.mouth(identity, sides, efforts)
        nose = layout.nose(identity, sides, efforts)
        eyes = (layout.eye(identity, sides[0], -1), layout.eye(identity, sides[1], 1))
        brows = (layout.brow(identity, sides[0], -1), layout.brow(identity, sides[1], 1))
    return Face(
        identity,
        pose,
        efforts,
        eyes,
        brows,
        nose,
        mouth,
        head.half_width,
        head.top,
        head.chin,
        _outline(pose, head, mouth.right[0] + _BESIDE_MOUTH),
        sides,
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


def _outline(pose: Pose, head: Head, room: float) -> tuple[Point, ...]:
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
