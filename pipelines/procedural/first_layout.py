"""Layout of a face in the first edition of the drawings."""

from pipelines.procedural.expression import Efforts
from pipelines.procedural.identity import Identity
from pipelines.procedural.parts import SHAPES, Brow, Eye, Head, Mouth, Nose


def eye(identity: Identity, efforts: Efforts, side: int) -> Eye:
    """Lay out one eye."""
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


def brow(identity: Identity, efforts: Efforts, side: int) -> Brow:
    """Lay out one brow."""
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


def nose(identity: Identity, efforts: Efforts) -> Nose:
    """Lay out the nose."""
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


def mouth(identity: Identity, efforts: Efforts) -> Mouth:
    """Lay out the mouth."""
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


def head(identity: Identity, efforts: Efforts) -> Head:
    """Lay out the contour."""
    head, jaw, chin_width, longer = SHAPES[identity.face]
    chin = 0.866 + longer + 0.008 * identity.face_height + 0.078 * efforts.jaw
    return Head(
        half_width=0.247 * head * (1 + 0.022 * identity.face_width),
        top=0.062 - 0.006 * identity.forehead,
        chin=chin - 0.012 * efforts.chin_raise,
        jaw=jaw * (1 + 0.03 * identity.jaw_width),
        chin_width=chin_width * (1 + 0.10 * identity.chin_width),
        cheek=0.008 * identity.cheek + 0.010 * max(efforts.smile, 0.0),
        sag=0.006 * min(max((identity.years - 45) / 35, 0.0), 1.0),
    )
