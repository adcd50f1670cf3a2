"""What a finished base training leaves: a Stable Diffusion folder, with a card beside the UNet."""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

import copy
import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import nn
from transformers import (
    CLIPImageProcessor,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionModelWithProjection,
)

from pipelines.training.diffusion.part_names import (
    ENCODER_WEIGHTS,
    IMAGE,
    MODEL_WEIGHTS,
    PROCESSOR,
    TEXT,
    TOKENIZER,
)
from pipelines.training.loop.card import write_card
from pipelines.weight_files import file_sha256

BASE = "base"
CARD = "card.json"
_FILES = {
    "vae": MODEL_WEIGHTS,
    "unet": MODEL_WEIGHTS,
    TEXT: ENCODER_WEIGHTS,
    IMAGE: ENCODER_WEIGHTS,
}


def export_base(
    unet: UNet2DConditionModel,
    scheduler: Any,
    vae_folder: Path,
    clip_folder: Path,
    folder: Path,
    about: dict[str, Any],
) -> Path:
    """Write a folder that `StableDiffusionPipeline.from_pretrained` reads, in half precision.

    Args:
        unet: the trained UNet.
        scheduler: noise schedule that it was trained with.
        vae_folder: folder of the VAE.
        clip_folder: folder with both CLIP encoders.
        folder: folder of the training; the base goes to `base` in it.
        about: what the card of the UNet says.

    Returns:
        The folder of the base.
    """
    make: Any = StableDiffusionPipeline
    half: Any = copy.deepcopy(unet)
    pipeline = make(
        vae=_loaded(AutoencoderKL, vae_folder),
        text_encoder=_loaded(CLIPTextModel, clip_folder / TEXT),
        tokenizer=CLIPTokenizer.from_pretrained(clip_folder / TOKENIZER),
        unet=half.to("cpu", torch.float16),
        scheduler=DDIMScheduler.from_config(
            scheduler.config, clip_sample=False, set_alpha_to_one=False, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=CLIPImageProcessor.from_pretrained(clip_folder / PROCESSOR),
        image_encoder=_loaded(CLIPVisionModelWithProjection, clip_folder / IMAGE),
        requires_safety_checker=False,
    )
    base = folder / BASE
    pipeline.save_pretrained(base)
    own = {
        "vae": vae_folder,
        TEXT: clip_folder / TEXT,
        IMAGE: clip_folder / IMAGE,
    }
    for part, source in own.items():
        _hand_on(source / CARD, base / part)
    write_card(base / "unet" / CARD, {**about, **_file(base / "unet", "unet")})
    return base


def _loaded(kind: Any, folder: Path) -> nn.Module:
    return kind.from_pretrained(folder, dtype=torch.float16)


def _hand_on(card: Path, folder: Path) -> None:
    """Copy a part's card; its file was written anew, so that the checksum is taken anew."""
    content = json.loads(card.read_text(encoding="utf-8"))
    text = json.dumps({**content, **_file(folder, folder.name)}, indent=1, ensure_ascii=False)
    (folder / CARD).write_text(text + "\n", encoding="utf-8")


def _file(folder: Path, part: str) -> dict[str, str]:
    return {"file": _FILES[part], "sha256": file_sha256(folder / _FILES[part])}
