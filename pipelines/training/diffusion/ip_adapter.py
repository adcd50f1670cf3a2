"""An IP-Adapter that learns beside a frozen UNet: tokens of vectors, K_img and V_img of layers."""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.models.attention_processor import IPAdapterAttnProcessor, IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import IPAdapterFaceIDImageProjection
from jaxtyping import Float
from torch import Tensor, nn

from pipelines.diffusion.ip_adapter import ATTENTION, PROJECTION
from pipelines.diffusion.unet import text_width
from pipelines.training.initial import Start, start_from
from pipelines.training.learner import seeded

_PROCESSORS = {"sdpa": IPAdapterAttnProcessor2_0, "explicit": IPAdapterAttnProcessor}
_PUBLISHED = {"ff.net.0.proj": "proj.0", "ff.net.2": "proj.2", "norm": "norm"}


class VectorAdapter(nn.Module):
    """Tokens of vectors by two layers and a norm, and K_img and V_img of each cross-attention.

    K_img and V_img begin as copies of the layer's text projections.

    Args:
        unet: the UNet that it is for.
        width: numbers of a vector.
        inner: width of the inner layer, in widths of a vector.
        tokens: tokens of a vector.
        attention: `sdpa` or `explicit`.
        seed: seed of the projection's weights.
    """

    def __init__(
        self, unet: nn.Module, width: int, inner: int, tokens: int, attention: str, seed: int
    ) -> None:
        super().__init__()
        with seeded(seed):
            self.projection = IPAdapterFaceIDImageProjection(
                width, text_width(unet), mult=inner, num_tokens=tokens
            )
        self.layers = nn.ModuleList()
        for path in cross_layers(unet):
            text: Any = unet.get_submodule(path)
            layer = _PROCESSORS[attention](text.inner_dim, text.cross_attention_dim, (tokens,))
            for name in ("k", "v"):
                own = layer.get_parameter(f"to_{name}_ip.0.weight")
                own.data.copy_(text.get_parameter(f"to_{name}.weight"))
            self.layers.append(layer)

    def forward(self, vectors: Float[Tensor, "B numbers"]) -> Float[Tensor, "B 1 tokens width"]:
        """Return the tokens of one vector a sample, as the processors take them."""
        return self.projection(vectors).unsqueeze(1)

    def install(self, unet: Any) -> None:
        """Let a UNet's cross-attention compute with this adapter, for good.

        The UNet then takes (text, [tokens]) as its encoder's hidden states.
        """
        own = dict(zip(cross_layers(unet), self.layers, strict=True))
        kept = unet.attn_processors
        unet.set_attn_processor(
            {name: own.get(name.removesuffix(".processor"), kept[name]) for name in kept}
        )

    def tensors(self, dtype: torch.dtype) -> dict[str, dict[str, Tensor]]:
        """Return what a published file holds: `image_proj` and `ip_adapter` → name → tensor.

        Args:
            dtype: number format.
        """
        found: dict[str, dict[str, Tensor]] = {PROJECTION: {}, ATTENTION: {}}
        own = self.state_dict()
        for name, (part, published) in self._published().items():
            found[part][published] = own[name].to(dtype)
        return found

    def begin(self, tensors: Mapping[str, Mapping[str, Tensor]], file: Path) -> Start:
        """Begin from an adapter that is there.

        Args:
            tensors: what its file holds, whole, as `tensors` returns it.
            file: the file, for its checksum and in errors.

        Raises:
            WeightsError: as `start_from`; another number of tokens or text width does not fit.
        """
        there = {
            name: tensors[part][published] for name, (part, published) in self._published().items()
        }
        return start_from(self, there, file, least=1.0)

    def _published(self) -> dict[str, tuple[str, str]]:
        """Map own names to the part of a published file and the name there."""
        places: dict[str, tuple[str, str]] = {}
        for name in self.projection.state_dict():
            layer, _, kind = name.rpartition(".")
            places[f"projection.{name}"] = (PROJECTION, f"{_PUBLISHED[layer]}.{kind}")
        for number in range(len(self.layers)):
            for kind in "kv":
                own = f"layers.{number}.to_{kind}_ip.0.weight"
                places[own] = (ATTENTION, f"{2 * number + 1}.to_{kind}_ip.weight")
        return places


def cross_layers(unet: Any) -> list[str]:
    """Return the paths of a UNet's cross-attention layers, in the order of its processors."""
    return [name.removesuffix(".processor") for name in unet.attn_processors if ".attn2." in name]
