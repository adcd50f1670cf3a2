"""The expression adapter: an IP-Adapter that turns 55 FLAME numbers into tokens.

Its file (`exp_adapter.bin`, arXiv 2510.04706) has the layout of IP-Adapters: `image_proj` makes the
tokens, in one of three published kinds, and `ip_adapter` holds K and V of each cross-attention
layer. Four tokens come of one linear layer (`proj`), any number of two and a norm (`proj.0`,
`proj.2`, `norm`), and one of two whose norm is `proj.3`.
The conditional half of a batch sees a sample's numbers, the unconditional half zeros.
"""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusers.models.embeddings import (
    ImageProjection,
    IPAdapterFaceIDImageProjection,
    IPAdapterFullImageProjection,
)
from torch import Tensor, nn

from pipelines.checkpoints import check_tensors
from pipelines.diffusion.ip_adapter import (
    ATTENTION,
    PROJECTION,
    attention_rows,
    projections,
    read_parts,
    row_count,
    shaped,
)
from pipelines.diffusion.unet import text_width
from samplers.flame.expression import FLAME_WIDTH
from synthgen.errors import WeightsError

_LINEAR_TOKENS = 4
"""Tokens that one linear layer makes: diffusers reads no other number of them."""


def read_expression_adapter(path: Path, unet: nn.Module) -> dict[str, dict[str, Tensor]]:
    """Read a file for a UNet; nothing in it is ever run.

    Args:
        path: `.bin` or `.safetensors` file.
        unet: the UNet that the adapter is for.

    Returns:
        `image_proj` and `ip_adapter` → name → tensor, as `load_ip_adapter` takes it.

    Raises:
        WeightsError: if the file is missing or holds code, if it takes other vectors than 55
            numbers, or lacks tensors, holds others or some of another shape than the UNet asks for.
    """
    found, _ = read_parts(path)
    width = text_width(unet)
    wanted = {
        PROJECTION: _projection_shapes(found[PROJECTION], width, path),
        ATTENTION: {name: shaped(rows, width) for name, rows in attention_rows(unet).items()},
    }
    return {part: check_tensors(found[part], wanted[part], f"{path} ({part})") for part in wanted}


def takes_expressions(unet: nn.Module) -> bool:
    """Return whether a UNet has an expression adapter.

    Args:
        unet: the UNet, not compiled.

    Raises:
        WeightsError: if it has several IP-Adapters, or one of another kind.
    """
    if not (layers := projections(unet)):
        return False
    widths = [_input_width(layer) for layer in layers]
    if widths != [FLAME_WIDTH]:
        kinds = ", ".join(
            type(layer).__name__ + (f" of {width} numbers" if width else "")
            for layer, width in zip(layers, widths, strict=True)
        )
        raise WeightsError(
            f"the UNet has the IP-Adapters {kinds}; Arc2Face takes one of {FLAME_WIDTH} numbers: "
            "call unload_ip_adapter, then load_expression_adapter"
        )
    return True


def _input_width(layer: nn.Module) -> int:
    """Return how many numbers a projection takes; 0 where it takes something else."""
    if isinstance(layer, ImageProjection):
        return layer.image_embeds.in_features
    if isinstance(layer, IPAdapterFaceIDImageProjection | IPAdapterFullImageProjection):
        first: Any = layer.ff.net[0]
        return first.proj.in_features
    return 0


def _projection_shapes(found: Mapping[str, Any], width: int, path: Path) -> dict[str, Tensor]:
    """Return the shapes that the projection must have; inner width and tokens are its own."""
    linear = "proj.weight" in found
    first = found.get("proj.weight" if linear else "proj.0.weight")
    taken = first.shape[1] if isinstance(first, Tensor) and first.ndim == 2 else None
    if taken != FLAME_WIDTH:
        kind = "is an IP-Adapter of another kind" if taken is None else f"takes {taken} numbers"
        raise WeightsError(
            f"{path} is no expression adapter: it {kind}, and an expression of FLAME has "
            f"{FLAME_WIDTH} (published as exp_adapter.bin)"
        )
    single = not linear and "proj.3.weight" in found  # one token, its inner layer as wide as itself
    name = "proj.3" if single else "norm"
    norm = {f"{name}.weight": shaped(width), f"{name}.bias": shaped(width)}
    if linear:
        rows = _LINEAR_TOKENS * width
        return {"proj.weight": shaped(rows, FLAME_WIDTH), "proj.bias": shaped(rows), **norm}
    inner, rows = row_count(first), row_count(found.get("proj.2.weight"))
    if single:
        inner, rows = FLAME_WIDTH, width
    if inner % FLAME_WIDTH or not rows or rows % width:
        raise WeightsError(
            f"{path} is no expression adapter for this base: its projection has {inner} inner and "
            f"{rows} outer numbers; they must be multiples of {FLAME_WIDTH} and of the text width "
            f"{width}"
        )
    return {
        "proj.0.weight": shaped(inner, FLAME_WIDTH),
        "proj.0.bias": shaped(inner),
        "proj.2.weight": shaped(rows, inner),
        "proj.2.bias": shaped(rows),
        **norm,
    }
