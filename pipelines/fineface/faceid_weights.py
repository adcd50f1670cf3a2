"""Where the face adapter of a FineFace run lies, and which recogniser it was trained with."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.checksum import file_sha256
from pipelines.fineface.weights import (
    ADAPTER,
    MINI,
    FineFaceFolders,
    check_sha256,
    checksums,
    embedded,
    locate,
)
from pipelines.hub import resolve
from synthgen.config import FaceIdWeights
from synthgen.errors import WeightsError

FACE_ADAPTER_FILE = "ip_adapter.safetensors"
"""Name of the embedded face adapter, in the folder `faceid`."""

_PUBLISHED = (
    "IP-Adapter-FaceID",
    "research only, not for commercial use, as the face recogniser that it was trained with",
)
_EMBEDDED = ("FaceID mini, trained by synthgen on its own drawn faces", "Apache-2.0")


@dataclass(frozen=True, slots=True)
class FaceIdFiles:
    """Files of this machine that hold the weights of a run with faces.

    Attributes:
        folders: the base and the FineFace files.
        face_adapter: the IP-Adapter's file.
        embedder: fingerprint of the recogniser that the configuration names; None: none.
        licences: what is used → its licence.
    """

    folders: FineFaceFolders
    face_adapter: Path
    embedder: str | None
    licences: Mapping[str, str]


def locate_faceid(weights: Literal["mini"] | FaceIdWeights, *, fetch: bool = True) -> FaceIdFiles:
    """Find the weights, and fetch from the Hub what is neither embedded nor a folder here.

    Args:
        weights: which.
        fetch: whether to fetch what is not on this machine.

    Raises:
        WeightsError: if something is missing and cannot be fetched, or is not to be.
    """
    if not isinstance(weights, FaceIdWeights):
        weights = FaceIdWeights(base=MINI, fineface=MINI, ip_adapter=MINI)
    folders = locate(weights, fetch=fetch)
    name, licence = _EMBEDDED if weights.ip_adapter == MINI else _PUBLISHED
    return FaceIdFiles(
        folders=folders,
        face_adapter=_face_adapter(weights, fetch),
        embedder=weights.embedder,
        licences={**folders.licences, name: licence},
    )


def faceid_checksums(files: FaceIdFiles) -> dict[str, str]:
    """Return the SHA-256 of each file that the images are a function of, as `checksums` does."""
    adapter = files.face_adapter
    return {**checksums(files.folders), f"{ADAPTER}{adapter.name}": file_sha256(adapter)}


def embedded_face_adapter() -> Path:
    """Return the file of the embedded face adapter.

    Raises:
        WeightsError: if it is missing.
    """
    return embedded("faceid", [FACE_ADAPTER_FILE]) / FACE_ADAPTER_FILE


def agreed_embedder(configured: str | None, said: str | None, path: Path) -> str:
    """Return the fingerprint of the recogniser that a face adapter expects.

    Args:
        configured: what the configuration names.
        said: what the face adapter's file says.
        path: that file.

    Raises:
        WeightsError: if neither says it, or they contradict each other.
    """
    if configured is not None and said not in (None, configured):
        raise WeightsError(
            f"pipeline.weights.embedder is {configured!r}, but {path} was trained with {said!r}"
        )
    embedder = configured or said
    if embedder is None:
        raise WeightsError(
            f"{path} does not say which face recogniser it was trained with; set "
            "pipeline.weights.embedder to that recogniser's fingerprint, as stores of faces carry "
            "it"
        )
    return embedder


def _face_adapter(weights: FaceIdWeights, fetch: bool) -> Path:
    if weights.ip_adapter == MINI:
        return embedded_face_adapter()
    name = weights.weight_name
    folder = resolve(
        weights.ip_adapter,
        revision=weights.ip_adapter_revision,
        files=[name],
        setting="pipeline.weights.ip_adapter",
        fetch=fetch,
    )
    file = folder / name
    expected = {k: v for k, v in weights.sha256.items() if k.startswith(ADAPTER)}
    check_sha256(expected, {f"{ADAPTER}{file.name}": file})
    return file
