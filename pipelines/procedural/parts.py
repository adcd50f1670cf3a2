"""Parts of a face as a layout gives them: sizes and places in the face frame."""

from dataclasses import dataclass

from pipelines.procedural.canvas import Point

SHAPES = {
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
        gaze: how far the iris stands from the centre.
        tight: how far the lids are tightened (AU7) [0–1.4].
    """

    side: int
    centre: Point
    half_width: float
    tilt: float
    upper: float
    lower: float
    iris: float
    gaze: Point = (0.0, 0.0)
    tight: float = 0.0

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
    """Nose in the face frame: heights, half-widths, and how round the wings are raised.

    Attributes:
        lifts: how far each wing is raised above `wing`, left of the image first.
    """

    root: float
    tip: float
    base: float
    wing: float
    half_width: float
    bridge: float
    lifts: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Lips:
    """Edges of the lips from corner to corner, left of the image first, in the face frame.

    Attributes:
        upper: outer edge of the upper lip. upper_in: its inner edge.
        lower_in: inner edge of the lower lip. lower: its outer edge.
        pressed: how hard the lips are on one another [0–1.4].
    """

    upper: tuple[Point, ...]
    upper_in: tuple[Point, ...]
    lower_in: tuple[Point, ...]
    lower: tuple[Point, ...]
    pressed: float


@dataclass(frozen=True, slots=True)
class Mouth:
    """Lips in the face frame.

    Attributes:
        left, right: corners.
        upper_top, upper_bottom: outer and inner edge of the upper lip in the middle (y).
        lower_top, lower_bottom: inner and outer edge of the lower lip in the middle (y).
        bow: depth of the cupid's bow.
        pout: how far the lower lip is pushed forward [0–1.4].
        lips: edges of the lips; None in the first edition, where the painter makes them.
    """

    left: Point
    right: Point
    upper_top: float
    upper_bottom: float
    lower_top: float
    lower_bottom: float
    bow: float
    pout: float
    lips: Lips | None = None

    @property
    def width(self) -> float:
        """Distance between the corners."""
        return self.right[0] - self.left[0]

    @property
    def opening(self) -> float:
        """Distance between the lips in the middle."""
        return self.lower_top - self.upper_bottom


@dataclass(frozen=True, slots=True)
class Head:
    """Sizes that make the contour; `jaw` and `chin_width` are factors."""

    half_width: float
    top: float
    chin: float
    jaw: float
    chin_width: float
    cheek: float
    sag: float
