"""The file in which an IP-Adapter for face embeddings is published, read strictly and written.

Its layout is that of IP-Adapter-FaceID without LoRA, the portrait kind among them: `image_proj`
turns an embedding into tokens (two linear layers and a norm), `ip_adapter` holds K_img and V_img of
each cross-attention layer. A `.bin` file nests the two, a `.safetensors` file joins them by dots;
its metadata may say which recogniser made the embeddings.
"""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers import StableDiffusionPipeline
from torch import Tensor, nn

from pipelines.checkpoints import SAFETENSORS_SUFFIX, check_tensors
from pipelines.diffusion.ip_adapter import (
    ATTENTION,
    PROJECTION,
    attention_rows,
    load_tensors,
    read_parts,
    row_count,
    shaped,
    write_parts,
)
from pipelines.diffusion.unet import plain_module, text_width
from samplers.identities.identity import FACEID_WIDTH
from synthgen.errors import WeightsError

EMBEDDER_KEY = "embedder"
"""Key of a safetensors file's metadata: fingerprint of the recogniser."""


@dataclass(frozen=True, slots=True)
class FaceAdapterFile:
    """Content of such a file.

    Attributes:
        tensors: `image_proj` and `ip_adapter` → name → tensor, as `load_ip_adapter` takes it.
        embedder: fingerprint of the recogniser that it was trained with; None: it does not say.
    """

    tensors: Mapping[str, Mapping[str, Tensor]]
    embedder: str | None


def load_face_adapter(pipeline: StableDiffusionPipeline, path: Path) -> None:
    """Check a file, and give it to the pipeline's `load_ip_adapter`.

    Raises:
        WeightsError: as `read_face_adapter`.
    """
    file = read_face_adapter(path, plain_module(pipeline.unet))
    load_tensors(pipeline, file.tensors, path.name)


def read_face_adapter(path: Path, unet: nn.Module) -> FaceAdapterFile:
    """Read a file for a UNet; nothing in it is ever run.

    Args:
        path: `.bin` or `.safetensors` file.
        unet: the UNet that the adapter is for.

    Raises:
        WeightsError: if the file is missing, holds code or LoRA layers, or lacks tensors, holds
            others or some of another shape than the UNet asks for.
    """
    found, metadata = read_parts(path)
    if any("_lora." in name for name in found[ATTENTION]):
        raise WeightsError(
            f"{path} holds LoRA layers; only FaceID files without them are read, such as "
            "ip-adapter-faceid-portrait-v11_sd15.bin"
        )
    width = text_width(unet)
    wanted = {
        PROJECTION: _projection_shapes(found[PROJECTION], width, path),
        ATTENTION: {name: shaped(rows, width) for name, rows in attention_rows(unet).items()},
    }
    checked = {
        part: check_tensors(found[part], wanted[part], f"{path} ({part})") for part in wanted
    }
    return FaceAdapterFile(checked, metadata.get(EMBEDDER_KEY))


def embedder_of(path: Path) -> str | None:
    """Return the fingerprint of the recogniser that a file says it was trained with.

    Raises:
        WeightsError: if the file is missing or is no safetensors file; a `.bin` file says nothing.
    """
    return read_parts(path)[1].get(EMBEDDER_KEY) if path.suffix == SAFETENSORS_SUFFIX else None


def write_face_adapter(path: Path, file: FaceAdapterFile) -> None:
    """Write a `.safetensors` file, each tensor in its own number format."""
    write_parts(path, file.tensors, {EMBEDDER_KEY: file.embedder} if file.embedder else None)


def _projection_shapes(found: Mapping[str, Any], width: int, path: Path) -> dict[str, Tensor]:
    """Return the shapes that the projection must have; its inner width and tokens are its own."""
    inner = row_count(found.get("proj.0.weight"))
    rows = row_count(found.get("proj.2.weight"))
    if not inner or not rows or inner % FACEID_WIDTH or rows % width:
        raise WeightsError(
            f"{path} is no FaceID adapter for this base: its projection has {inner} inner and "
            f"{rows} outer numbers; they must be multiples of {FACEID_WIDTH} and of the text width "
            f"{width}"
        )
    return {
        "proj.0.weight": shaped(inner, FACEID_WIDTH),
        "proj.0.bias": shaped(inner),
        "proj.2.weight": shaped(rows, inner),
        "proj.2.bias": shaped(rows),
        "norm.weight": shaped(width),
        "norm.bias": shaped(width),
    }
