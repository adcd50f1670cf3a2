"""The section of a card, and a line of a report, on how well images keep a person."""

import math

from synthgen.dataset.faces import FaceStatistics
from synthgen.dataset.markdown import percent, table


def faces_section(faces: FaceStatistics | None) -> list[str]:
    """Write the section as Markdown; nothing where no faces were embedded."""
    if faces is None:
        return []
    rows = [
        ["image and person asked for, mean", faces.similarity],
        ["image and person asked for, least", faces.least_similarity],
        ["two images of one identity, mean (consistency)", faces.consistency],
        ["two images of two identities, mean", faces.others],
        ["image and anybody who must not appear, largest", faces.forbidden],
    ]
    shown = [[what, f"{value:.3f}"] for what, value in rows if not math.isnan(value)]
    parts = [
        "## Identities",
        f"Cosines of face embeddings; those of pairs are over the first {faces.compared} images.",
        table(["similarity of", "cosine"], shown),
    ]
    if not math.isnan(faces.rank1):
        parts.append(
            f"For {percent(faces.rank1)} of them, the nearest other image shows the same identity "
            "(rank-1)."
        )
    if faces.without_face:
        parts.append(f"Images passed over, with no face found in them: {faces.without_face}.")
    return ["\n\n".join(parts)]


def faces_line(faces: FaceStatistics | None) -> list[str]:
    """Say the most in one line; nothing where no faces were embedded."""
    if faces is None:
        return []
    values = {
        "to the person asked for": faces.similarity,
        "within an identity": faces.consistency,
        "to others": faces.others,
        "to the forbidden, at most": faces.forbidden,
    }
    said = [f"{value:.3f} {what}" for what, value in values.items() if not math.isnan(value)]
    rank = [] if math.isnan(faces.rank1) else [f"rank-1 {percent(faces.rank1)}"]
    return [f"identities: similarity {', '.join([*said, *rank])}"] if said or rank else []
