"""Arc2Face's reference branch the way its published code computes it: the peer to beat.

A second UNet of the same weights sees the reference once a call, in both halves of guidance; every
transformer block of both UNets is rewritten, to keep features in one and to join them in the other.
The reference adapter's LoRA is peft's, beside the weights.
"""

from collections.abc import Mapping
from types import MethodType

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from jaxtyping import Float
from torch import Tensor


class PublishedReference:
    """Two UNets with rewritten blocks.

    Args:
        unet: the denoising UNet.
        second: another with the same weights.
        lora: `unet.<layer>.lora_A.weight` and `lora_B`.
        scale: scale of the LoRA.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        second: UNet2DConditionModel,
        lora: Mapping[str, Tensor],
        scale: float,
    ) -> None:
        self._unet, self._second = unet, second
        unet.load_lora_adapter(dict(lora), prefix="unet", adapter_name="ref")
        unet.set_adapters("ref", scale)
        for block in _blocks(second):
            block.forward = MethodType(_keep, block)
        for block in _blocks(unet):
            block.forward = MethodType(_join, block)

    def keep(
        self,
        latents: Float[Tensor, "batch channels height width"],
        people: Float[Tensor, "batch tokens text"],
    ) -> None:
        """Let the second UNet see the references, in both halves, and hand its features on."""
        self._second(torch.cat([latents] * 2), 0, torch.cat([people] * 2))
        for writer, reader in zip(_blocks(self._second), _blocks(self._unet), strict=True):
            reader.kept = writer.kept.clone()

    def step(
        self,
        latents: Float[Tensor, "rows channels height width"],
        text: Float[Tensor, "rows tokens text"],
    ) -> Float[Tensor, "rows channels height width"]:
        """Return the noise of one step, both halves of guidance."""
        return self._unet(latents, 500, text).sample


def _blocks(unet: UNet2DConditionModel) -> list[BasicTransformerBlock]:
    return [block for block in unet.modules() if isinstance(block, BasicTransformerBlock)]


def _keep(block, hidden_states: Tensor, encoder_hidden_states: Tensor, **_: object) -> Tensor:
    block.kept = block.norm1(hidden_states)
    return _rest(block, hidden_states, block.attn1(block.kept), encoder_hidden_states)


def _join(block, hidden_states: Tensor, encoder_hidden_states: Tensor, **_: object) -> Tensor:
    own = block.norm1(hidden_states)
    context = torch.cat([own, block.kept], dim=1)
    half = len(own) // 2
    attended = torch.cat(
        [
            block.attn1(own[:half]),
            block.attn1(own[half:], encoder_hidden_states=context[half:]),
        ]
    )
    return _rest(block, hidden_states, attended, encoder_hidden_states)


def _rest(block, hidden: Tensor, attended: Tensor, text: Tensor) -> Tensor:
    hidden = hidden + attended
    hidden = hidden + block.attn2(block.norm2(hidden), encoder_hidden_states=text)
    return hidden + block.ff(block.norm3(hidden))
