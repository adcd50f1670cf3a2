"""IP-Adapters: the layout of their files, how they are loaded, and how strongly they act."""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from diffusers.models.attention_processor import (
    IPAdapterAttnProcessor,
    IPAdapterAttnProcessor2_0,
    IPAdapterXFormersAttnProcessor,
)
from diffusers.models.embeddings import MultiIPAdapterImageProjection
from diffusers.utils import logging as diffusers_log
from safetensors.torch import save_file
from torch import Tensor, nn

from pipelines.checkpoints import SAFETENSORS_SUFFIX, read_pickled_tensors, read_safetensors
from synthgen.errors import WeightsError

PROJECTION, ATTENTION = "image_proj", "ip_adapter"
"""Parts of a file: what makes tokens, and K_img and V_img of each cross-attention layer."""

_PROCESSORS = (IPAdapterAttnProcessor, IPAdapterAttnProcessor2_0, IPAdapterXFormersAttnProcessor)


def read_parts(path: Path) -> tuple[dict[str, Mapping[str, Any]], dict[str, str]]:
    """Read the two parts of a `.bin` file, which nests them, or a `.safetensors` file.

    Returns:
        The parts, unchecked, and the metadata of a `.safetensors` file.

    Raises:
        WeightsError: if the file is missing, holds code, or lacks a part.
    """
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


def write_parts(
    path: Path,
    tensors: Mapping[str, Mapping[str, Tensor]],
    metadata: dict[str, str] | None = None,
) -> None:
    """Write a `.safetensors` file, each tensor in its own number format.

    Args:
        path: the file.
        tensors: the parts, `image_proj` and `ip_adapter` → name → tensor.
        metadata: what else the file says.
    """
    flat = {
        f"{part}.{name}": value.detach().cpu().contiguous()
        for part, named in tensors.items()
        for name, value in named.items()
    }
    save_file(flat, path, metadata=metadata)


def load_tensors(
    pipeline: StableDiffusionPipeline, tensors: Mapping[str, Mapping[str, Tensor]], name: str
) -> None:
    """Give the parts of a file to a pipeline's `load_ip_adapter`.

    Args:
        pipeline: the pipeline.
        tensors: the parts, checked.
        name: name of the file.
    """
    nested: Any = {part: dict(named) for part, named in tensors.items()}
    with _no_warnings():  # that there is no image encoder: vectors need none
        pipeline.load_ip_adapter(nested, subfolder="", weight_name=name, image_encoder_folder=None)


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


def projections(unet: nn.Module) -> list[nn.Module]:
    """Return what makes tokens in each IP-Adapter of a UNet, not compiled; none: it has none."""
    projection = getattr(unet, "encoder_hid_proj", None)
    if isinstance(projection, MultiIPAdapterImageProjection):
        return list(projection.image_projection_layers)
    return [] if projection is None else [projection]


@contextlib.contextmanager
def adapter_scale(unet: nn.Module, scale: int | float) -> Iterator[None]:
    """Multiply the scales of a UNet's IP-Adapter, as long as it is entered.

    Args:
        unet: the UNet, not compiled.
        scale: factor on what `set_ip_adapter_scale` has set; at 0 the branch is not computed.
    """
    processors: Mapping[str, Any] = unet.attn_processors  # pyright: ignore[reportAssignmentType]
    before = {p: p.scale for p in processors.values() if isinstance(p, _PROCESSORS)}
    try:
        for processor, scales in before.items():
            processor.scale = [_times(scale, own) for own in scales]
        yield
    finally:
        for processor, scales in before.items():
            processor.scale = scales


def _times(scale: int | float, own: Any) -> Any:
    return [_times(scale, part) for part in own] if isinstance(own, list) else scale * own


def spread(embeds: Tensor, halves: int, samples: int) -> Tensor:
    """Spread rows of embeddings evenly over the samples of a batch.

    Args:
        embeds: one row for all samples or for each; with guidance the negative ones before them.
        halves: 2 with guidance, otherwise 1.
        samples: samples of the batch.

    Raises:
        ValueError: if the samples are no multiple of the rows.
    """
    rows, odd = divmod(embeds.shape[0], halves)
    if rows == 0 or odd or samples % rows:
        raise ValueError(
            f"{embeds.shape[0]} rows of image embeddings for {samples} samples; give one row for "
            "all or one for each, and with guidance as many negative ones before them"
        )
    repeated = [half.repeat_interleave(samples // rows, dim=0) for half in embeds.chunk(halves)]
    return torch.cat(repeated)  # [halves·samples, …]


def shaped(*shape: int) -> Tensor:
    """Return a tensor of a shape that takes no memory."""
    return torch.empty(shape, device="meta")


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    before = diffusers_log.get_verbosity()
    diffusers_log.set_verbosity_error()
    try:
        yield
    finally:
        diffusers_log.set_verbosity(before)


def row_count(tensor: object) -> int:
    """Return the first length of what a file holds; 0 where it is no tensor."""
    return tensor.shape[0] if isinstance(tensor, Tensor) and tensor.ndim else 0
