"""Stable Diffusion and FineFace with random weights: a speed depends on sizes alone."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from pipelines.fineface.adapter import AUAdapter

HIDDEN_SIZE = 64
RANK = 32


def save_mini(folder: Path, part: int = 1) -> tuple[Path, Path]:
    """Save a base and FineFace files of the mini layout: 128×128 images, 16×16 latents.

    Args:
        folder: where the folders `base` and `fineface` are made.
        part: narrower by this factor.

    Returns:
        Both folders.
    """
    torch.manual_seed(0)
    tokenizer, unet = letter_tokenizer(64), _mini_unet(part)
    save_base(folder / "base", unet, _mini_vae(part), _text_encoder(len(tokenizer)), tokenizer)
    save_fineface(unet, folder / "fineface")
    return folder / "base", folder / "fineface"


def save_base(
    folder: Path,
    unet: UNet2DConditionModel,
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
) -> None:
    """Save models as a Stable Diffusion base with its noise schedule."""
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)


def save_fineface(unet: UNet2DConditionModel, folder: Path) -> None:
    """Write FineFace files for a UNet, as safetensors."""
    folder.mkdir(parents=True)
    adapter = AUAdapter.for_unet(unet, HIDDEN_SIZE, RANK)
    save_file(adapter.attention_state(), folder / "attn_processors.safetensors")
    save_file(adapter.encoder_state(), folder / "au_encoder.safetensors")
    save_file(adapter.lora_state(), folder / "pytorch_lora_weights.safetensors")


def sd21_unet(device: str, part: int = 1, side: int = 64) -> UNet2DConditionModel:
    """Make a UNet of SD 2.1's shape, 865 million parameters.

    Args:
        device: torch device.
        part: narrower by this factor.
        side: height and width of the latents that it is meant for.
    """
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=side,
            block_out_channels=tuple(width // part for width in (320, 640, 1280, 1280)),
            attention_head_dim=[5, 10, 20, 20],
            norm_num_groups=32 // part,
            cross_attention_dim=1024,
            use_linear_projection=True,
        )
    unet.to_empty(device=device)
    fill(unet)
    return unet.eval().requires_grad_(False)


def letter_tokenizer(length: int) -> CLIPTokenizer:
    """Make a tokenizer of single letters for texts of a length [tokens]."""
    letters = "abcdefghijklmnopqrstuvwxyz,"
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=length)


@torch.no_grad()
def fill(model: nn.Module) -> None:
    """Fill a model with one block of noise, again and again: quicker than to draw each weight.

    The noise is scaled by each layer's inputs; what has one dimension is 1 in norms, else 0.
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2**20 + 7, generator=generator)
    for name, weight in model.named_parameters():
        if weight.ndim == 1:
            weight.fill_(float("norm" in name and name.endswith("weight")))
        else:
            _repeat(noise.to(weight.device), weight, scale=0.5 / weight[0].numel() ** 0.5)


def _repeat(noise: Tensor, weight: Tensor, scale: float) -> None:
    flat = weight.view(-1)
    for start in range(0, flat.numel(), noise.numel()):
        piece = flat[start : start + noise.numel()]
        torch.mul(noise[: piece.numel()], scale, out=piece)


def _mini_unet(part: int) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(96 // part, 128 // part, 128 // part),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=128,
        attention_head_dim=2,
        norm_num_groups=32 // part,
    )


def _mini_vae(part: int) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=tuple(width // part for width in (16, 32, 64, 128)),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=16 // part,
        sample_size=128,
    )


def _text_encoder(words: int) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=words,
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=64,
        bos_token_id=words - 2,
        eos_token_id=words - 1,
        pad_token_id=words - 1,
    )
    return CLIPTextModel(config)
