"""The skin's relief under an expression: what muscles heap up and draw in."""

from pipelines.procedural.geometry import Face

Bump = tuple[float, float, float, float, float]
"""x, y, standard deviations in x and y, amount."""


def both(bumps: list[Bump]) -> list[Bump]:
    """Return bumps of the right side with their mirror images."""
    return [bump for x, *rest in bumps for bump in ((-x, *rest), (x, *rest))]  # type: ignore[misc]


def muscles(face: Face) -> list[Bump]:
    """Return the relief of the expression: skin that the muscles heap up or draw in."""
    if face.identity.edition > 1:
        return [*_half(face, -1.0), *_half(face, 1.0), *_middle(face)]
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


def _half(face: Face, side: float) -> list[Bump]:
    """Return the relief of one half: -1 left of the image, +1 right."""
    e, nose = face.side(side), face.nose
    low, cheek, smile = max(e.brow_low, 0.0), max(e.cheek, 0.0), e.smile
    stretch, tight = max(e.stretch, 0.0), max(e.lid_tight, 0.0)
    x, y = face.mouth.right if side > 0 else face.mouth.left
    x, brow, eye = abs(x), face.brows[side > 0], face.eyes[side > 0]
    wing = nose.wing - nose.lifts[side > 0]
    bumps = [
        (abs(brow.inner[0]) - 0.012, brow.inner[1] - 0.006, 0.015, 0.020, 0.014 * low),
        (0.130, 0.522 - 0.012 * cheek, 0.046, 0.019, 0.018 * cheek),
        (0.130, 0.562 - 0.006 * cheek, 0.052, 0.016, -0.006 * cheek),
        (0.115, eye.centre[1] + eye.lower + 0.007, 0.038, 0.007, 0.006 * tight),
        (0.140, 0.605 - 0.016 * smile, 0.036, 0.030, 0.018 * smile),
        (x + 0.012, y, 0.010, 0.012, -0.006 * smile - 0.004 * stretch - 0.010 * e.dimple),
        (x + 0.034, y - 0.004, 0.014, 0.026, 0.012 * e.dimple),
        (x + 0.002, y + 0.020, 0.018, 0.012, 0.016 * e.frown),
        (0.036, 0.500, 0.012, 0.016, 0.013 * e.nose_wrinkle),
        (nose.half_width + 0.024, wing - 0.022, 0.018, 0.018,
         0.010 * e.nose_wrinkle + 0.013 * e.lip_raise),
        (x + 0.030, y, 0.010, 0.032, 0.008 * stretch),
    ]  # fmt: skip
    return [(side * at, *rest) for at, *rest in bumps if rest[-1]]  # type: ignore[misc]


def _middle(face: Face) -> list[Bump]:
    """Return the relief of what has no sides: the nose's root, lips that are pressed, the chin."""
    e, mouth = face.efforts, face.mouth
    chin, press = e.chin_raise, e.press
    bumps = [
        (0.0, face.chin - 0.058 - 0.012 * chin, 0.038, 0.024, 0.019 * chin),
        (0.0, mouth.lower_bottom + 0.010, 0.050, 0.008, -0.012 * chin - 0.004 * press),
        (0.0, mouth.lower_bottom + 0.004, 0.050, 0.010, 0.008 * press),
        (0.0, mouth.upper_top - 0.008, 0.056, 0.010, 0.009 * press),
        (0.0, 0.452, 0.022, 0.012, 0.011 * e.nose_wrinkle),
    ]
    return [bump for bump in bumps if bump[-1]]
