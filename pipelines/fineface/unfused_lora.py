"""The adapter's LoRA beside a UNet's own weights, so that it can learn."""

import contextlib
from collections.abc import Callable, Iterator

from torch import Tensor, nn

from pipelines.fineface.adapter import AUAdapter


@contextlib.contextmanager
def unfused_lora(unet: nn.Module, adapter: AUAdapter) -> Iterator[None]:
    """Add B·A·x to the output of each layer with LoRA, as long as it is entered.

    The UNet then computes what it does after `load_au_adapter` has fused the LoRA at scale 1, and
    gradients reach the adapter.

    Args:
        unet: the UNet, not compiled.
        adapter: an adapter for it.
    """
    with contextlib.ExitStack() as stack:
        for path in adapter.config["lora_layers"] or {}:
            down, up = (adapter.get_submodule(f"unet.{path}.lora_{part}") for part in "AB")
            layer = unet.get_submodule(path)
            stack.callback(layer.register_forward_hook(_adding(down, up)).remove)
        yield


def _adding(
    down: nn.Module, up: nn.Module
) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    def add(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + up(down(args[0]))

    return add
