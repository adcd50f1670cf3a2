"""Configurations of trainings that take a second: a few thousand parameters, a few steps."""

import json
from pathlib import Path
from typing import Any

import torch
import yaml

from pipelines.training.vae import VAEModel, make_vae

DRAWN = {"source": "procedural", "size": 64, "expressions": [{"share": 1, "rate": 0.3}]}
_COMMON = {
    "seed": 3,
    "cycles": [{"steps": 6, "learning_rate": 0.003}],
    "batch_size": 2,
    "threads": 1,
    "workers": 0,
    "device": "cpu",
    "checkpoint_every": 2,
    "log_every": 1,
    "sample_every": 3,
    "data": DRAWN,
}


def vae(**changes: Any) -> dict[str, Any]:
    """Configure a VAE of three levels."""
    model = {"block_out_channels": [4, 4, 8], "norm_num_groups": 2, "latent_channels": 4}
    return {**_COMMON, "model": model, "held_out": 8, **changes}


def clip(**changes: Any) -> dict[str, Any]:
    """Configure a CLIP pair of one layer."""
    size = {"hidden_size": 16, "layers": 1, "heads": 2}
    text = {**size, "vocabulary": 560, "captions": 40, "max_length": 16}
    vision = {**size, "image_size": 64, "patch_size": 16}
    return {
        **_COMMON, "text": text, "vision": vision, "projection": 8, "held_out": 8, **changes
    }  # fmt: skip


def unet(vae_folder: Path, clip_folder: Path, **changes: Any) -> dict[str, Any]:
    """Configure a UNet of two levels, in the latents of `vae`."""
    model = {
        "block_out_channels": [8, 16],
        "cross_attention": [True, False],
        "norm_num_groups": 4,
        "heads": 2,
    }
    parts = {"vae": str(vae_folder), "clip": str(clip_folder)}
    return {**_COMMON, **parts, "examples": 20, "model": model, **changes}


def write(path: Path, config: dict[str, Any]) -> Path:
    """Write a configuration file."""
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def history(folder: Path) -> list[dict[str, float]]:
    """Read the curve of a training."""
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def make_vae_folder(folder: Path, seed: int = 7) -> Path:
    """Save an untrained VAE of three levels."""
    torch.manual_seed(seed)
    make_vae(VAEModel.model_validate(vae()["model"]), 64).save_pretrained(folder)
    return folder
