"""Interface of face embedders, and the faces that they find."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Int
from PIL.Image import Image

from samplers.identities.identity import FACEID_WIDTH


@dataclass(frozen=True, slots=True, eq=False)
class FaceEmbeddings:
    """Faces that an embedder found in some images: the largest of each.

    Attributes:
        embeddings: L2-normalised; NaN rows where there is no face.
        faces: number of faces in each image.
        sides: shorter side of the face's box [pixels]; NaN where there is no face.
        scores: how sure the detector is of the face [0–1]; NaN where there is no face.
        sharpness: variance of the Laplacian of the aligned face's grey values [0–255]² of 112×112
            pixels; NaN where there is no face.
        points: (x, y) [pixels] of the middle of the eye on the left of the image, of that on the
            right, and of the middle between the mouth corners; NaN where there is no face.
    """

    embeddings: Float32[np.ndarray, "images 512"]
    faces: Int[np.ndarray, " images"]
    sides: Float32[np.ndarray, " images"]
    scores: Float32[np.ndarray, " images"]
    sharpness: Float32[np.ndarray, " images"]
    points: Float32[np.ndarray, "images 3 2"]


@dataclass(frozen=True, slots=True, eq=False)
class FoundFace:
    """The largest face of one image; see `FaceEmbeddings`."""

    embedding: Float32[np.ndarray, " 512"]
    faces: int
    side: float
    score: float
    sharpness: float
    points: Float[np.ndarray, "3 2"]


@runtime_checkable
class FaceEmbedder(Protocol):
    """Turns faces into directions of a space in which one person's lie near each other.

    An embedding is a function of its image alone.

    Attributes:
        name: name of the embedder.
        fingerprint: `sha256:…` of the recogniser's file; embeddings of equal fingerprints can be
            compared, others never.
        licence: licence that its embeddings bring with them.
        files: its weight files.
    """

    name: str
    fingerprint: str
    licence: str
    files: tuple[Path, ...]

    def embed(self, images: Sequence[Image]) -> FaceEmbeddings:
        """Embed the largest face of each image of any size and kind.

        Raises:
            PictureError: if an image cannot become RGB, with its place in the call.
        """
        ...

    def provenance(self) -> dict[str, Any]:
        """Return what embeddings are a function of: `weights`, `licences` and `versions`."""
        ...


def join_faces(found: Sequence[FoundFace | None]) -> FaceEmbeddings:
    """Put what was found image by image together; None where there is no face."""
    return FaceEmbeddings(
        embeddings=np.array(
            [np.full(FACEID_WIDTH, np.nan) if face is None else face.embedding for face in found],
            np.float32,
        ).reshape(-1, FACEID_WIDTH),
        faces=np.array([0 if face is None else face.faces for face in found], np.int64),
        sides=_column([face and face.side for face in found]),
        scores=_column([face and face.score for face in found]),
        sharpness=_column([face and face.sharpness for face in found]),
        points=np.array(
            [np.full((3, 2), np.nan) if face is None else face.points for face in found], np.float32
        ).reshape(-1, 3, 2),
    )


def normalised(values: np.ndarray) -> Float32[np.ndarray, " 512"]:
    """Return an embedding at length 1."""
    wide = values.astype(np.float64)
    return (wide / np.linalg.norm(wide)).astype(np.float32)


def sharpness_of(crop: Image) -> float:
    """Return the variance of the Laplacian of an aligned face's grey values."""
    grey = np.asarray(crop.convert("L"), np.float64)
    inner = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * inner).var())


def _column(values: Sequence[float | None]) -> Float32[np.ndarray, " images"]:
    return np.array([np.nan if value is None else value for value in values], np.float32)
