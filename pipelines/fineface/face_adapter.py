"""The file in which an IP-Adapter for face embeddings is published, read strictly and written.

Its layout is that of IP-Adapter-FaceID without LoRA, the portrait kind among them: `image_proj`
turns an embedding into tokens (two linear layers and a norm), `ip_adapter` holds K_img and V_img of
each cross-attention layer. A `.bin` file nests the two, a `.safetensors` file joins them by dots;
its metadata may say which recogniser made the embeddings.
"""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils import logging as diffusers_log
from safetensors.torch import save_file
from torch import Tensor, nn

from pipelines.checkpoints import (
    SAFETENSORS_SUFFIX,
    check_tensors,
    read_pickled_tensors,
    read_safetensors,
)
from pipelines.fineface.branch import plain_module
from pipelines.fineface.models import text_width
from samplers.identities.identity import FACEID_WIDTH
from synthgen.errors import WeightsError

PROJECTION, ATTENTION = "image_proj", "ip_adapter"
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
    nested: Any = {part: dict(tensors) for part, tensors in file.tensors.items()}
    with _no_warnings():  # that there is no image encoder: a face embedding needs none
        pipeline.load_ip_adapter(
            nested,
            subfolder="",
            weight_name=path.name,
            image_encoder_folder=None,
        )


def read_face_adapter(path: Path, unet: nn.Module) -> FaceAdapterFile:
    """Read a file for a UNet; nothing in it is ever run.

    Args:
        path: `.bin` or `.safetensors` file.
        unet: the UNet that the adapter is for.

    Raises:
        WeightsError: if the file is missing, holds code or LoRA layers, or lacks tensors, holds
            others or some of another shape than the UNet asks for.
    """
    found, metadata = _read(path)
    if any("_lora." in name for name in found[ATTENTION]):
        raise WeightsError(
            f"{path} holds LoRA layers; only FaceID files without them are read, such as "
            "ip-adapter-faceid-portrait-v11_sd15.bin"
        )
    width = text_width(unet)
    wanted = {
        PROJECTION: _projection_shapes(found[PROJECTION], width, path),
        ATTENTION: {name: _shaped(rows, width) for name, rows in attention_rows(unet).items()},
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
    return _read(path)[1].get(EMBEDDER_KEY) if path.suffix == SAFETENSORS_SUFFIX else None


def write_face_adapter(path: Path, file: FaceAdapterFile) -> None:
    """Write a `.safetensors` file, each tensor in its own number format."""
    tensors = {
        f"{part}.{name}": value.detach().cpu().contiguous()
        for part, named in file.tensors.items()
        for name, value in named.items()
    }
    save_file(tensors, path, metadata={EMBEDDER_KEY: file.embedder} if file.embedder else None)


def attention_rows(unet: nn.Module) -> dict[str, int]:
    """Return the name of each K_img and V_img in the file → its rows.

    Layers are numbered as in the UNet's `attn_processors`, where cross-attention has odd numbers.
    """
    processors: Any = unet.attn_processors
    cross = [name.removesuffix(".processor") for name in processors if ".attn2." in name]
    return {
        f"{2 * number + 1}.to_{kind}_ip.weight": unet.get_submodule(path).inner_dim  # pyright: ignore
        for number, path in enumerate(cross)
        for kind in "kv"
    }


def _read(path: Path) -> tuple[dict[str, Mapping[str, Any]], dict[str, str]]:
    if path.suffix == SAFETENSORS_SUFFIX:
        flat, metadata = read_safetensors(path)
        return {part: _behind(flat, f"{part}.") for part in (PROJECTION, ATTENTION)}, metadata
    nested = read_pickled_tensors(path)
    for part in (PROJECTION, ATTENTION):
        if not isinstance(nested, Mapping) or not isinstance(nested.get(part), Mapping):
            raise WeightsError(
                f"{path} holds no {part}; it must be an IP-Adapter file of {PROJECTION} and "
                f"{ATTENTION}"
            )
    return {part: nested[part] for part in (PROJECTION, ATTENTION)}, {}


def _behind(flat: Mapping[str, Tensor], start: str) -> dict[str, Tensor]:
    return {k.removeprefix(start): v for k, v in flat.items() if k.startswith(start)}


def _projection_shapes(found: Mapping[str, Any], width: int, path: Path) -> dict[str, Tensor]:
    """Return the shapes that the projection must have; its inner width and tokens are its own."""
    inner = _rows(found.get("proj.0.weight"))
    rows = _rows(found.get("proj.2.weight"))
    if not inner or not rows or inner % FACEID_WIDTH or rows % width:
        raise WeightsError(
            f"{path} is no FaceID adapter for this base: its projection has {inner} inner and "
            f"{rows} outer numbers; they must be multiples of {FACEID_WIDTH} and of the text width "
            f"{width}"
        )
    return {
        "proj.0.weight": _shaped(inner, FACEID_WIDTH),
        "proj.0.bias": _shaped(inner),
        "proj.2.weight": _shaped(rows, inner),
        "proj.2.bias": _shaped(rows),
        "norm.weight": _shaped(width),
        "norm.bias": _shaped(width),
    }


def _rows(tensor: object) -> int:
    return tensor.shape[0] if isinstance(tensor, Tensor) and tensor.ndim else 0


def _shaped(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    before = diffusers_log.get_verbosity()
    diffusers_log.set_verbosity_error()
    try:
        yield
    finally:
        diffusers_log.set_verbosity(before)
