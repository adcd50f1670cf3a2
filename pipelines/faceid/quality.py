"""Which photographs are good enough to describe a person by."""

from dataclasses import dataclass

from pipelines.faceid.embedder import FaceEmbeddings


@dataclass(frozen=True, slots=True)
class Quality:
    """Bounds that the largest face of a photograph must keep.

    Recognisers see 112×112 pixels, so a face of fewer than 64 is mostly made up by enlarging it.
    Detectors give clear frontal faces about 0.7 to 0.9 and find little that is a face below 0.5.
    A sharp face has a Laplacian variance of some hundreds, one that no longer shows its lashes some
    tens. All three are rules of thumb: look at what a collection loses by them.

    Attributes:
        min_side: shorter side of the face's box [pixels].
        min_score: how sure the detector is [0–1].
        min_sharpness: variance of the Laplacian of the aligned face [grey values²].
    """

    min_side: float = 64.0
    min_score: float = 0.6
    min_sharpness: float = 30.0


def fault(found: FaceEmbeddings, place: int, quality: Quality) -> str | None:
    """Say why a face is not good enough; None where it is.

    Args:
        found: what an embedder found.
        place: number of the image.
        quality: the bounds.
    """
    side, score = float(found.sides[place]), float(found.scores[place])
    sharpness = float(found.sharpness[place])
    if not found.faces[place]:
        return "no face was found"
    if side < quality.min_side:
        return f"the face is {side:.0f} pixels wide; at least {quality.min_side:g} are needed"
    if score < quality.min_score:
        return f"the detector is sure of the face to {score:.2f}; at least {quality.min_score:g}"
    if sharpness < quality.min_sharpness:
        return f"the face is blurred: sharpness {sharpness:.1f}, at least {quality.min_sharpness:g}"
    return None
