"""From the configuration to a loaded face embedder."""

from pipelines.faceid.embedder import FaceEmbedder
from synthgen.config.embedder import DrawnEmbedderConfig, EmbedderConfig


def load_embedder(config: EmbedderConfig, device: str = "cpu", threads: int = 1) -> FaceEmbedder:
    """Load a face embedder.

    Args:
        config: which.
        device: torch device.
        threads: CPU threads of insightface; the project's own take torch's.

    Raises:
        WeightsError: if weights are missing or do not fit.
        MissingDependencyError: if insightface is meant and not installed.
    """
    if isinstance(config, DrawnEmbedderConfig):
        from pipelines.faceid.drawn import DrawnFaceEmbedder

        return DrawnFaceEmbedder.from_pretrained(config.weights, device)
    from pipelines.faceid.photographs import InsightFaceEmbedder

    return InsightFaceEmbedder.from_pretrained(
        config.model, device, config.licence, config.min_score, threads
    )
