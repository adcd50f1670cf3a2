"""Fetch every weight that a configuration names, so that runs need no network."""

from pathlib import Path
from typing import TYPE_CHECKING

from synthgen.config import FaceIdConfig, FineFaceConfig, RunConfig
from synthgen.config.verify import IdentityCheckConfig

if TYPE_CHECKING:
    from pipelines.fineface.weights import FineFaceFolders


def fetch_weights(config: RunConfig) -> list[Path]:
    """Fetch the published weights of a configuration; what is here already is only checked.

    Returns:
        The folders and files that hold them; none for weights that are embedded in the package,
        which are only looked for.

    Raises:
        WeightsError: if something is missing and cannot be fetched, or does not fit.
        MissingDependencyError: if an optional package that fetches is not installed.
    """
    return [
        *_pipeline_weights(config),
        *_verifier_weights(config.verify.weights),
        *_embedder_weights(config.verify.identity),
    ]


def pins(config: RunConfig) -> dict[str, str]:
    """Return key → commit of the weights that lie in the Hub's cache and are not pinned to it."""
    from pipelines.fineface.faceid_weights import locate_faceid
    from pipelines.fineface.weights import locate
    from pipelines.hub import commit_of

    if isinstance(config.pipeline, FaceIdConfig):
        files = locate_faceid(config.pipeline.weights, fetch=False)
        folders, adapter = files.folders, files.face_adapter
    elif isinstance(config.pipeline, FineFaceConfig):
        folders, adapter = locate(config.pipeline.weights, fetch=False), None
    else:
        return {}
    found = {
        "revision": folders.base,
        "vae_revision": folders.vae,
        "fineface_revision": folders.fineface,
        "ip_adapter_revision": adapter,
    }
    commits = {key: commit_of(path) for key, path in found.items() if path is not None}
    return {
        f"pipeline.weights.{key}": commit
        for key, commit in commits.items()
        if commit is not None and getattr(config.pipeline.weights, key, None) != commit
    }


def _pipeline_weights(config: RunConfig) -> list[Path]:
    pipeline = config.pipeline
    if isinstance(pipeline, FaceIdConfig):
        from pipelines.fineface.faceid_weights import locate_faceid

        files = locate_faceid(pipeline.weights)
        return [*_not_embedded(files.folders), *_unless_embedded(files.face_adapter)]
    if isinstance(pipeline, FineFaceConfig):
        from pipelines.fineface.weights import locate

        return _not_embedded(locate(pipeline.weights))
    return []


def _not_embedded(folders: "FineFaceFolders") -> list[Path]:
    found = (folders.base, folders.fineface, folders.vae)
    return [part for path in found if path is not None for part in _unless_embedded(path)]


def _unless_embedded(path: Path) -> list[Path]:
    from pipelines.fineface.weights import MINI_FOLDER

    return [] if MINI_FOLDER in path.parents else [path]


def _verifier_weights(weights: str) -> list[Path]:
    from pipelines.libreface.fetch import fetch_libreface
    from pipelines.libreface.files import find_weight_file

    if weights == "mini":
        return []
    return [fetch_libreface() if weights == "libreface" else find_weight_file(weights)]


def _embedder_weights(check: IdentityCheckConfig | None) -> list[Path]:
    if check is None:
        return []
    from pipelines.faceid.loading import load_embedder

    return [path for file in load_embedder(check.embedder).files for path in _unless_embedded(file)]
