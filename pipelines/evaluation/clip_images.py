"""CLIP-I: how alike two images are to an image encoder."""

# pyright: reportPrivateImportUsage=false
# transformers exports its names lazily, which the type checker does not see.

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import Image
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from pipelines.fineface.models import load_model
from pipelines.hub import missing_files
from pipelines.weight_files import file_sha256, read_model_config
from synthgen.errors import WeightsError
from synthgen.foreign import first_line

ENCODER, PROCESSOR = "image_encoder", "feature_extractor"

_ENCODER_FILES = ("config.json", "model.safetensors")
_PROCESSOR_FILE = "preprocessor_config.json"


class ImageEmbedder:
    """Embeds images by a CLIP image encoder.

    Args:
        folder: Stable Diffusion folder with `image_encoder/` and `feature_extractor/`.

    Raises:
        WeightsError: if one of their files is missing, or they cannot be loaded.
    """

    def __init__(self, folder: Path) -> None:
        _check(folder / ENCODER, _ENCODER_FILES)
        _check(folder / PROCESSOR, (_PROCESSOR_FILE,))
        read_model_config(folder / PROCESSOR / _PROCESSOR_FILE)
        self._model = load_model(
            CLIPVisionModelWithProjection, folder / ENCODER, torch.float32
        ).eval()
        try:
            self._processor = CLIPImageProcessor.from_pretrained(folder / PROCESSOR)
        except Exception as error:  # of whatever a class does with the values of a strange config
            raise WeightsError(
                f"{folder / PROCESSOR} cannot be loaded: {first_line(error)}"
            ) from error
        self.weights = {
            f"{ENCODER}/model.safetensors": file_sha256(folder / ENCODER / "model.safetensors")
        }

    @torch.inference_mode()
    def embed(self, images: Sequence[Image]) -> Float[np.ndarray, "n width"]:
        """Return unit vectors of RGB images."""
        pixels = self._processor(images=list(images), return_tensors="pt")["pixel_values"]
        vectors = self._model(pixel_values=pixels).image_embeds
        return torch.nn.functional.normalize(vectors, dim=-1).numpy()


def find_encoder(folder: Path) -> ImageEmbedder | None:
    """Return the embedder of a Stable Diffusion folder; None where it has no image encoder.

    Raises:
        WeightsError: if it has half of one.
    """
    return ImageEmbedder(folder) if (folder / ENCODER).is_dir() else None


def _check(folder: Path, files: Sequence[str]) -> None:
    if missing := missing_files(folder, list(files)):
        raise WeightsError(f"{folder} has no {', '.join(missing)}; CLIP-I needs it")
