"""The face adapter as it learns: modules of diffusers, which become a published file."""

from collections.abc import Iterator
from typing import Any

import torch
from diffusers.models.attention_processor import (
    IPAdapterAttnProcessor,
    IPAdapterAttnProcessor2_0,
)
from diffusers.models.embeddings import IPAdapterFaceIDImageProjection
from jaxtyping import Float
from torch import Tensor, nn

from pipelines.fineface.adapter import text_width
from pipelines.fineface.face_adapter import ATTENTION, PROJECTION, FaceAdapterFile
from samplers.identities.identity import FACEID_WIDTH

_INNER = 2
"""The published projection's inner layer, in widths of an embedding."""

_PROCESSORS = {"sdpa": IPAdapterAttnProcessor2_0, "explicit": IPAdapterAttnProcessor}
_PUBLISHED = {"ff.net.0.proj": "proj.0", "ff.net.2": "proj.2", "norm": "norm"}


class FaceAdapter(nn.Module):
    """Tokens of face embeddings, and K_img and V_img of each cross-attention layer.

    K_img and V_img begin as copies of the layer's text projections.

    Args:
        unet: the UNet that it is for.
        tokens: tokens of a face.
        attention: `sdpa` or `explicit`.
        seed: seed of the projection's weights.
    """

    def __init__(self, unet: nn.Module, tokens: int, attention: str, seed: int) -> None:
        super().__init__()
        width = text_width(unet)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.projection = IPAdapterFaceIDImageProjection(
                FACEID_WIDTH, width, mult=_INNER, num_tokens=tokens
            )
        self.layers = nn.ModuleList(
            _layer(unet.get_submodule(path), tokens, attention) for path in cross_layers(unet)
        )

    def forward(self, faces: Float[Tensor, "B 512"]) -> Float[Tensor, "B 1 tokens width"]:
        """Return the tokens of one face a person, as the processors take them."""
        return self.projection(faces).unsqueeze(1)

    def install(self, unet: Any) -> None:
        """Let a UNet's cross-attention compute with this adapter, for good.

        The UNet then takes (text, [tokens]) as its encoder's hidden states.
        """
        own = dict(zip(cross_layers(unet), self.layers, strict=True))
        kept = unet.attn_processors
        unet.set_attn_processor(
            {name: own.get(name.removesuffix(".processor"), kept[name]) for name in kept}
        )

    def to_file(self, dtype: torch.dtype, embedder: str) -> FaceAdapterFile:
        """Return what a published file holds.

        Args:
            dtype: number format.
            embedder: fingerprint of the recogniser.
        """
        projection = {
            f"{_PUBLISHED[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": value.to(dtype)
            for name, value in self.projection.state_dict().items()
        }
        attention = {
            f"{2 * number + 1}.to_{kind}_ip.weight": layer.get_parameter(
                f"to_{kind}_ip.0.weight"
            ).to(dtype)
            for number, layer in enumerate(self.layers)
            for kind in "kv"
        }
        return FaceAdapterFile({PROJECTION: projection, ATTENTION: attention}, embedder)


def cross_layers(unet: Any) -> list[str]:
    """Return the paths of a UNet's cross-attention layers, in the order of its processors."""
    return list(_paths(unet))


def _paths(unet: Any) -> Iterator[str]:
    for name in unet.attn_processors:
        if ".attn2." in name:
            yield name.removesuffix(".processor")


def _layer(attention: Any, tokens: int, kind: str) -> nn.Module:
    layer = _PROCESSORS[kind](attention.inner_dim, attention.cross_attention_dim, (tokens,))
    for name in ("k", "v"):
        own = layer.get_parameter(f"to_{name}_ip.0.weight")
        own.data.copy_(attention.get_parameter(f"to_{name}.weight"))
    return layer
