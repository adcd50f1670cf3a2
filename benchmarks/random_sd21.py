"""A Stable Diffusion 2.1 base and its FineFace files with random weights, saved as folders."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from random_fineface import fill, letter_tokenizer, save_base, save_fineface, sd21_unet
from transformers import CLIPTextConfig, CLIPTextModel

TOKENS = 77
WORDS = 49_408
TEXT_WIDTH = 1024


def save_sd21(
    folder: Path, device: str = "cpu", part: int = 1, side: int = 64
) -> tuple[Path, Path]:
    """Save a base of SD 2.1's size in float16 (2.6 GB), and FineFace files for it (0.2 GB).

    Args:
        folder: where the folders `base` and `fineface` are made.
        device: torch device on which the weights are made.
        part: narrower, and the text encoder shorter, by this factor.
        side: height and width of the latents; images have eight times as many pixels.

    Returns:
        Both folders.
    """
    torch.manual_seed(0)
    unet, vae, text_encoder = sd21_unet(device, part, side), _vae(part), _text_encoder(part)
    for model in (vae, text_encoder):
        fill(model)
    save_fineface(unet, folder / "fineface")
    models = (model.half() for model in (unet, vae, text_encoder))
    save_base(folder / "base", *models, letter_tokenizer(TOKENS))
    return folder / "base", folder / "fineface"


def _vae(part: int) -> AutoencoderKL:
    """Make a VAE of Stable Diffusion's shape, 84 million parameters."""
    return AutoencoderKL(
        block_out_channels=tuple(width // part for width in (128, 256, 512, 512)),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        norm_num_groups=32 // part,
        sample_size=512,
    )


def _text_encoder(part: int) -> CLIPTextModel:
    """Make a text encoder of SD 2.1's shape, 340 million parameters."""
    words = WORDS // part
    config = CLIPTextConfig(
        vocab_size=words,
        hidden_size=TEXT_WIDTH,
        intermediate_size=4096 // part,
        num_hidden_layers=23 // part,
        num_attention_heads=16,
        max_position_embeddings=TOKENS,
        hidden_act="gelu",
        bos_token_id=words - 2,
        eos_token_id=words - 1,
        pad_token_id=words - 1,
    )
    return CLIPTextModel(config)
