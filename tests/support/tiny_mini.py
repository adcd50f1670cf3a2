"""The layout of the embedded weights, filled with the tiny Stable Diffusion and its FineFace."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tiny_fineface import make_fineface, make_sd


def make_mini(folder: Path, scheduler: dict[str, object] | None = None) -> Path:
    """Write `base/` and `fineface/` into a folder, as `pipelines/mini` has them: fp16 safetensors.

    Args:
        folder: where to write.
        scheduler: keys that replace those of the base's scheduler.
    """
    make_sd(folder).rename(folder / "base")
    for name in ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model"):
        file = folder / "base" / f"{name}.safetensors"
        halves = {key: value.half() for key, value in load_file(file).items()}
        save_file(halves, file, metadata={"format": "pt"})
    file = folder / "base" / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **(scheduler or {})}))
    published = make_fineface(folder / "fineface")
    for pickled in published.glob("*.ckpt"):
        tensors = torch.load(pickled, weights_only=True)
        halves = {key: value.half() for key, value in tensors.items()}
        save_file(halves, pickled.with_suffix(".safetensors"))
        pickled.unlink()
    return folder
