"""How well an embedder tells drawn people apart whom it never saw."""

import numpy as np

from pipelines.faceid.drawn import DrawnFaceEmbedder
from pipelines.training.face_embedder.config import FaceEmbedderConfig
from pipelines.training.face_embedder.people import held_out_pictures


def evaluate_embedder(
    embedder: DrawnFaceEmbedder, config: FaceEmbedderConfig
) -> dict[str, float | int]:
    """Measure an embedder on people it never saw, each in some pictures.

    Returns:
        `people`, `pictures`; mean cosine of two pictures of one person (`same`) and of two people
        (`others`); `others_most`, the 99.9th percentile of the latter; share of pictures whose
        nearest other shows the same person (`rank1`); share of pairs of one person that lie above
        `others_most` (`told_apart`).
    """
    pictures = held_out_pictures(config)
    found = embedder.embed([image for person in pictures for image in person])
    people = np.repeat(np.arange(len(pictures)), len(pictures[0]))
    cosines = found.embeddings.astype(np.float64) @ found.embeddings.astype(np.float64).T
    alike = people[:, None] == people
    same = cosines[alike & ~np.eye(len(people), dtype=bool)]
    most = float(np.quantile(cosines[~alike], 0.999))
    np.fill_diagonal(cosines, -np.inf)
    return {
        "people": len(pictures),
        "pictures": len(people),
        "same": float(same.mean()),
        "others": float(cosines[~alike].mean()),
        "others_most": most,
        "rank1": float((people[cosines.argmax(1)] == people).mean()),
        "told_apart": float((same > most).mean()),
    }
