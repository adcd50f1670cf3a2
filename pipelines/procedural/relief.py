"""The skin's relief under an expression: what muscles heap up and draw in."""

from pipelines.procedural.geometry import Face

Bump = tuple[float, float, float, float, float]
"""x, y, standard deviations in x and y, amount."""


def both(bumps: list[Bump]) -> list[Bump]:
    """Return bumps of the right side with their mirror images."""
    return [bump for x, *rest in bumps for bump in ((-x, *rest), (x, *rest))]  # type: ignore[misc]


def muscles(face: Face) -> list[Bump]:
    """Return the relief of the expression: skin that the muscles heap up or draw in."""
    e, mouth, nose = face.efforts, face.mouth, face.nose
    low, cheek, smile = max(e.brow_low, 0.0), max(e.cheek, 0.0), e.smile
    stretch = max(e.stretch, 0.0)
    corner_x, corner_y = mouth.right
    paired = both(
        [
            (0.034, face.brows[1].inner[1] - 0.004, 0.014, 0.018, 0.011 * low),
            (0.130, 0.524 - 0.010 * cheek, 0.044, 0.018, 0.014 * cheek),
            (0.130, 0.560 - 0.006 * cheek, 0.050, 0.016, -0.004 * cheek),
            (0.140, 0.605 - 0.016 * smile, 0.036, 0.030, 0.018 * smile),
            (corner_x + 0.012, corner_y, 0.010, 0.012, -0.006 * smile - 0.004 * stretch),
            (corner_x + 0.002, corner_y + 0.020, 0.018, 0.012, 0.015 * e.frown),
            (0.036, 0.505, 0.012, 0.014, 0.009 * e.nose_wrinkle),
            (nose.half_width + 0.022, nose.wing - 0.020, 0.016, 0.016, 0.008 * e.nose_wrinkle),
            (corner_x + 0.030, corner_y, 0.010, 0.032, 0.008 * stretch),
        ]
    )
    return [
        *paired,
        (0.0, face.chin - 0.058 - 0.012 * e.chin_raise, 0.036, 0.022, 0.016 * e.chin_raise),
        (0.0, mouth.lower_bottom + 0.010, 0.048, 0.008, -0.010 * e.chin_raise),
        (0.0, 0.455, 0.020, 0.012, 0.008 * e.nose_wrinkle),
    ]
