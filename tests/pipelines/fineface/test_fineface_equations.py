"""The pipeline against FineFace's equations, written out as attention processors."""

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file
from torch import Tensor, nn

from pipelines.fineface import FineFacePipeline
from synthgen.action_units import AUS

PROMPTS = ["a boy in a park", "an old woman"]
EXPRESSIONS = [{"AU1": 2.5, "AU6": 2.5, "AU12": 5}, {"AU4": 3, "AU15": -1, "AU26": 6}]


class ReferenceAttention:
    """Eq. 2 and 5: Z = Attn(Q, K_text, V_text) + λ·Attn(Q, K_AU, V_AU), softmax written out."""

    def __init__(self, path: str, files: Path, tokens: Tensor | None, scale: float) -> None:
        weights = torch.load(files / "attn_processors.ckpt", weights_only=True)
        self.lora = load_file(files / "pytorch_lora_weights.safetensors")
        self.path, self.tokens, self.scale = path, tokens, scale
        self.key = weights.get(f"{path}.processor.au_to_k.weight")
        self.value = weights.get(f"{path}.processor.au_to_v.weight")

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **_: object) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = self.project(attn.to_q, "to_q", hidden_states)
        key, value = (
            self.project(attn.to_k, "to_k", context),
            self.project(attn.to_v, "to_v", context),
        )
        out = attend(query, key, value, attn.heads)
        if self.tokens is not None:
            key, value = self.tokens @ self.key.T, self.tokens @ self.value.T
            out = out + self.scale * attend(query, key, value, attn.heads)
        return self.project(attn.to_out[0], "to_out.0", out)

    def project(self, linear: nn.Linear, name: str, x: Tensor) -> Tensor:
        down, up = (self.lora[f"unet.{self.path}.{name}.lora_{m}.weight"] for m in "AB")
        return nn.functional.linear(x, linear.weight + up @ down, linear.bias)


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    weights = torch.softmax(query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5, dim=-1)
    return (weights @ value).transpose(1, 2).flatten(2)


def reference_tokens(files: Path, guided: bool, width: int = 32) -> Tensor:
    encoder = torch.load(files / "au_encoder.ckpt", weights_only=True)
    aus = torch.tensor([[e.get(name, 0.0) for name in AUS] for e in EXPRESSIONS])
    aus = torch.cat([torch.zeros_like(aus), aus]) if guided else aus
    encoded = aus @ encoder["au_encoder.weight"].T + encoder["au_encoder.bias"]
    token = torch.zeros(len(aus), 1, width)
    token[:, 0, :12] = aus
    token[:, 0, 12 : 12 + encoded.shape[-1]] = encoded
    return token


def reference_latents(
    sd: Path, files: Path, noise: Tensor, guidance: float, scale: float
) -> Tensor:
    pipeline = StableDiffusionPipeline.from_pretrained(sd)
    tokens = reference_tokens(files, guided=guidance > 1)
    processors = {}
    for name in pipeline.unet.attn_processors:
        path = name.removesuffix(".processor")
        au_tokens = tokens if path.endswith("attn2") else None
        processors[name] = ReferenceAttention(path, files, au_tokens, scale)
    pipeline.unet.set_attn_processor(processors)
    return pipeline(
        PROMPTS,
        latents=noise,
        guidance_scale=guidance,
        num_inference_steps=5,
        output_type="latent",
    ).images


@pytest.mark.parametrize(("guidance", "scale"), [(7.5, 1.0), (3.0, 0.4), (1.0, 1.0), (0.0, 2.0)])
def test_pipeline_equals_the_equations(
    pipe: FineFacePipeline,
    sd_folder: Path,
    fineface_folder: Path,
    noise: Tensor,
    guidance: float,
    scale: float,
) -> None:
    noise = noise[:2]
    expected = reference_latents(sd_folder, fineface_folder, noise, guidance, scale)

    found = pipe(
        PROMPTS,
        EXPRESSIONS,
        au_scale=scale,
        latents=noise,
        guidance_scale=guidance,
        num_inference_steps=5,
        output_type="latent",
    ).images

    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize(("guidance", "scale"), [(2.0, 1.0), (7.5, 0.4)])
def test_text_guidance_equals_its_equation_in_two_passes(
    pipe: FineFacePipeline,
    sd_folder: Path,
    fineface_folder: Path,
    noise: Tensor,
    guidance: float,
    scale: float,
) -> None:
    expected = text_guided_latents(sd_folder, fineface_folder, noise[:2], guidance, scale)

    found = pipe(
        PROMPTS,
        EXPRESSIONS,
        au_scale=scale,
        latents=noise[:2],
        text_guidance_scale=guidance,
        num_inference_steps=5,
        output_type="latent",
    ).images

    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@torch.no_grad()
def text_guided_latents(
    sd: Path, files: Path, noise: Tensor, guidance: float, scale: float
) -> Tensor:
    """ε = ε(∅, a) + w·(ε(t, a) − ε(∅, a)), a pass of the UNet for each ε."""
    base = StableDiffusionPipeline.from_pretrained(sd)
    tokens = reference_tokens(files, guided=False)
    processors = {}
    for name in base.unet.attn_processors:
        path = name.removesuffix(".processor")
        au_tokens = tokens if path.endswith("attn2") else None
        processors[name] = ReferenceAttention(path, files, au_tokens, scale)
    base.unet.set_attn_processor(processors)
    text, empty = base.encode_prompt(PROMPTS, base.device, 1, True)
    base.scheduler.set_timesteps(5)
    latents = noise * base.scheduler.init_noise_sigma
    for step in base.scheduler.timesteps:
        without, given = (base.unet(latents, step, words).sample for words in (empty, text))
        predicted = without + guidance * (given - without)
        latents = base.scheduler.step(predicted, step, latents).prev_sample
    return latents
