"""FineFace the way its published code computes it, written from the equations: the peer to beat.

float32, attention with full matrices, the AU token's keys and values and a
softmax over that one token in every cross-attention layer and step, the LoRA as two more matrix
products beside every linear layer of the attention.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from samplers.spec import Attempt

FINEFACE_FILES = ("attn_processors", "au_encoder", "pytorch_lora_weights")


class PublishedAttention:
    """Eq. 2 and 5 as an attention processor: Attn(Q, K_text, V_text) + Attn(Q, K_AU, V_AU).

    Args:
        path: the attention layer's path in the UNet.
        tensors: every tensor of FineFace by its published name.
        token: AU tokens [batch, 1, width], in cross-attention; None in self-attention.
    """

    def __init__(self, path: str, tensors: Mapping[str, Tensor], token: Tensor | None) -> None:
        self._path, self._tensors, self._token = path, tensors, token

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Float[Tensor, "batch positions width"],
        encoder_hidden_states: Float[Tensor, "batch tokens text"] | None = None,
        **_: object,
    ) -> Float[Tensor, "batch positions width"]:
        """Return what the layer adds to its input."""
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = self._project(attn.to_q, "to_q", hidden_states)
        key = self._project(attn.to_k, "to_k", context)
        value = self._project(attn.to_v, "to_v", context)
        out = _attend(query, key, value, attn.heads)
        if self._token is not None:
            key = nn.functional.linear(self._token, self._au_weight("au_to_k"))
            value = nn.functional.linear(self._token, self._au_weight("au_to_v"))
            out = out + _attend(query, key, value, attn.heads)
        return self._project(attn.to_out[0], "to_out.0", out)

    def _project(self, linear: nn.Module, name: str, inputs: Tensor) -> Tensor:
        down, up = lora_pair(self._tensors, f"{self._path}.{name}")
        return linear(inputs) + nn.functional.linear(nn.functional.linear(inputs, down), up)

    def _au_weight(self, name: str) -> Tensor:
        return self._tensors[f"{self._path}.processor.{name}.weight"]


class PublishedLoop:
    """Text to image in a plain loop over the denoising steps.

    Args:
        base: folder of a Stable Diffusion base.
        fineface: folder of FineFace's files as safetensors.
        steps: denoising steps, DDIM.
        guidance_scale: guidance of text and AUs.
        device: torch device.
    """

    def __init__(
        self, base: Path, fineface: Path, steps: int, guidance_scale: float, device: str
    ) -> None:
        self._parts = StableDiffusionPipeline.from_pretrained(
            base, safety_checker=None, dtype=torch.float32
        ).to(device)
        self._scheduler = DDIMScheduler.from_config(self._parts.scheduler.config, clip_sample=False)
        self._tensors = {k: v.to(device) for k, v in _read(fineface)}
        self._steps, self._guidance, self._device = steps, guidance_scale, device

    def generate(self, attempts: Sequence[Attempt]) -> list[Float[Tensor, "3 height width"]]:
        """Return one image for each attempt, made one after another, values in [0, 1]."""
        return [self.paint_together([attempt])[0] for attempt in attempts]

    @torch.no_grad()
    def paint_together(self, attempts: Sequence[Attempt]) -> Float[Tensor, "batch 3 height width"]:
        """Return one image for each attempt, made in one batch, values in [0, 1]."""
        unet, vae = self._parts.unet, self._parts.vae
        attend_as_published(unet, self._tensors, self._tokens(attempts))
        texts = [attempt.spec.negative_prompt for attempt in attempts]
        texts += [attempt.spec.prompt for attempt in attempts]
        context = self._encode(texts)  # [2·batch, tokens, width]
        latents = torch.cat([self._noise(attempt) for attempt in attempts])
        self._scheduler.set_timesteps(self._steps)
        for step in self._scheduler.timesteps:
            without, given = unet(torch.cat([latents] * 2), step, context).sample.chunk(2)
            noise = without + self._guidance * (given - without)
            latents = self._scheduler.step(noise, step, latents).prev_sample
        images = vae.decode(latents / vae.config.scaling_factor).sample
        return (images / 2 + 0.5).clamp(0, 1).cpu()

    def _tokens(self, attempts: Sequence[Attempt]) -> Float[Tensor, "two_batches 1 width"]:
        aus = torch.tensor([attempt.spec.aus for attempt in attempts], device=self._device)
        both = torch.cat([torch.zeros_like(aus), aus])
        return au_token(self._tensors, both, self._parts.unet.config.cross_attention_dim)

    def _encode(self, texts: Sequence[str]) -> Tensor:
        tokens = self._parts.tokenizer(
            list(texts), padding="max_length", truncation=True, return_tensors="pt"
        )
        return self._parts.text_encoder(tokens.input_ids.to(self._device))[0]

    def _noise(self, attempt: Attempt) -> Tensor:
        config = self._parts.unet.config
        side = config.sample_size
        generator = torch.Generator("cpu").manual_seed(attempt.seed)
        noise = torch.randn((config.in_channels, side, side), generator=generator)
        return noise[None].to(self._device)


def attend_as_published(
    unet: UNet2DConditionModel, tensors: Mapping[str, Tensor], token: Float[Tensor, "batch 1 width"]
) -> None:
    """Give each attention layer of a UNet its published form."""
    processors = {}
    for name in unet.attn_processors:
        path = name.removesuffix(".processor")
        crossing = path.endswith(".attn2")
        processors[name] = PublishedAttention(path, tensors, token if crossing else None)
    unet.set_attn_processor(processors)


def au_token(
    tensors: Mapping[str, Tensor], aus: Float[Tensor, "batch aus"], width: int
) -> Float[Tensor, "batch 1 width"]:
    """Return the AU token y = [x, Wx + b, 0…0]."""
    encoded = nn.functional.linear(aus, tensors["au_encoder.weight"], tensors["au_encoder.bias"])
    token = torch.cat([aus, encoded], dim=1)
    return nn.functional.pad(token, (0, width - token.shape[1]))[:, None]


def lora_pair(tensors: Mapping[str, Tensor], path: str) -> tuple[Tensor, Tensor]:
    """Return A [rank, inputs] and B [outputs, rank] of a layer's LoRA."""
    down, up = (tensors[f"unet.{path}.lora_{factor}.weight"] for factor in "AB")
    return down, up


def _attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Attend with the whole matrix of weights in memory: [batch·heads, positions, tokens]."""
    query, key, value = (_split(rows, heads) for rows in (query, key, value))
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    return (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)


def _split(rows: Tensor, heads: int) -> Tensor:
    return rows.unflatten(-1, (heads, -1)).transpose(1, 2)  # [batch, heads, positions, width]


def _read(fineface: Path) -> Iterator[tuple[str, Tensor]]:
    for name in FINEFACE_FILES:
        for key, tensor in load_file(fineface / f"{name}.safetensors").items():
            yield key, tensor.float()
