"""Shared self-attention: an image attends to what the neutral image of its identity shows.

At each denoising step the self-attention of an image is Attn(Q(X), K([X; N]), V([X; N])), joined
along the tokens, where N is what the same layer saw at the same step while the neutral image of the
identity was painted (StoryDiffusion, arXiv 2405.01434, and ConsiStory, arXiv 2402.03286, share
within a batch; here one image is shared, so that no image depends on its neighbours). Each half of
a guided batch attends to the same half of the neutral image's.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipelines.diffusion.section import SharedAttentionKeys
from pipelines.diffusion.unet import check_unfused, self_attentions, uncompiled

Seen = Mapping[str, Float[Tensor, "halves tokens width"]]
"""Path of a self-attention layer → its input in one pass of the UNet."""

CACHED_BYTES = 256 * 2**20
"""Memory that a worker keeps for identities beyond those of the batch that is painted [bytes]."""


@dataclass(frozen=True, slots=True)
class NeutralFeatures:
    """Inputs of self-attention while the neutral image of an identity was painted.

    Attributes:
        first: the first pass of the UNet that is shared.
        passes: what the layers saw in it and in those after it.
    """

    first: int
    passes: tuple[Seen, ...]

    @property
    def bytes(self) -> int:
        """The memory that it takes [bytes]."""
        return sum(seen.nbytes for each in self.passes for seen in each.values())

    def at(self, number: int) -> Seen | None:
        """Return what the layers saw in a pass of the UNet; None where it is not shared."""
        place = number - self.first
        return self.passes[place] if 0 <= place < len(self.passes) else None


def keep_features(
    pipeline: Any, keys: SharedAttentionKeys, paint: Callable[[], object]
) -> NeutralFeatures:
    """Return what self-attention sees while one image is painted.

    Args:
        pipeline: the pipeline, whose UNet may be compiled; it is computed as it is written.
        keys: the layers and the part of the steps that are shared.
        paint: calls the pipeline for one image.
    """
    passes: list[dict[str, Tensor]] = []
    first = 0

    def begin(_: nn.Module, __: tuple[Any, ...]) -> None:
        passes.append({})

    def keep(path: str, _: nn.Module, args: tuple[Any, ...]) -> None:
        nonlocal first
        first, stop = keys.passes(len(pipeline.scheduler.timesteps))
        if first <= len(passes) - 1 < stop:
            passes[-1][path] = args[0].clone()

    with contextlib.ExitStack() as stack:
        stack.callback(pipeline.unet.register_forward_pre_hook(begin).remove)
        for path, layer in _shared_layers(pipeline.unet, keys):
            stack.callback(layer.register_forward_pre_hook(partial(keep, path)).remove)
        stack.enter_context(uncompiled())
        paint()
    return NeutralFeatures(first, tuple(seen for seen in passes if seen))


@contextlib.contextmanager
def shared_attention(
    unet: Any, keys: SharedAttentionKeys, neutral: Sequence[NeutralFeatures]
) -> Iterator[None]:
    """Let the images of one call attend to neutral images, as long as it is entered.

    Args:
        unet: the UNet, not compiled or compiled in place; it is computed as it is written.
        keys: the layers, the part of the steps, and how strongly.
        neutral: for each image of the call what its identity's neutral image showed.

    Raises:
        WeightsError: if the UNet's projections are fused copies, which this would not reach.
    """
    check_unfused(unet, "shared attention")
    batch = _Batch(neutral)
    with contextlib.ExitStack() as stack:
        stack.callback(unet.register_forward_pre_hook(batch.begin).remove)
        for path, layer in _shared_layers(unet, keys):
            for projection in (layer.to_k, layer.to_v):
                hook = projection.register_forward_pre_hook(partial(batch.join, path))
                stack.callback(hook.remove)
            if keys.scale < 1:
                stack.callback(layer.set_processor, layer.processor)
                layer.set_processor(_Blended(layer.processor, batch, keys.scale))
        stack.enter_context(uncompiled())
        yield


class _Batch:
    """The images of one call, and the pass of the UNet that is computed."""

    def __init__(self, neutral: Sequence[NeutralFeatures]) -> None:
        self._neutral = neutral
        self._pass = -1
        self._rows: dict[str, Tensor] = {}
        self.apart = False

    def begin(self, _: nn.Module, __: tuple[Any, ...]) -> None:
        """Count a pass of the UNet."""
        self._pass += 1
        seen = [each.at(self._pass) for each in self._neutral]
        self._rows = {
            path: torch.cat(torch.stack([each[path] for each in seen if each]).unbind(1))
            for path in seen[0] or ()
        }  # [halves · images, tokens, width], as the UNet's batch

    @property
    def shares(self) -> bool:
        """True where something is shared in this pass."""
        return bool(self._rows)

    def join(self, path: str, _: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        """Join the tokens of neutral images to those that K (or V) is made of."""
        if self.apart or not self._rows:
            return None
        own, *rest = args
        return (torch.cat([own, self._rows[path]], dim=1), *rest)


class _Blended:
    """An attention processor that blends another's output without and with neutral images."""

    def __init__(self, inner: Callable[..., Tensor], batch: _Batch, scale: float) -> None:
        self._inner, self._batch, self._scale = inner, batch, scale

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        given = (attn, hidden_states, encoder_hidden_states, attention_mask, *args)
        joined = self._inner(*given, **kwargs)
        if not self._batch.shares:
            return joined
        self._batch.apart = True
        try:
            own = self._inner(*given, **kwargs)
        finally:
            self._batch.apart = False
        return torch.lerp(own, joined, self._scale)


class KeptIdentities:
    """The features of identities that were needed last, within a number of bytes.

    Those of one call are there together, however many bytes they are. What is kept decides how long
    painting takes, and nothing else.

    Args:
        limit: what is kept beyond a call [bytes].
    """

    def __init__(self, limit: int = CACHED_BYTES) -> None:
        self._limit = limit
        self._kept: OrderedDict[Hashable, NeutralFeatures] = OrderedDict()

    def of(
        self, wanted: Sequence[Hashable], make: Callable[[int], NeutralFeatures]
    ) -> list[NeutralFeatures]:
        """Return the features of the identities of a call.

        Args:
            wanted: what the features of each image are a function of.
            make: makes those of an image, by its place.
        """
        found: dict[Hashable, NeutralFeatures] = {}
        for place, key in enumerate(wanted):
            if key not in found:
                kept = self._kept.pop(key, None)
                found[key] = make(place) if kept is None else kept
        self._kept.update(found)
        total = sum(features.bytes for features in self._kept.values())
        while total > self._limit and self._kept:
            total -= self._kept.popitem(last=False)[1].bytes
        return [found[key] for key in wanted]


def _shared_layers(unet: nn.Module, keys: SharedAttentionKeys) -> list[tuple[str, Any]]:
    return [
        (path, layer)
        for path, layer in self_attentions(unet)
        if any(path.startswith(f"{block}_block") for block in keys.blocks)
    ]
