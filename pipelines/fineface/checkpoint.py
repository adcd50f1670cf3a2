"""The files in which FineFace is published, read strictly and written."""

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
from pipelines.diffusion.lora import LARGEST_RANK, alpha_metadata, describe_alpha, read_lora
from pipelines.diffusion.unet import text_width
from pipelines.fineface.adapter import LORA_TARGETS, AUAdapter, recognise
from pipelines.fineface.weights import (
    ATTENTION_FILE,
    ENCODER_FILE,
    LORA_FILE,
    PICKLE_SUFFIX,
    encoded_aus,
)
from pipelines.weight_files import ACTION_UNITS_KEY
from synthgen.action_units import DEFAULT_AUS
from synthgen.errors import WeightsError


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
    aus = encoded_aus(folder, weight_prefix).names
    kind, hidden_size = recognise(encoder, text_width(unet), aus)
    adapter = AUAdapter.for_unet(unet, hidden_size, rank, lora_scale, kind, aus)
    tensors = {
        **check_tensors(attention, adapter.attention_state(), str(attention_path)),
        **check_tensors(encoder, adapter.encoder_state(), str(encoder_path)),
        **check_tensors(lora, adapter.lora_state(), str(lora_path)),
    }
    adapter.load_state_dict(tensors)
    return adapter.eval()


def write_au_adapter(
    adapter: AUAdapter,
    folder: Path,
    weight_prefix: str,
    suffix: str = PICKLE_SUFFIX,
    lora_alpha: float | None = None,
) -> None:
    """Write an adapter as published: two files, and the LoRA's where there is one.

    The published files name no AUs: an encoder of others than their 12 writes its own beside its
    weights, as `encoded_aus` reads them.

    Args:
        adapter: the adapter; it is written in its own number format.
        folder: where the files go.
        weight_prefix: start of the file names.
        suffix: `.ckpt`, as published, or `.safetensors`, the same tensors with no pickle.
        lora_alpha: alpha that the LoRA's file tells, so that loaders let it count alpha/rank times;
            None: it tells none and counts once, as published.

    Raises:
        WeightsError: if it encodes other AUs than the published 12, and the suffix is `.ckpt`.
    """
    others = {} if adapter.aus == DEFAULT_AUS else {ACTION_UNITS_KEY: ",".join(adapter.aus.names)}
    safe = suffix == SAFETENSORS_SUFFIX
    if others and not safe:
        raise WeightsError(
            f"an adapter of {len(adapter.aus)} AUs is written as {SAFETENSORS_SUFFIX} alone: a "
            f"{PICKLE_SUFFIX} file cannot say which they are"
        )
    folder.mkdir(parents=True, exist_ok=True)
    states = {ATTENTION_FILE: adapter.attention_state(), ENCODER_FILE: adapter.encoder_state()}
    for name, state in states.items():
        path = (folder / (weight_prefix + name)).with_suffix(suffix)
        about = others if name == ENCODER_FILE else {}
        if safe:
            save_file(_portable(state), path, about or None)
        else:
            torch.save(_portable(state), path)
    if lora := adapter.lora_state():
        rank = adapter.config["lora_rank"]
        told = None if lora_alpha is None else alpha_metadata(rank, lora_alpha, LORA_TARGETS)
        save_file(_portable(lora), folder / (weight_prefix + LORA_FILE), told)


def _read(folder: Path, name: str) -> tuple[Any, Path]:
    twin = (folder / name).with_suffix(SAFETENSORS_SUFFIX)
    if twin.is_file():
        return read_safetensors(twin)[0], twin
    return read_pickled_tensors(folder / name), folder / name


def _lora_rank(lora: Mapping[str, Tensor], path: Path) -> int:
    """Return the rank of the first LoRA layer, or 1; the check then holds all layers to it."""
    matrices = (v for name, v in lora.items() if name.endswith("lora_A.weight") and v.ndim == 2)
    rank = next((matrix.shape[0] for matrix in matrices), 1)
    if not 1 <= rank <= LARGEST_RANK:
        raise WeightsError(f"{path} has a LoRA of rank {rank}; it must be 1 to {LARGEST_RANK}")
    return rank


def _portable(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in state.items()}
