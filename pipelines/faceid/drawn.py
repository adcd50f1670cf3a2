"""Embed drawn and mini faces, which stand in the middle of their image."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import Image, Resampling
from torch import Tensor

from pipelines.checkpoints import file_sha256
from pipelines.faceid.embedder import (
    FaceEmbeddings,
    FoundFace,
    join_faces,
    normalised,
    sharpness_of,
)
from pipelines.faceid.network import INPUT_SIDE, FaceNetwork, load_face_network
from synthgen.errors import WeightsError

MINI_FILE = Path(__file__).parents[1] / "mini" / "face_embedder.safetensors"

IMAGE_SIDE = 128
"""Side that images are scaled to before the middle is cut out [pixels]."""

LICENCE = "Apache-2.0"

_MAX_BATCH = 32


class DrawnFaceEmbedder:
    """Embeds the face in the middle of each image with a small recogniser.

    It looks for no face: each image counts as one, as wide as the image.

    Args:
        network: the recogniser in evaluation mode, on its device.
        file: its weight file.
        name: name of the embedder.
        licence: licence of the weights.
    """

    def __init__(self, network: FaceNetwork, file: Path, name: str, licence: str) -> None:
        self.name = name
        self.licence = licence
        self._network = network
        self._weights = {file.name: file_sha256(file)}
        self.fingerprint = f"sha256:{self._weights[file.name]}"

    @classmethod
    def from_pretrained(
        cls, weights: str | Path = "mini", device: str = "cpu"
    ) -> "DrawnFaceEmbedder":
        """Load an embedder.

        Args:
            weights: `mini`, or a file that `synthgen train face-embedder` wrote.
            device: torch device.

        Raises:
            WeightsError: if the weights are missing or do not fit.
        """
        if weights == "mini" and not MINI_FILE.is_file():
            raise WeightsError(
                f"mini face embedder {MINI_FILE} is missing; `synthgen train face-embedder` makes "
                "it"
            )
        file = MINI_FILE if weights == "mini" else Path(weights)
        network, metadata = load_face_network(file)
        network.requires_grad_(False).to(device, memory_format=torch.channels_last)  # pyright: ignore
        name = "face-embedder-mini" if weights == "mini" else f"face-embedder-{file.stem}"
        return cls(network, file, name, metadata.get("licence", LICENCE))

    def embed(self, images: Sequence[Image]) -> FaceEmbeddings:
        """Embed the middle of each image."""
        crops = [middle_of(image) for image in images]
        features = [
            row
            for start in range(0, len(crops), _MAX_BATCH)
            for row in self._features(crops[start : start + _MAX_BATCH])
        ]
        return join_faces(
            [
                FoundFace(normalised(row), 1, float(min(image.size)), 1.0, sharpness_of(crop))
                for row, image, crop in zip(features, images, crops, strict=True)
            ]
        )

    def provenance(self) -> dict[str, Any]:
        """Return what embeddings are a function of."""
        return {
            "weights": dict(self._weights),
            "licences": dict.fromkeys(self._weights, self.licence),
            "versions": {name: version(name) for name in ("numpy", "pillow", "torch")},
        }

    @torch.inference_mode()
    def _features(self, crops: Sequence[Image]) -> Float[np.ndarray, "batch 512"]:
        device = next(self._network.parameters()).device
        pixels = to_pixels(crops).contiguous(memory_format=torch.channels_last)
        return self._network.by_rows(pixels.to(device)).float().cpu().numpy()


def middle_of(image: Image) -> Image:
    """Scale an image to 128×128 and cut 112×112 out of its middle."""
    image = image if image.mode == "RGB" else image.convert("RGB")
    if image.size != (IMAGE_SIDE, IMAGE_SIDE):
        image = image.resize((IMAGE_SIDE, IMAGE_SIDE), Resampling.BILINEAR)
    start = (IMAGE_SIDE - INPUT_SIDE) // 2
    return image.crop((start, start, start + INPUT_SIDE, start + INPUT_SIDE))


def to_pixels(crops: Sequence[Image]) -> Float[Tensor, "batch 3 112 112"]:
    """Return crops as pixels in [0, 1]."""
    values = np.stack([np.asarray(crop) for crop in crops])  # [batch, 112, 112, 3]
    return torch.from_numpy(values).permute(0, 3, 1, 2).float().div_(255)
