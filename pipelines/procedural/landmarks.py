"""Exact labels of a drawn face: landmarks, box, pose, gaze and light."""

from dataclasses import dataclass

from pipelines.procedural.canvas import Point
from pipelines.procedural.expression import AUVector, Expression
from pipelines.procedural.geometry import Face, geometry, roll_point
from pipelines.procedural.identity import Identity
from pipelines.procedural.label_columns import LANDMARKS


@dataclass(frozen=True, slots=True)
class FaceLabels:
    """Exact labels of a portrait. Sides are those of the image.

    Attributes:
        landmarks: name → (x, y) [pixels], from the upper left corner of the image; in the order of
            `LANDMARKS`.
        contour: of head and jaw, clockwise from the top [pixels].
        box: least and largest x and y of the contour: left, top, right, bottom [pixels].
        pose: yaw (to the right of the image), pitch (down) and roll (clockwise) [radians].
        gaze: of the eyes, from straight ahead of the face: to the right of the image, and down
            [radians].
        light: direction towards it (x, y, z), y down, z to the viewer; length 1.
    """

    landmarks: dict[str, Point]
    contour: tuple[Point, ...]
    box: tuple[float, float, float, float]
    pose: tuple[float, float, float]
    gaze: Point
    light: tuple[float, float, float]


def labels_of(identity: Identity, aus: AUVector | Expression, size: int = 128) -> FaceLabels:
    """Return the labels of the portrait that `render` paints of the same arguments.

    Raises:
        ActionUnitError: as `render`.
    """
    face = geometry(identity, aus)
    contour = tuple(_pixels(roll_point(identity, point), size) for point in face.outline)
    across, down = [x for x, _ in contour], [y for _, y in contour]
    return FaceLabels(
        landmarks(face, size),
        contour,
        (min(across), min(down), max(across), max(down)),
        (identity.yaw, identity.pitch, identity.roll),
        identity.gaze,
        identity.light,
    )


def landmarks(face: Face, size: int) -> dict[str, Point]:
    """Return the points of a face that `LANDMARKS` names, in its order [pixels].

    Those of `Face.points`, and of each side (`left`, `right` of the image): the corners of the eye,
    the iris and the points of the brow between its ends.
    """
    frame: dict[str, Point] = {}
    for side, eye, brow in zip(("left", "right"), face.eyes, face.brows, strict=True):
        (x, y), reach = eye.centre, eye.side * eye.half_width
        frame |= {
            f"eye_inner_{side}": (x - reach, y + eye.tilt + 0.004),
            f"eye_outer_{side}": (x + reach, y - eye.tilt),
            f"iris_{side}": (x + eye.gaze[0], y - 0.0015 + eye.gaze[1]),
            f"brow_middle_{side}": brow.middle,
            f"brow_arch_{side}": brow.arch,
        }
    placed = {name: roll_point(face.identity, face.place(*at)) for name, at in frame.items()}
    found = face.points() | placed
    return {name: _pixels(found[name], size) for name in LANDMARKS}


def _pixels(point: Point, size: int) -> Point:
    return (point[0] * size, point[1] * size)
