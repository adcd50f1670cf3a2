"""Additions to a UNet for one call or one training: the AU branch, the LoRA fused or beside."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn

from pipelines.diffusion.unet import hooks_guarded, is_fused, plain_module
from pipelines.fineface.adapter import AUAdapter
from synthgen.errors import WeightsError


@contextlib.contextmanager
def unfused_lora(unet: nn.Module, adapter: AUAdapter, scale: float = 1.0) -> Iterator[None]:
    """Add scale·B·A·x to the output of each layer with LoRA, as long as it is entered.

    The UNet then computes what it does after `load_au_adapter` has fused the LoRA at that scale,
    and gradients reach the adapter.

    Args:
        unet: the UNet, not compiled.
        adapter: an adapter for it.
        scale: how often the LoRA counts.
    """
    with contextlib.ExitStack() as stack:
        for path in adapter.config["lora_layers"] or {}:
            down, up = (adapter.get_submodule(f"unet.{path}.lora_{part}") for part in "AB")
            layer = unet.get_submodule(path)
            add = partial(_add_lora, down, up, scale)
            stack.callback(layer.register_forward_hook(add).remove)
        yield


def _add_lora(
    down: nn.Module,
    up: nn.Module,
    scale: float,
    layer: nn.Module,
    args: tuple[Tensor, ...],
    output: Tensor,
) -> Tensor:
    added = up(down(args[0]))
    return output + (added if scale == 1 else scale * added)


# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.


_NAME = "fineface"


@torch.no_grad()
def fuse_lora(
    pipeline: DiffusionPipeline,
    unet: UNet2DConditionModel,
    lora: Mapping[str, Tensor],
    scale: int | float,
) -> None:
    """Add scale·B·A to the weights of each layer, and leave no LoRA layer behind.

    Args:
        pipeline: the pipeline of the UNet; its offloading is lifted meanwhile.
        unet: the UNet, not compiled.
        lora: `unet.<layer>.lora_A.weight` [rank, inputs] and `lora_B` [outputs, rank]; may be
            empty.
        scale: factor; the negative of what was fused takes it out again, to within the rounding of
            the weights' number format.

    Raises:
        WeightsError: if the UNet has other LoRA layers, which fusing would scale too, or if its
            projections are fused copies, which the LoRA would not reach.
    """
    if not lora or not scale:
        return
    if others := ", ".join(getattr(unet, "peft_config", {})):
        raise WeightsError(
            f"the UNet has other LoRA adapters ({others}); "
            "unload them, and load them again after the AU adapter"
        )
    if is_fused(unet):
        raise WeightsError(
            "the UNet's attention projections are fused; call unet.unfuse_qkv_projections() before "
            "the AU adapter is loaded or unloaded, and fuse them again after it"
        )
    unet.load_lora_adapter(dict(lora), prefix="unet", adapter_name=_NAME, _pipeline=pipeline)
    unet.fuse_lora(lora_scale=scale, adapter_names=[_NAME])
    unet.unload_lora()


@contextlib.contextmanager
def au_branch(unet: nn.Module, vectors: Mapping[str, Tensor]) -> Iterator[None]:
    """Add a constant to the input of `to_out` of cross-attention layers, as long as it is entered.

    The UNet's batch is that of `vectors`, or the last rows of it: the conditional half stands last,
    and a callback may end guidance on the way.

    Args:
        unet: the UNet, compiled or not.
        vectors: path of the layer → [batch, 1, inner width of the layer]; empty: nothing is added.
    """
    unet = plain_module(unet)
    with contextlib.ExitStack() as stack:
        for path, vector in vectors.items():
            layer = unet.get_submodule(f"{path}.to_out.0")
            stack.callback(layer.register_forward_pre_hook(_adding_vector(vector)).remove)
        stack.enter_context(hooks_guarded())
        yield


def switched(
    callback: Any, early: Mapping[str, Tensor], late: Mapping[str, Tensor], start: float
) -> tuple[dict[str, Tensor], Callable[..., Any]]:
    """Return vectors that change on the way, and the callback that changes them.

    The vectors are changed in place, since a compiled UNet knows the tensors.

    Args:
        callback: what is to be called after each step, too; None: nothing.
        early: path of the layer → vector of the first steps.
        late: the same paths → vector of the others.
        start: share of the steps that are the first ones (0, 1).
    """
    shown = {path: vector.clone() for path, vector in early.items()}

    def after_step(pipeline: Any, number: int, timestep: Any, tensors: dict[str, Any]) -> Any:
        if number + 1 == max(1, round(start * pipeline.num_timesteps)):
            for path, vector in shown.items():
                vector.copy_(late[path])
        return {} if callback is None else callback(pipeline, number, timestep, tensors)

    return shown, after_step


def _adding_vector(vector: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    def add(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        hidden, *rest = args  # [batch, positions, width]
        return (hidden + vector[-hidden.shape[0] :].to(hidden.dtype), *rest)

    return add
