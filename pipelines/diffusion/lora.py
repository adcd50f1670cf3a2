"""Files of LoRAs, read with the alpha that they store.

peft writes its configuration into the file's metadata (`lora_adapter_metadata`), other programs a
number `<layer>.alpha` beside each layer. FineFace's published file stores none: its layers count
once.
"""

import contextlib
import json
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.utils.state_dict_utils import convert_unet_state_dict_to_peft
from torch import Tensor

from pipelines.checkpoints import read_safetensors
from synthgen.errors import WeightsError
from synthgen.foreign import excerpt, first_line

LARGEST_RANK = 2048
"""Rank of a LoRA at most: every layer takes memory in proportion."""

_METADATA_KEY = "lora_adapter_metadata"
_PREFIX = "unet."
_ALPHA, _DOWN, _UP = ".alpha", ".lora_A.weight", ".lora_B.weight"


def read_lora(path: Path) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Read a LoRA with its alpha taken into its `lora_B`.

    Args:
        path: a safetensors file of `unet.<layer>.lora_A.weight` and `lora_B`, or of the names that
            diffusers gives them (`lora.down`, `lora.up`).

    Returns:
        The tensors by peft's names, which count as they are, and layer → the factor that was taken
        in, of the layers where it is not 1.

    Raises:
        WeightsError: if the file cannot be read, or its alpha is no positive number or contradicts
            itself.
    """
    tensors, metadata = read_safetensors(path)
    tensors = convert_unet_state_dict_to_peft(tensors)
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


def alpha_metadata(rank: int, alpha: float, targets: Sequence[str]) -> dict[str, str]:
    """Return a LoRA file's metadata that tells its alpha, as diffusers' and peft's loaders read it.

    Args:
        rank: rank of all layers.
        alpha: the layers count alpha/rank times.
        targets: ends of the layers' paths.
    """
    from peft import LoraConfig

    config = LoraConfig(r=rank, target_modules=list(targets)).to_dict()
    told = {"lora_alpha": alpha, "target_modules": sorted(targets)}
    packed = {_PREFIX + key: value for key, value in {**config, **told}.items()}
    return {"format": "pt", _METADATA_KEY: json.dumps(packed, sort_keys=True, default=sorted)}


@contextlib.contextmanager
def several_loras() -> Iterator[None]:
    """Let peft not warn of several LoRAs in one model, as long as it is entered: they are meant."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Already found a `peft_config` attribute")
        yield


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
