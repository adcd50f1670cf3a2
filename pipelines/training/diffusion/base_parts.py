"""The trained parts that a UNet is trained beside: VAE, text encoder, tokenizer."""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

import hashlib
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from transformers import CLIPTextModel, CLIPTokenizer

from pipelines.checkpoints import read_safetensors
from pipelines.fineface.models import check_text_parts, load_model, no_progress_bars
from pipelines.fineface.prompts import load_tokenizer
from pipelines.training.diffusion.part_names import (
    ENCODER_WEIGHTS,
    MODEL_WEIGHTS,
    TEXT,
    TOKENIZER,
)
from pipelines.weight_files import file_sha256, read_model_config
from synthgen.errors import WeightsError

_ENCODER = ("encoder.", "quant_conv.")


def load_vae(folder: Path, device: torch.device) -> AutoencoderKL:
    """Load a VAE, float32, that does not learn.

    Args:
        folder: its folder, as `synthgen train vae` and diffusers write it.
        device: torch device.

    Raises:
        WeightsError: if files are missing or do not fit.
    """
    _check_files(folder, ("config.json", MODEL_WEIGHTS), "vae", "the VAE")
    return _frozen(_loaded(AutoencoderKL, folder), device)


def load_text(folder: Path, device: torch.device) -> tuple[CLIPTextModel, CLIPTokenizer]:
    """Load a text encoder, float32, that does not learn, and its tokenizer.

    Args:
        folder: folder with `text_encoder` and `tokenizer`, as `synthgen train clip` writes it.
        device: torch device.

    Raises:
        WeightsError: if files are missing, or the two do not fit each other.
    """
    files = (
        f"{TEXT}/config.json",
        f"{TEXT}/{ENCODER_WEIGHTS}",
        f"{TOKENIZER}/tokenizer_config.json",
    )
    _check_files(folder, files, "clip", "the text encoder")
    text = _frozen(_loaded(CLIPTextModel, folder / TEXT), device)
    tokenizer = load_tokenizer(folder / TOKENIZER)
    check_text_parts(tokenizer, text, f"clip: {folder}")
    return text, tokenizer


def checksums(vae: Path, clip: Path) -> dict[str, str]:
    """Return the SHA-256 of what a UNet's weights are a function of."""
    return {
        "vae_encoder_sha256": encoder_sha256(vae),
        "text_sha256": file_sha256(clip / TEXT / ENCODER_WEIGHTS),
    }


def encoder_sha256(vae: Path) -> str:
    """Return the SHA-256 of what latents are a function of: a VAE's encoder and latent scale.

    The decoder does not count: it may be trained on while a UNet learns.

    Args:
        vae: folder of the VAE.
    """
    tensors, _ = read_safetensors(vae / MODEL_WEIGHTS)
    config = read_model_config(vae / "config.json")
    digest = hashlib.sha256(str(config.get("scaling_factor")).encode())
    for name in sorted(tensors):
        if name.startswith(_ENCODER):
            digest.update(name.encode())
            digest.update(tensors[name].contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _check_files(folder: Path, names: tuple[str, ...], key: str, what: str) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise WeightsError(
            f"{key}: {folder} is no folder of {what}; it lacks {', '.join(missing)}; "
            f"synthgen train {key} makes one"
        )


def _loaded(kind: Any, folder: Path) -> Any:
    with no_progress_bars():
        return load_model(kind, folder, torch.float32)


def _frozen(model: Any, device: torch.device) -> Any:
    return model.to(device).eval().requires_grad_(False)
