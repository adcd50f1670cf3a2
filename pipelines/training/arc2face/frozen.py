"""Arc2Face as a base that does not learn, and the expressions of drawn people beside it."""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.attention_processor import AttnProcessor
from jaxtyping import Float32

from pipelines.arc2face.checkpoint import load_parts
from pipelines.arc2face.pipeline import Arc2FacePipeline
from pipelines.arc2face.weights import (
    ENCODER,
    PICKLE,
    SAFE,
    UNET,
    UNET_FILES,
    locate_base,
    locate_published,
)
from pipelines.diffusion.models import no_progress_bars
from pipelines.procedural.flame import flame_of
from pipelines.training.arc2face.config import AdapterSettings, ExpressionSheet
from pipelines.training.data.examples import ProceduralExamples
from pipelines.training.diffusion.base import FrozenBase, load_scheduler, with_sheet_sampler
from pipelines.weight_files import file_sha256
from synthgen.action_units import au_vector

_SCHEDULER = Path("scheduler") / "scheduler_config.json"


@dataclass(frozen=True, slots=True)
class Arc2FaceBase(FrozenBase):
    """Arc2Face beside a base of Stable Diffusion; their weights stay what they are.

    Attributes:
        published: folder of `arc2face/` and `encoder/`.
    """

    published: Path

    def checksums(self) -> dict[str, str]:
        """Return the SHA-256 of the files that a training depends on, besides the VAE's."""
        encoder = self.published / ENCODER
        text = encoder / (SAFE if (encoder / SAFE).is_file() else PICKLE)
        unet = self.published / UNET / UNET_FILES[1]
        tokenizer = sorted(p for p in (self.folder / "tokenizer").iterdir() if p.is_file())
        own = {f"{path.parent.name}/{path.name}": file_sha256(path) for path in (unet, text)}
        base = [self.folder / _SCHEDULER, *tokenizer]
        return own | {path.relative_to(self.folder).as_posix(): file_sha256(path) for path in base}

    def pipeline(self) -> Any:
        """Load a pipeline of its own, float32, that paints sample sheets."""
        with no_progress_bars():
            return with_sheet_sampler(
                Arc2FacePipeline.from_pretrained(self.published, base=str(self.folder))
            )


def load_arc2face(
    config: AdapterSettings, device: torch.device, dtype: torch.dtype
) -> Arc2FaceBase:
    """Load Arc2Face, to learn beside it.

    Args:
        config: the training run.
        device: torch device.
        dtype: number format of the UNet and the text encoder.

    Raises:
        WeightsError: if files are missing, do not fit, or do not belong together.
    """
    folder = locate_base(config.base, revision=config.revision, setting="base")
    published = locate_published(
        config.arc2face, revision=config.arc2face_revision, setting="arc2face"
    )
    with no_progress_bars():
        parts = load_parts(folder, published / UNET, published / ENCODER, dtype, {})
    for name in ("unet", "text_encoder"):
        parts[name].to(device).eval().requires_grad_(False)
    if config.attention == "explicit":
        parts["unet"].set_attn_processor(AttnProcessor())
    if device.type == "cuda":
        parts["unet"].to(memory_format=torch.channels_last)
    return Arc2FaceBase(
        folder=folder,
        unet=parts["unet"],
        text_encoder=parts["text_encoder"],
        tokenizer=parts["tokenizer"],
        scheduler=load_scheduler(folder / _SCHEDULER),
        published=published,
    )


def flame_numbers(examples: ProceduralExamples, count: int) -> Float32[np.ndarray, "count 55"]:
    """Return the numbers of the expressions of the first examples."""
    return np.stack([flame_of(examples.expression(row)) for row in range(count)])


def sheet_numbers(sheet: ExpressionSheet) -> list[Float32[np.ndarray, " 55"]]:
    """Return the numbers of the expressions that a sheet asks for."""
    return [flame_of(au_vector(expression)) for expression in sheet.expressions]
