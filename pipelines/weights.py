"""Fetch every weight that a configuration names, so that runs need no network."""

from pathlib import Path

from synthgen.config import FineFaceConfig, RunConfig


def fetch_weights(config: RunConfig) -> list[Path]:
    """Fetch the published weights of a configuration; what is here already is only checked.

    Returns:
        The folders and files that hold them; none for weights that are embedded in the package,
        which are only looked for.

    Raises:
        WeightsError: if something is missing and cannot be fetched, or does not fit.
    """
    return [*_pipeline_weights(config), *_verifier_weights(config.verify.weights)]


def _pipeline_weights(config: RunConfig) -> list[Path]:
    if not isinstance(config.pipeline, FineFaceConfig):
        return []
    from pipelines.fineface.weights import MINI_FOLDER, locate

    folders = locate(config.pipeline.weights)
    found = (folders.base, folders.fineface, folders.vae)
    return [path for path in found if path is not None and path.parent != MINI_FOLDER]


def _verifier_weights(weights: str) -> list[Path]:
    from pipelines.libreface.fetch import fetch_libreface
    from pipelines.libreface.network import find_weight_file

    if weights == "mini":
        return []
    return [fetch_libreface() if weights == "libreface" else find_weight_file(weights)]
