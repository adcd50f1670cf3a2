"""Columns of the exact labels of drawn faces; loads no skia."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.procedural.drawn_aus import aus_of_edition
from synthgen.dataset.schema import Feature, vector_feature

if TYPE_CHECKING:
    from pipelines.procedural.landmarks import FaceLabels

LANDMARKS = (
    "brow_outer_left",
    "brow_arch_left",
    "brow_middle_left",
    "brow_inner_left",
    "brow_inner_right",
    "brow_middle_right",
    "brow_arch_right",
    "brow_outer_right",
    "eye_outer_left",
    "lid_upper_left",
    "eye_inner_left",
    "lid_lower_left",
    "eye_left",
    "iris_left",
    "eye_inner_right",
    "lid_upper_right",
    "eye_outer_right",
    "lid_lower_right",
    "eye_right",
    "iris_right",
    "nose_tip",
    "nostril_left",
    "nostril_right",
    "mouth_left",
    "lip_upper_top",
    "mouth_right",
    "lip_lower_bottom",
    "lip_upper_bottom",
    "lip_lower_top",
    "chin",
)
"""Named points of a drawn face, in the order of their column; left and right are the image's."""

CONTOUR_POINTS = 24
"""Points of the contour of head and jaw."""


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """A column of exact labels.

    Attributes:
        name: its name.
        length: of edition → numbers in a row.
        values: of a face's labels and the AUs that it shows → numbers.
        description: of edition → what it holds.
        in_rejects: whether rejected attempts have it too: what says where things are in an image
            is of no use without one.
    """

    name: str
    length: Callable[[int], int]
    values: Callable[["FaceLabels", Sequence[float]], Sequence[float]]
    description: Callable[[int], str]
    in_rejects: bool = False

    def feature(self, edition: int) -> Feature:
        """Return its feature, of faces of an edition."""
        return vector_feature(self.length(edition))


def _flat(points: Sequence[tuple[float, float]]) -> list[float]:
    return [value for point in points for value in point]


_PIXELS = "in pixels from the upper left corner of the image"

LABEL_COLUMNS = {
    "aus": LabelColumn(
        "drawn_aus",
        lambda edition: len(aus_of_edition(edition)),
        lambda labels, aus: aus,
        lambda edition: (
            "Intensities that the face really shows, with au_noise and alike on both sides, one "
            f"for each of {', '.join(aus_of_edition(edition).names)}."
        ),
        in_rejects=True,
    ),
    "landmarks": LabelColumn(
        "drawn_landmarks",
        lambda edition: 2 * len(LANDMARKS),
        lambda labels, aus: _flat([labels.landmarks[name] for name in LANDMARKS]),
        lambda edition: (
            f"x and y, {_PIXELS}, also of what hair or glasses cover, one point after the other: "
            f"{', '.join(LANDMARKS)}. Left and right are those of the image."
        ),
    ),
    "contour": LabelColumn(
        "drawn_contour",
        lambda edition: 2 * CONTOUR_POINTS,
        lambda labels, aus: _flat(labels.contour),
        lambda edition: (
            f"x and y of {CONTOUR_POINTS} points around head and jaw, {_PIXELS}, clockwise from "
            "the top of the head."
        ),
    ),
    "box": LabelColumn(
        "drawn_box",
        lambda edition: 4,
        lambda labels, aus: labels.box,
        lambda edition: f"Left, top, right and bottom of the contour of head and jaw, {_PIXELS}.",
    ),
    "pose": LabelColumn(
        "drawn_pose",
        lambda edition: 3,
        lambda labels, aus: labels.pose,
        lambda edition: (
            "Turn of the head in radians: yaw (to the right of the image), pitch (down), roll "
            "(clockwise)."
        ),
        in_rejects=True,
    ),
    "gaze": LabelColumn(
        "drawn_gaze",
        lambda edition: 2,
        lambda labels, aus: labels.gaze,
        lambda edition: (
            "Turn of the eyes from straight ahead of the face in radians: to the right of the "
            "image, and down." + (" Eyes of edition 1 look straight ahead." if edition == 1 else "")
        ),
        in_rejects=True,
    ),
    "light": LabelColumn(
        "drawn_light",
        lambda edition: 3,
        lambda labels, aus: labels.light,
        lambda edition: (
            "Direction towards the light, of length 1: x to the right of the image, y down, z to "
            "the viewer."
        ),
        in_rejects=True,
    ),
}
"""`pipeline.labels` → its column."""
