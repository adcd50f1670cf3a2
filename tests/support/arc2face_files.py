"""Tiny checkpoints of the layouts in which Arc2Face and its adapters are published.

A base of Stable Diffusion whose text is 512 wide and whose tokenizer keeps "id" whole, the folders
`arc2face/` and `encoder/` (a pickle), `exp_adapter.bin`, the reference adapter's LoRA, and an
LCM-LoRA; random weights, images of 16×16.
"""

import shutil
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

TEXT_WIDTH = 512
FLAME_WIDTH = 55
RANK = 4
SIZE = 16
"""Height and width of an image [pixels]; its latents are half as large."""
PLACES = 24
"""Tokens that the text encoder reads, its begin and end among them."""
EXPRESSION_FILE = "exp_adapter.bin"
LORA_FILE = "pytorch_lora_weights.safetensors"


def make_arc2face_base(
    folder: Path, text_width: int = TEXT_WIDTH, whole_id: bool = True, *, size: int = SIZE,
    levels: int = 2, channels: int = 4,
) -> Path:  # fmt: skip
    """Save a base as diffusers does; its UNet and text encoder are not Arc2Face's.

    Args:
        folder: where `base/` goes.
        text_width: width of the text.
        whole_id: whether the tokenizer knows "id".
        size: height and width of its images.
        levels: levels of the VAE; each but the first halves the latents.
        channels: channels of latents.
    """
    return _save(folder / "base", 0, text_width, whole_id, size, levels, channels)


def make_arc2face(
    folder: Path, text_width: int = TEXT_WIDTH, seed: int = 10, *, side: int = SIZE // 2,
    channels: int = 4,
) -> Path:  # fmt: skip
    """Write `arc2face/` and `encoder/pytorch_model.bin`, as they are published.

    Args:
        folder: where `published/` goes.
        text_width: width of the text.
        seed: seed of the weights.
        side: side of a latent.
        channels: its channels.
    """
    published = folder / "published"
    unet = tiny_arc2face_unet(seed, text_width, side, channels)
    text = tiny_encoder(seed, text_width)
    unet.save_pretrained(published / "arc2face")
    text.config.save_pretrained(published / "encoder")
    state = {f"text_model.{name}": value for name, value in text.state_dict().items()}
    state["text_model.embeddings.position_ids"] = torch.arange(PLACES)[None]
    torch.save(state, published / "encoder" / "pytorch_model.bin")
    return published


def make_arc2face_whole(folder: Path, seed: int = 10) -> Path:
    """Save an ordinary folder of diffusers with the same UNet and text encoder."""
    return _save(folder / "whole", seed, TEXT_WIDTH, True)


def make_expression_adapter(
    folder: Path, text_width: int = TEXT_WIDTH, width: int = FLAME_WIDTH, kind: str = "two layers",
    strength: float = 0.5,
) -> Path:  # fmt: skip
    """Write `exp_adapter.bin`, an IP-Adapter file.

    Args:
        folder: where it goes.
        text_width: width of the text.
        width: numbers of an expression.
        kind: `two layers` make two tokens, as in IP-Adapters of the FaceID kind; `linear`: one
            makes four, as in the first IP-Adapter; `one token`: two make one, as in the full one.
        strength: size of K and V.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draw = torch.Generator().manual_seed(31)

    def normal(*shape: int, scale: float) -> Tensor:
        return scale * torch.randn(shape, generator=draw)

    def layer(name: str, rows: int, columns: int, scale: float) -> dict[str, Tensor]:
        weight = normal(rows, columns, scale=scale)
        return {f"{name}.weight": weight, f"{name}.bias": normal(rows, scale=0.3)}

    if kind == "linear":
        projection = layer("proj", 4 * text_width, width, 0.5)
    else:
        inner, tokens = (width, 1) if kind == "one token" else (2 * width, 2)
        projection = {
            **layer("proj.0", inner, width, 0.5),
            **layer("proj.2", tokens * text_width, inner, 0.3),
        }
    name = "proj.3" if kind == "one token" else "norm"
    norm = {
        f"{name}.weight": 1 + normal(text_width, scale=0.1),
        f"{name}.bias": normal(text_width, scale=0.1),
    }
    attention = {}
    unet = tiny_arc2face_unet(0, text_width)
    cross = [path.removesuffix(".processor") for path in unet.attn_processors if ".attn2." in path]
    for number, path in enumerate(cross):
        rows = unet.get_parameter(f"{path}.to_v.weight").shape[0]
        for kind in "kv":
            name = f"{2 * number + 1}.to_{kind}_ip.weight"
            attention[name] = normal(rows, text_width, scale=strength / text_width**0.5)
    state = {"image_proj": {**projection, **norm}, "ip_adapter": attention}
    torch.save(state, folder / EXPRESSION_FILE)
    return folder


def make_reference_adapter(folder: Path, seed: int = 41) -> Path:
    """Write the reference adapter's `pytorch_lora_weights.safetensors`, and return its folder."""
    return _save_lora(folder, seed, (".attn1", ".attn2"))


def make_lcm_lora(folder: Path, seed: int = 51) -> Path:
    """Write another LoRA for the UNet, as LCM-LoRA is; for `load_lora_weights`."""
    return _save_lora(folder, seed, (".attn1",))


def tiny_arc2face_unet(
    seed: int, text_width: int = TEXT_WIDTH, side: int = SIZE // 2, channels: int = 4
) -> UNet2DConditionModel:
    """Make a UNet of one level and four transformer blocks."""
    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(16,),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        cross_attention_dim=text_width,
        attention_head_dim=2,
        norm_num_groups=8,
    ).eval()


def tiny_encoder(seed: int, text_width: int = TEXT_WIDTH) -> CLIPTextModel:
    """Make a text encoder of one layer."""
    words = len(tiny_tokenizer())
    torch.manual_seed(seed + 2)
    config = CLIPTextConfig(
        vocab_size=words,
        hidden_size=text_width,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        max_position_embeddings=PLACES,
        bos_token_id=words - 2,
        eos_token_id=words - 1,
        pad_token_id=words - 1,
    )
    return CLIPTextModel(config).eval()


def tiny_tokenizer(whole_id: bool = True) -> CLIPTokenizer:
    """Make a tokenizer of single letters, and of "id" as a word."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    word = ["id</w>"] if whole_id else ["unused</w>"]
    words = [*letters, *(f"{letter}</w>" for letter in letters), *word]
    vocabulary = {w: i for i, w in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    merges = [("i", "d</w>")] if whole_id else []
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=PLACES)


def people(count: int, seed: int = 8) -> np.ndarray:
    """Return embeddings [count, 512] of any length."""
    return np.random.default_rng(seed).normal(size=(count, 512)).astype(np.float32)


def expressions(count: int, seed: int = 9) -> np.ndarray:
    """Return FLAME numbers [count, 55]: 50 of expression, 2 eyelids, 3 of the jaw."""
    draw = np.random.default_rng(seed)
    parts = [
        draw.normal(size=(count, 50)),
        draw.uniform(size=(count, 2)),
        draw.uniform(0, 0.2, size=(count, 3)),
    ]
    return np.concatenate(parts, axis=1).astype(np.float32)


def references(count: int, size: int = SIZE, seed: int = 7) -> Tensor:
    """Return reference images [count, 3, size, size] in [−1, 1]."""
    return 2 * torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) - 1


def first_noise(count: int, seed: int = 5) -> Tensor:
    """Return noise to start from, [count, 4, 8, 8]."""
    side = SIZE // 2
    return torch.randn(count, 4, side, side, generator=torch.Generator().manual_seed(seed))


def _save(
    folder: Path, seed: int, text_width: int, whole_id: bool, size: int = SIZE, levels: int = 2,
    channels: int = 4,
) -> Path:  # fmt: skip
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(1)
    vae = AutoencoderKL(
        block_out_channels=(8,) * levels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        norm_num_groups=8,
        latent_channels=channels,
        sample_size=size,
    ).eval()
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=tiny_encoder(seed, text_width),
        tokenizer=tiny_tokenizer(whole_id),
        unet=tiny_arc2face_unet(seed, text_width, size // 2 ** (levels - 1), channels),
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
    pipeline.save_pretrained(folder)
    return folder


def _save_lora(folder: Path, seed: int, layers: tuple[str, ...]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    draw = torch.Generator().manual_seed(seed)
    state = {}
    for path, module in tiny_arc2face_unet(0).named_modules():
        if not path.endswith(layers):
            continue
        for target in ("to_q", "to_k", "to_v", "to_out.0"):
            rows, columns = module.get_submodule(target).weight.shape
            for name, shape in (("lora_A", (RANK, columns)), ("lora_B", (rows, RANK))):
                scale = shape[1] ** -0.5
                value = scale * torch.randn(shape, generator=draw)
                state[f"unet.{path}.{target}.{name}.weight"] = value
    save_file(state, folder / LORA_FILE)
    return folder
