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
from pipelines.pictures import all_rgb
from synthgen.errors import WeightsError

MINI_FILE = Path(__file__).parents[1] / "mini" / "face_embedder.safetensors"

IMAGE_SIDE = 128
"""Side that images are scaled to before the middle is cut out [pixels]."""

LICENCE = "Apache-2.0"


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
        self.files = (file,)
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
        network.requires_grad_(False).to(device)
        name = "face-embedder-mini" if weights == "mini" else f"face-embedder-{file.stem}"
        return cls(network, file, name, metadata.get("licence", LICENCE))

    def embed(self, images: Sequence[Image]) -> FaceEmbeddings:
        """Embed the middle of each image."""
        return join_faces([self._face(image) for image in all_rgb(images)])

    def provenance(self) -> dict[str, Any]:
        """Return what embeddings are a function of."""
        return {
            "weights": dict(self._weights),
            "licences": dict.fromkeys(self._weights, self.licence),
            "versions": {name: version(name) for name in ("numpy", "pillow", "torch")},
        }

    @torch.inference_mode()
    def _face(self, image: Image) -> FoundFace:
        """Embed one image, alone: bits would depend on how many stand beside it."""
        crop = middle_of(image)
        pixels = to_pixels(crop)[None]
        device = next(self._network.parameters()).device
        features = self._network(pixels.to(device))[0].float().cpu().numpy()
        return FoundFace(normalised(features), 1, float(min(image.size)), 1.0, sharpness_of(crop))


def middle_of(image: Image) -> Image:
    """Scale an RGB image to 128×128 and cut 112×112 out of its middle."""
    if image.size != (IMAGE_SIDE, IMAGE_SIDE):
        image = image.resize((IMAGE_SIDE, IMAGE_SIDE), Resampling.BILINEAR)
    start = (IMAGE_SIDE - INPUT_SIDE) // 2
    return image.crop((start, start, start + INPUT_SIDE, start + INPUT_SIDE))


def to_pixels(crop: Image) -> Float[Tensor, "3 112 112"]:
    """Return a crop as pixels in [0, 1]."""
    return torch.from_numpy(np.array(crop)).permute(2, 0, 1).float().div_(255)
