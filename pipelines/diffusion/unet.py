"""Parts of a UNet of Stable Diffusion, and hooks in it."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import nn

from synthgen.errors import WeightsError


def plain_module(module: nn.Module) -> nn.Module:
    """Return the module itself, without the wrapper that `torch.compile` may have put round it."""
    return getattr(module, "_orig_mod", module)


def text_width(unet: nn.Module) -> int:
    """Return the width of the text embeddings that a UNet attends to.

    Raises:
        WeightsError: if it has no cross-attention layer, or layers of several widths.
    """
    cross = [layer for path, layer in attentions(unet) if path.endswith(".attn2")]
    if not cross:
        raise WeightsError(f"{type(unet).__name__} has no cross-attention layer")
    widths = {layer.cross_attention_dim for layer in cross}
    if len(widths) > 1:
        raise WeightsError(f"the UNet's text widths differ: {sorted(widths)}; it must have one")
    return widths.pop()


def attentions(unet: nn.Module) -> Iterator[tuple[str, Attention]]:
    """Yield the self-attention (`attn1`) and cross-attention (`attn2`) layers, by their paths."""
    for path, module in unet.named_modules():
        if isinstance(module, Attention) and path.endswith((".attn1", ".attn2")):
            yield path, module


def self_attentions(unet: nn.Module) -> list[tuple[str, Any]]:
    """Return the self-attention layers, by their paths."""
    return [(path, layer) for path, layer in attentions(unet) if path.endswith(".attn1")]


def is_fused(unet: nn.Module) -> bool:
    """Return whether projections of attention are fused copies, which hooks and LoRA miss."""
    return any(getattr(module, "fused_projections", False) for module in unet.modules())


def check_unfused(unet: nn.Module, what: str) -> None:
    """Refuse a UNet whose projections of attention are fused copies, which hooks do not reach.

    Args:
        unet: the UNet.
        what: what a call is to have, for the error.

    Raises:
        WeightsError: if they are fused.
    """
    if is_fused(unet):
        raise WeightsError(
            "the UNet's attention projections are fused; call unet.unfuse_qkv_projections() before "
            f"a call with {what}"
        )


def hooks_guarded() -> contextlib.AbstractContextManager[None]:
    """Let graphs compiled meanwhile depend on which hooks there are.

    By default `torch.compile` takes hooks for fixed: a graph compiled without a branch would
    silently serve calls with it. Only graphs compiled while this is entered are safe; so a compiled
    UNet is to run first within the pipeline.
    """
    if "torch._dynamo" not in sys.modules:
        return contextlib.nullcontext()
    return sys.modules["torch._dynamo"].config.patch(skip_nnmodule_hook_guards=False)


def uncompiled() -> contextlib.AbstractContextManager[Any]:
    """Let a compiled UNet compute as it is written, and compile nothing, as long as it is entered.

    For hooks that hold other tensors in each call: a graph would be compiled for each of them.
    """
    if "torch._dynamo" not in sys.modules:
        return contextlib.nullcontext()
    return torch.compiler.set_stance("force_eager")
