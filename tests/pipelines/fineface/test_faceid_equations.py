"""The pipeline with faces against Eq. 5, written out as attention processors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from tiny_faceid import make_face_adapter, people
from tiny_fineface import make_fineface
from torch import Tensor
from torch.nn import functional

from pipelines.fineface import FineFaceIPAdapterPipeline
from synthgen.action_units import AUS

PROMPTS = ["a boy in a park", "an old woman"]
EXPRESSIONS = [{"AU1": 2.5, "AU6": 2.5, "AU12": 5}, {"AU4": 3, "AU15": -1, "AU26": 6}]


class Equation5:
    """Z = Attn(Q, K_text, V_text) + λ_img·Attn(Q, K_img, V_img) + λ_AU·Attn(Q, K_AU, V_AU)."""

    def __init__(self, branches: list[tuple[float, Tensor, Tensor, Tensor]]) -> None:
        self.branches = branches  # λ, tokens, K, V

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **_: object) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = attn.to_q(hidden_states)
        out = attend(query, attn.to_k(context), attn.to_v(context), attn.heads)
        for scale, tokens, key, value in self.branches:
            out = out + scale * attend(query, tokens @ key.T, tokens @ value.T, attn.heads)
        return attn.to_out[0](out)


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    weights = torch.softmax(query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5, dim=-1)
    return (weights @ value).transpose(1, 2).flatten(2)


def au_tokens(files: Path, guided: bool) -> Tensor:
    encoder = torch.load(files / "sd15_au_encoder.ckpt", weights_only=True)
    aus = torch.tensor([[e.get(name, 0.0) for name in AUS] for e in EXPRESSIONS])
    aus = torch.cat([torch.zeros_like(aus), aus]) if guided else aus
    encoded = aus @ encoder["au_encoder.weight"].T + encoder["au_encoder.bias"]
    token = torch.zeros(len(aus), 1, 32)
    token[:, 0, :12] = aus
    token[:, 0, 12 : 12 + encoded.shape[-1]] = encoded
    return token


def face_tokens(state: dict[str, Tensor], faces: np.ndarray, guided: bool) -> Tensor:
    rows = torch.from_numpy(faces)
    rows = torch.cat([torch.zeros_like(rows), rows]) if guided else rows
    inner = functional.gelu(rows @ state["proj.0.weight"].T + state["proj.0.bias"])
    tokens = (inner @ state["proj.2.weight"].T + state["proj.2.bias"]).unflatten(-1, (-1, 32))
    tokens = functional.layer_norm(tokens, (32,), state["norm.weight"], state["norm.bias"])
    return tokens.flatten(1, 2)  # [batch, faces·16, 32]


def reference(
    sd: Path, fineface: Path, adapter: Path, faces: np.ndarray, noise: Tensor,
    guidance: float, au_scale: float, ip_scale: float,
) -> Tensor:  # fmt: skip
    pipeline = equation_5(sd, fineface, adapter, faces, guidance > 1, au_scale, ip_scale)
    return pipeline(
        PROMPTS, latents=noise, guidance_scale=guidance, num_inference_steps=4, output_type="latent"
    ).images


def equation_5(
    sd: Path, fineface: Path, adapter: Path, faces: np.ndarray, guided: bool,
    au_scale: float, ip_scale: float,
) -> StableDiffusionPipeline:  # fmt: skip
    pipeline = StableDiffusionPipeline.from_pretrained(sd)
    pipeline.set_progress_bar_config(disable=True)
    au = torch.load(fineface / "sd15_attn_processors.ckpt", weights_only=True)
    file = torch.load(adapter, weights_only=True)
    shown = face_tokens(file["image_proj"], faces, guided)
    asked = au_tokens(fineface, guided)
    processors, number = {}, 1
    for name in pipeline.unet.attn_processors:
        branches = []
        if ".attn2." in name:
            keys = [file["ip_adapter"][f"{number}.to_{kind}_ip.weight"] for kind in "kv"]
            own = [au[f"{name}.au_to_{kind}.weight"] for kind in "kv"]
            branches = [(ip_scale, shown, *keys), (au_scale, asked, *own)]
            number += 2
        processors[name] = Equation5(branches)
    pipeline.unet.set_attn_processor(processors)
    return pipeline


@torch.no_grad()
def text_guided(pipeline: StableDiffusionPipeline, noise: Tensor, guidance: float) -> Tensor:
    """ε = ε(∅, a, f) + w·(ε(t, a, f) − ε(∅, a, f)), a pass of the UNet for each ε."""
    text, empty = pipeline.encode_prompt(PROMPTS, pipeline.device, 1, True)
    pipeline.scheduler.set_timesteps(4)
    latents = noise * pipeline.scheduler.init_noise_sigma
    for step in pipeline.scheduler.timesteps:
        without, given = (pipeline.unet(latents, step, words).sample for words in (empty, text))
        predicted = without + guidance * (given - without)
        latents = pipeline.scheduler.step(predicted, step, latents).prev_sample
    return latents


@pytest.mark.parametrize(
    ("faces", "guidance", "au_scale", "ip_scale"),
    [(2, 7.5, 1.0, 1.0), (2, 3.0, 0.4, 0.7), (1, 1.0, 1.0, 0.5), (3, 0.0, 2.0, 1.3)],
)
def test_latents_are_those_of_the_equation(
    sd_folder: Path,
    tmp_path: Path,
    noise: Tensor,
    faces: int,
    guidance: float,
    au_scale: float,
    ip_scale: float,
) -> None:
    fineface = make_fineface(tmp_path, weight_prefix="sd15_", lora=False)
    adapter = make_face_adapter(tmp_path)
    shown = people(2, faces)
    expected = reference(
        sd_folder, fineface, adapter, shown, noise[:2], guidance, au_scale, ip_scale
    )
    pipe = with_faces(sd_folder, fineface, adapter)

    found = pipe(
        PROMPTS,
        EXPRESSIONS,
        shown,
        au_scale=au_scale,
        ip_scale=ip_scale,
        latents=noise[:2],
        guidance_scale=guidance,
        num_inference_steps=4,
        output_type="latent",
    ).images

    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize(
    ("faces", "guidance", "au_scale", "ip_scale"), [(2, 3.0, 1.0, 1.0), (1, 7.5, 0.4, 0.7)]
)
def test_text_guidance_shows_both_halves_the_same_aus_and_faces(
    sd_folder: Path,
    tmp_path: Path,
    noise: Tensor,
    faces: int,
    guidance: float,
    au_scale: float,
    ip_scale: float,
) -> None:
    fineface = make_fineface(tmp_path, weight_prefix="sd15_", lora=False)
    adapter = make_face_adapter(tmp_path)
    shown = people(2, faces)
    written = equation_5(sd_folder, fineface, adapter, shown, False, au_scale, ip_scale)
    expected = text_guided(written, noise[:2], guidance)

    found = with_faces(sd_folder, fineface, adapter)(
        PROMPTS,
        EXPRESSIONS,
        shown,
        au_scale=au_scale,
        ip_scale=ip_scale,
        latents=noise[:2],
        text_guidance_scale=guidance,
        num_inference_steps=4,
        output_type="latent",
    ).images

    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def with_faces(sd: Path, fineface: Path, adapter: Path) -> FineFaceIPAdapterPipeline:
    pipe = FineFaceIPAdapterPipeline.from_pretrained(sd)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_au_adapter(fineface, weight_prefix="sd15_")
    pipe.load_ip_adapter(
        str(adapter.parent), subfolder="", weight_name=adapter.name, image_encoder_folder=None
    )
    return pipe
