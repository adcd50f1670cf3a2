"""The pipeline against the equations, written out one sample and one half of guidance at a time."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from arc2face_files import (
    expressions,
    first_noise,
    make_expression_adapter,
    people,
    references,
    tiny_arc2face_unet,
    tiny_encoder,
    tiny_tokenizer,
)
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

STEPS = 3
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
Tokens = Callable[[int], tuple[Tensor, Tensor]]


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    weights = torch.softmax(query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5, dim=-1)
    return (weights @ value).transpose(1, 2).flatten(2)


class SelfAttention:
    """Attn(Q, [K; K of what is kept], [V; V of what is kept]); keeps its own input, too."""

    def __init__(self, joined: Tensor | None = None) -> None:
        self.joined = joined
        self.seen: Tensor | None = None

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **_: object) -> Tensor:
        self.seen = hidden_states
        context = hidden_states
        if self.joined is not None:
            context = torch.cat([hidden_states, self.joined], dim=1)
        query, key, value = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        return attn.to_out[0](attend(query, key, value, attn.heads))


class CrossAttention:
    """Attn(Q, K_text, V_text) + λ·Attn(Q, K_expression, V_expression)."""

    def __init__(self, scale: float = 0.0, tokens: Tensor | None = None, keys=()) -> None:
        self.scale, self.tokens, self.keys = scale, tokens, keys

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **_: object) -> Tensor:
        text = encoder_hidden_states
        query = attn.to_q(hidden_states)
        out = attend(query, attn.to_k(text), attn.to_v(text), attn.heads)
        if self.tokens is not None:
            key, value = (self.tokens @ weight.T for weight in self.keys)
            out = out + self.scale * attend(query, key, value, attn.heads)
        return attn.to_out[0](out)


def expression_tokens(state: dict[str, Tensor], numbers: Tensor) -> Tensor:
    inner = numbers
    if "proj.weight" in state:
        tokens = inner @ state["proj.weight"].T + state["proj.bias"]
    else:
        inner = functional.gelu(inner @ state["proj.0.weight"].T + state["proj.0.bias"])
        tokens = inner @ state["proj.2.weight"].T + state["proj.2.bias"]
    tokens = tokens.unflatten(-1, (-1, 512))
    name = "proj.3" if "proj.3.weight" in state else "norm"
    return functional.layer_norm(tokens, (512,), state[f"{name}.weight"], state[f"{name}.bias"])


def text_of(person: np.ndarray | None) -> Tensor:
    encoder, tokenizer = tiny_encoder(10), tiny_tokenizer()
    prompt = "" if person is None else "photo of a id person"
    if person is not None:
        token = torch.from_numpy(person / np.linalg.norm(person))
        encoder.get_input_embeddings().weight.data[tokenizer.get_vocab()["id</w>"]] = token
    return encoder(tokenizer(prompt, padding="max_length", return_tensors="pt").input_ids)[0]


def kept_features(files, image: Tensor, text: Tensor) -> list[Tensor]:
    """Return the input of each self-attention of a second UNet, which sees the image's latents."""
    vae = AutoencoderKL.from_pretrained(files.base / "vae")
    mean = vae.quant_conv(vae.encoder(image[None])).chunk(2, dim=1)[0]
    second = tiny_arc2face_unet(10)
    second.set_attn_processor(
        {p: SelfAttention() if "attn1" in p else CrossAttention() for p in second.attn_processors}
    )
    second(mean * vae.config.scaling_factor, 0, encoder_hidden_states=text)
    return [p.seen for name, p in second.attn_processors.items() if "attn1" in name]


def merged_unet(files, lora_scale: float) -> UNet2DConditionModel:
    """Return a UNet with W + s·B·A in the place of each W of the reference adapter's LoRA."""
    unet = tiny_arc2face_unet(10)
    lora = load_file(files.reference / "pytorch_lora_weights.safetensors")
    for name, down in lora.items():
        if name.endswith("lora_A.weight"):
            path = name.removeprefix("unet.").removesuffix(".lora_A.weight")
            up = lora[name.replace("lora_A", "lora_B")]
            unet.get_submodule(path).weight.data += lora_scale * up @ down
    return unet


@torch.no_grad()
def evaluate(
    files, person, noise, guidance, numbers=None, scale=1.0, reference=None, lora_scale=0.8
) -> Tensor:
    """Return the latents of one sample by the equations."""
    text = text_of(person)
    kept = [] if reference is None else kept_features(files, reference, text)
    unet = merged_unet(files, 0 if reference is None else lora_scale)
    file = torch.load(files.expression / "exp_adapter.bin", weights_only=True)
    zeros = torch.zeros(1, 55)
    shown = zeros if numbers is None else torch.from_numpy(numbers)[None]

    def noise_of(latents: Tensor, step: Tensor, conditional: bool) -> Tensor:
        vector = shown if conditional else zeros
        tokens = None if numbers is None else expression_tokens(file["image_proj"], vector)
        joined, cross = iter(kept), iter(range(1, 99, 2))
        processors = {}
        for path in unet.attn_processors:
            if "attn1" in path:
                processors[path] = SelfAttention(next(joined, None) if conditional else None)
            else:
                number = next(cross)
                keys = [file["ip_adapter"][f"{number}.to_{kind}_ip.weight"] for kind in "kv"]
                processors[path] = CrossAttention(scale, tokens, keys)
        unet.set_attn_processor(processors)
        context = text if conditional else text_of(None)
        return unet(latents, step, encoder_hidden_states=context).sample

    scheduler = DPMSolverMultistepScheduler(**BETAS, steps_offset=1, timestep_spacing="leading")
    scheduler.set_timesteps(STEPS)
    latents = noise
    for step in scheduler.timesteps:
        guess = noise_of(latents, step, True)
        if guidance > 1:
            without = noise_of(latents, step, False)
            guess = without + guidance * (guess - without)
        latents = scheduler.step(guess, step, latents).prev_sample
    return latents[0]


def assert_close(found: Tensor, expected: list[Tensor]) -> None:
    wanted = torch.stack(expected)
    assert (found - wanted).abs().max() <= 1e-4 * max(1.0, wanted.abs().max())


@pytest.mark.parametrize("guidance", [3.0, 1.0])
@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0])
def test_latents_with_expressions_are_those_of_the_equation(files, pipe, scale, guidance):
    pipe.load_expression_adapter(files.expression)
    noise, shown = first_noise(2), expressions(2)

    found = pipe(
        people(2),
        shown,
        expression_scale=scale,
        latents=noise,
        guidance_scale=guidance,
        num_inference_steps=STEPS,
        output_type="latent",
    ).images

    expected = [
        evaluate(files, person, noise[i : i + 1], guidance, shown[i], scale)
        for i, person in enumerate(people(2))
    ]
    assert_close(found, expected)


@pytest.mark.parametrize("kind", ["linear", "one token"])
def test_adapters_of_other_kinds_are_those_of_the_equation(files, pipe, tmp_path, kind):
    made = replace(files, expression=make_expression_adapter(tmp_path, kind=kind))
    pipe.load_expression_adapter(tmp_path)
    shown = expressions(1)

    found = pipe(
        people(1),
        shown,
        latents=first_noise(1),
        num_inference_steps=STEPS,
        output_type="latent",
    ).images

    assert_close(found, [evaluate(made, people(1)[0], first_noise(1), 3.0, shown[0])])


@pytest.mark.parametrize("guidance", [3.0, 1.0])
@pytest.mark.parametrize("lora_scale", [0.0, 0.8])
def test_latents_with_references_are_those_of_the_equation(files, pipe, lora_scale, guidance):
    pipe.load_reference_adapter(files.reference)
    noise, pictures = first_noise(2), references(2)

    found = pipe(
        people(2),
        reference_image=pictures,
        reference_scale=lora_scale,
        latents=noise,
        guidance_scale=guidance,
        num_inference_steps=STEPS,
        output_type="latent",
    ).images

    expected = [
        evaluate(
            files,
            person,
            noise[i : i + 1],
            guidance,
            reference=pictures[i],
            lora_scale=lora_scale,
        )
        for i, person in enumerate(people(2))
    ]
    assert_close(found, expected)


@pytest.mark.parametrize("guidance", [3.0, 1.0])
def test_a_batch_of_all_kinds_of_samples_is_that_of_the_equation(files, pipe, guidance):
    pipe.load_expression_adapter(files.expression)
    pipe.load_reference_adapter(files.reference)
    noise, shown = first_noise(4), expressions(4)
    pictures = [references(2)[0], None, references(2)[1], None]

    found = pipe(
        people(4),
        shown,
        expression_scale=0.5,
        reference_image=pictures,
        latents=noise,
        guidance_scale=guidance,
        num_inference_steps=STEPS,
        output_type="latent",
    ).images

    expected = [
        evaluate(files, person, noise[i : i + 1], guidance, shown[i], 0.5, pictures[i])
        for i, person in enumerate(people(4))
    ]
    assert_close(found, expected)
