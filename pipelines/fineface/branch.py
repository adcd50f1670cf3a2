"""What a call adds to the UNet, and takes away when it is over."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping

from torch import Tensor, nn


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
            stack.callback(layer.register_forward_pre_hook(_adding(vector)).remove)
        stack.enter_context(_hooks_guarded())
        yield


def plain_module(module: nn.Module) -> nn.Module:
    """Return the module itself, without the wrapper that `torch.compile` may have put round it."""
    return getattr(module, "_orig_mod", module)


def _adding(vector: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    def add(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        hidden, *rest = args  # [batch, positions, width]
        return (hidden + vector[-hidden.shape[0] :].to(hidden.dtype), *rest)

    return add


def _hooks_guarded() -> contextlib.AbstractContextManager[None]:
    """Let graphs compiled meanwhile depend on which hooks there are.

    By default `torch.compile` takes hooks for fixed: a graph compiled without the AU branch would
    silently serve calls with it. Only graphs compiled while this is entered are safe; so a compiled
    UNet is to run first within the pipeline.
    """
    if "torch._dynamo" not in sys.modules:
        return contextlib.nullcontext()
    return sys.modules["torch._dynamo"].config.patch(skip_nnmodule_hook_guards=False)
