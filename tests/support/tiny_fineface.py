"""A tiny Stable Diffusion and FineFace files of the published layout, with random weights."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

TEXT_WIDTH = 32
HIDDEN_SIZE = 8
RANK = 3
SIZE = 32
PLACES = 256
"""Letters that the text encoder reads, its begin and end among them."""


def make_sd(
    folder: Path, seed: int = 0, size: int = SIZE, places: int = PLACES, levels: int = 2
) -> Path:
    """Save a tiny base that paints images of 32×32 or another size; text width 32.

    Each level of the VAE but the first halves the latents.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(places)
    pipeline = StableDiffusionPipeline(
        vae=_vae(seed, size, levels),
        text_encoder=_text_encoder(seed, len(tokenizer), places),
        tokenizer=tokenizer,
        unet=tiny_unet(seed, 2 * size // 2 ** (levels - 1)),
        scheduler=DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder / "sd")
    return folder / "sd"


def make_fineface(
    folder: Path, weight_prefix: str = "", lora: bool = True, seed: int = 100, strength: float = 0.5
) -> Path:
    """Write the two `.ckpt` files and the LoRA for the tiny base."""
    folder.mkdir(parents=True, exist_ok=True)
    unet, draw = tiny_unet(0), torch.Generator().manual_seed(seed)
    attention, lora_state = {}, {}
    for path, module in unet.named_modules():
        if path.endswith(".attn2"):
            for name in ("au_to_k", "au_to_v"):
                shape = module.to_v.weight.shape
                attention[f"{path}.processor.{name}.weight"] = _normal(draw, shape, strength)
        if path.endswith((".attn1", ".attn2")):
            for target in ("to_q", "to_k", "to_v", "to_out.0"):
                rows, columns = module.get_submodule(target).weight.shape
                key = f"unet.{path}.{target}"
                lora_state[f"{key}.lora_A.weight"] = _normal(draw, (RANK, columns), 0.3)
                lora_state[f"{key}.lora_B.weight"] = _normal(draw, (rows, RANK), 0.3)
    encoder = {
        "au_encoder.weight": _normal(draw, (HIDDEN_SIZE, 12), 0.3),
        "au_encoder.bias": _normal(draw, (HIDDEN_SIZE,), 0.3),
    }
    torch.save(attention, folder / f"{weight_prefix}attn_processors.ckpt")
    torch.save(encoder, folder / f"{weight_prefix}au_encoder.ckpt")
    if lora:
        save_file(lora_state, folder / f"{weight_prefix}pytorch_lora_weights.safetensors")
    return folder


def tiny_unet(seed: int, size: int = SIZE) -> UNet2DConditionModel:
    """Make a UNet of two levels, both with cross-attention."""
    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=size // 2,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=8,
        norm_num_groups=8,
    ).eval()


def _normal(draw: torch.Generator, shape: tuple[int, ...], scale: float) -> torch.Tensor:
    return scale * torch.randn(tuple(shape), generator=draw)


def _vae(seed: int, size: int, levels: int) -> AutoencoderKL:
    torch.manual_seed(seed + 1)
    return AutoencoderKL(
        block_out_channels=(8, *(16,) * (levels - 1)),
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        norm_num_groups=8,
        sample_size=size,
    ).eval()


def _text_encoder(seed: int, words: int, places: int) -> CLIPTextModel:
    torch.manual_seed(seed + 2)
    config = CLIPTextConfig(
        vocab_size=words,
        hidden_size=TEXT_WIDTH,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=places,
        bos_token_id=words - 2,
        eos_token_id=words - 1,
        pad_token_id=words - 1,
    )
    return CLIPTextModel(config).eval()


def _tokenizer(places: int) -> CLIPTokenizer:
    """Make a tokenizer of single letters."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789,.-"
    words = [*letters, *(f"{letter}</w>" for letter in letters)]
    vocabulary = {w: i for i, w in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=places)
