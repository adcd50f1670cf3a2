"""The files in which FineFace is published, read strictly and written.

peft writes its configuration into the file's metadata (`lora_adapter_metadata`), other programs a
number `<layer>.alpha` beside each layer. FineFace's published file stores none: its layers count
once.
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pipelines.checkpoints import (
    SAFETENSORS_SUFFIX,
    check_tensors,
    read_pickled_tensors,
    read_safetensors,
)
from pipelines.fineface.adapter import AUAdapter, recognise
from pipelines.fineface.models import text_width
from pipelines.fineface.weights import ATTENTION_FILE, ENCODER_FILE, LORA_FILE, PICKLE_SUFFIX
from synthgen.errors import WeightsError
from synthgen.foreign import excerpt, first_line

_METADATA_KEY = "lora_adapter_metadata"
_PREFIX = "unet."
_ALPHA, _DOWN, _UP = ".alpha", ".lora_A.weight", ".lora_B.weight"


def read_lora(path: Path) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Read a LoRA with its alpha taken into its `lora_B`.

    Args:
        path: a safetensors file of `unet.<layer>.lora_A.weight` and `lora_B`.

    Returns:
        The tensors, which count as they are, and layer → the factor that was taken in, of the
        layers where it is not 1.

    Raises:
        WeightsError: if the file cannot be read, or its alpha is no positive number or contradicts
            itself.
    """
    tensors, metadata = read_safetensors(path)
    beside = {
        name.removesuffix(_ALPHA): _single(tensors.pop(name), f"{path}: {excerpt(name, 100)}")
        for name in sorted(tensors)
        if name.endswith(_ALPHA)
    }
    told = _peft_config(metadata, path)
    if beside and told:
        raise WeightsError(
            f"{path} stores alpha twice, in its metadata and as tensors; keep one of the two"
        )
    factors = {}
    for name, down in tensors.items():
        if not name.endswith(_DOWN) or down.ndim != 2:
            continue
        layer, rank = name.removesuffix(_DOWN), down.shape[0]
        factor = beside[layer] / rank if layer in beside else _factor(told, layer, rank, path)
        if factor != 1 and layer + _UP in tensors:
            factors[layer] = factor
            up = tensors[layer + _UP]
            if up.is_floating_point():  # another format is refused where shapes are checked
                tensors[layer + _UP] = (up.float() * factor).to(torch.float32)
    return tensors, factors


def describe_alpha(factors: Mapping[str, float]) -> str:
    """Say at which factors layers count, for a run's record."""
    low, high = min(factors.values()), max(factors.values())
    span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return f"{len(factors)} layers count alpha/rank = {span} times, as their file says"


def _peft_config(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    if _METADATA_KEY not in metadata:
        return {}
    try:
        found = json.loads(metadata[_METADATA_KEY])
    except (ValueError, RecursionError) as error:
        raise WeightsError(
            f"{path}: its {_METADATA_KEY} is no JSON: {first_line(error, 100)}"
        ) from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path}: its {_METADATA_KEY} holds no JSON object")
    config = {key.removeprefix(_PREFIX): value for key, value in found.items()}
    if config.get("use_dora"):
        raise WeightsError(f"{path} is a DoRA (use_dora in its metadata); only LoRAs are read")
    return config


def _factor(config: Mapping[str, Any], layer: str, rank: int, path: Path) -> float:
    """Return alpha/rank of a layer, or alpha/√rank for rsLoRA; 1 where nothing is stored."""
    if "lora_alpha" not in config and not config.get("alpha_pattern"):
        return 1.0
    patterns = config.get("alpha_pattern") or {}
    if not isinstance(patterns, dict):
        raise WeightsError(f"{path}: alpha_pattern in its metadata must map layers to numbers")
    own = [value for pattern, value in patterns.items() if _matches(pattern, layer, path)]
    alpha = own[0] if own else config.get("lora_alpha", rank)
    if type(alpha) not in (int, float) or not 0 < alpha < math.inf:
        raise WeightsError(
            f"{path}: its metadata gives {excerpt(layer, 100)} the alpha {excerpt(alpha, 30)}; it "
            "must be a number above 0"
        )
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _matches(pattern: str, layer: str, path: Path) -> bool:
    """Tell whether a pattern names a layer: peft takes it as an expression for the path's end."""
    try:
        named = re.match(rf"(.*\.)?({pattern})$", layer.removeprefix(_PREFIX))
    except re.error as error:
        raise WeightsError(
            f"{path}: alpha_pattern {excerpt(pattern, 60)!r} in its metadata is no expression"
        ) from error
    return named is not None


def _single(value: Tensor, what: str) -> float:
    if value.numel() != 1 or value.is_complex() or not 0 < float(value) < math.inf:
        raise WeightsError(f"{what} must be one number above 0")
    return float(value)


_LARGEST_RANK = 2048
"""Rank of a LoRA at most: every layer takes memory in proportion."""


def stored_alpha(folder: Path, weight_prefix: str, lora_scale: int | float) -> dict[str, str]:
    """Return what the LoRA's file says of its alpha, for a run's record; nothing where it is 1.

    Args:
        folder: holds the files.
        weight_prefix: start of the file names.
        lora_scale: scale at which the LoRA is fused; at 0 its file is not read.
    """
    path = folder / (weight_prefix + LORA_FILE)
    factors = read_lora(path)[1] if lora_scale and path.is_file() else {}
    return {f"fineface/{path.name} (alpha)": describe_alpha(factors)} if factors else {}


def read_au_adapter(
    folder: Path, unet: nn.Module, weight_prefix: str, lora_scale: int | float
) -> AUAdapter:
    """Read published files into an adapter that fits a UNet.

    A LoRA counts alpha/rank times where its file stores an alpha; the factor is taken into its
    tensors.

    Args:
        folder: holds the files; each `.ckpt` may be a `.safetensors` file of the same names.
        unet: the UNet that the adapter is for.
        weight_prefix: start of the file names.
        lora_scale: scale at which the LoRA is to be fused; at 0 its file is not read.

    Returns:
        The adapter, float32, on the CPU.

    Raises:
        WeightsError: if a file is missing, holds code, or lacks tensors, holds others or some of
            another shape than the UNet asks for.
    """
    attention, attention_path = _read(folder, weight_prefix + ATTENTION_FILE)
    encoder, encoder_path = _read(folder, weight_prefix + ENCODER_FILE)
    lora_path = folder / (weight_prefix + LORA_FILE)
    wants_lora = bool(lora_scale) and (not weight_prefix or lora_path.is_file())
    lora = read_lora(lora_path)[0] if wants_lora else {}
    rank = _lora_rank(lora, lora_path) if wants_lora else 0
    kind, hidden_size = recognise(encoder, text_width(unet))
    adapter = AUAdapter.for_unet(unet, hidden_size, rank, lora_scale, kind)
    tensors = {
        **check_tensors(attention, adapter.attention_state(), str(attention_path)),
        **check_tensors(encoder, adapter.encoder_state(), str(encoder_path)),
        **check_tensors(lora, adapter.lora_state(), str(lora_path)),
    }
    adapter.load_state_dict(tensors)
    return adapter.eval()


def write_au_adapter(
    adapter: AUAdapter, folder: Path, weight_prefix: str, suffix: str = PICKLE_SUFFIX
) -> None:
    """Write an adapter as published: two files, and the LoRA's where there is one.

    Args:
        adapter: the adapter; it is written in its own number format.
        folder: where the files go.
        weight_prefix: start of the file names.
        suffix: `.ckpt`, as published, or `.safetensors`, the same tensors with no pickle.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save = save_file if suffix == SAFETENSORS_SUFFIX else torch.save
    states = {ATTENTION_FILE: adapter.attention_state(), ENCODER_FILE: adapter.encoder_state()}
    for name, state in states.items():
        save(_portable(state), (folder / (weight_prefix + name)).with_suffix(suffix))
    if lora := adapter.lora_state():
        save_file(_portable(lora), folder / (weight_prefix + LORA_FILE))


def _read(folder: Path, name: str) -> tuple[Any, Path]:
    twin = (folder / name).with_suffix(SAFETENSORS_SUFFIX)
    if twin.is_file():
        return read_safetensors(twin)[0], twin
    return read_pickled_tensors(folder / name), folder / name


def _lora_rank(lora: Mapping[str, Tensor], path: Path) -> int:
    """Return the rank of the first LoRA layer, or 1; the check then holds all layers to it."""
    matrices = (v for name, v in lora.items() if name.endswith("lora_A.weight") and v.ndim == 2)
    rank = next((matrix.shape[0] for matrix in matrices), 1)
    if not 1 <= rank <= _LARGEST_RANK:
        raise WeightsError(f"{path} has a LoRA of rank {rank}; it must be 1 to {_LARGEST_RANK}")
    return rank


def _portable(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in state.items()}
