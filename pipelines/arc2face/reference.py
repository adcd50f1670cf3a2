"""The reference branch: images keep the appearance and the background of a picture.

The UNet sees the latents of the picture (the mode of the VAE's posterior) at timestep 0 with the
person's text; X', the input of each self-attention, is kept. While it denoises, the self-attention
of the conditional half is Attn(Q(X), K([X; X']), V([X; X'])), joined along the tokens; the LoRA of
the reference adapter acts on both halves (arXiv 2510.04706). The published code keeps X' by a
second UNet of the same weights; the same UNet without its LoRAs gives the same to the bit. K and V
of X' are the same in each step and are computed once a call.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import save_file
from torch import Tensor, nn

from pipelines.checkpoints import check_tensors
from pipelines.diffusion.ip_adapter import adapter_scale, shaped
from pipelines.diffusion.lora import LARGEST_RANK, read_lora
from pipelines.diffusion.unet import check_unfused, self_attentions, uncompiled
from synthgen.errors import WeightsError

_PREFIX = "unet."
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"

Kept = Mapping[str, Float[Tensor, "references _ _"]]
"""Path of a self-attention layer → X' of each reference [references, tokens, width]."""

Rows = slice | Tensor
Strength = float | Tensor | None


class ReferenceAdapter:
    """The LoRA of a reference adapter, beside the UNet: it acts in calls with a reference alone.

    Attributes:
        layers: path of a linear layer → A [rank, inputs] and B [outputs, rank].
    """

    def __init__(self, layers: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        self.layers = dict(layers)

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Bring the tensors where the UNet computes, and into its number format."""
        self.layers = {
            path: (down.to(device, dtype), up.to(device, dtype))
            for path, (down, up) in self.layers.items()
        }


def read_reference_adapter(path: Path, unet: nn.Module) -> ReferenceAdapter:
    """Read a LoRA for a UNet, with the alpha that its file stores taken into B.

    Args:
        path: safetensors file of `unet.<layer>.lora_A.weight` and `lora_B`.
        unet: the UNet that the adapter is for.

    Raises:
        WeightsError: if the file cannot be read, if A or B of a layer is missing, the UNet has no
            such linear layer, or a shape does not fit.
    """
    found, _ = read_lora(path)
    names = [name.removesuffix(end) for name in found for end in (_DOWN, _UP) if name.endswith(end)]
    wanted: dict[str, Tensor] = {}
    for name in dict.fromkeys(names):
        layer = _linear(unet, name.removeprefix(_PREFIX)) if name.startswith(_PREFIX) else None
        if layer is None:
            continue  # so that the check names it as unexpected
        rank = _rank(found, name, path)
        wanted[name + _DOWN] = shaped(rank, layer.in_features)
        wanted[name + _UP] = shaped(layer.out_features, rank)
    tensors = check_tensors(found, wanted, str(path))
    if not tensors:
        raise WeightsError(f"{path} holds no LoRA; it must hold unet.<layer>{_DOWN} and {_UP}")
    return ReferenceAdapter(
        {
            name.removeprefix(_PREFIX): (tensors[name + _DOWN], tensors[name + _UP])
            for name in dict.fromkeys(names)
        }
    )


def write_reference_adapter(path: Path, adapter: ReferenceAdapter, dtype: torch.dtype) -> None:
    """Write the file of a LoRA, as it is published.

    Args:
        path: the file.
        adapter: its layers.
        dtype: number format.
    """
    tensors = {
        f"{_PREFIX}{name}{end}": value.detach().to("cpu", dtype).contiguous()
        for name, pair in adapter.layers.items()
        for end, value in zip((_DOWN, _UP), pair, strict=True)
    }
    save_file(tensors, path, metadata={"format": "pt"})


def _linear(unet: nn.Module, path: str) -> nn.Linear | None:
    """Return a linear layer, also where a LoRA of others has been put round it."""
    try:
        layer = unet.get_submodule(path)
    except AttributeError:
        return None
    layer = getattr(layer, "base_layer", layer)
    return layer if isinstance(layer, nn.Linear) else None


def _rank(found: Mapping[str, Any], name: str, path: Path) -> int:
    down = found.get(name + _DOWN)
    rank = down.shape[0] if isinstance(down, Tensor) and down.ndim == 2 else 1
    if not 1 <= rank <= LARGEST_RANK:
        raise WeightsError(f"{path} has a LoRA of rank {rank}; it must be 1 to {LARGEST_RANK}")
    return rank


@torch.no_grad()
def keep_features(
    unet: Any,
    latents: Float[Tensor, "references channels height width"],
    people: Float[Tensor, "references words text_width"],
    image_embeds: list[Tensor] | None,
) -> Kept:
    """Return what the self-attention layers see of references, at timestep 0 and without LoRAs.

    Args:
        unet: the UNet, not compiled. LoRAs beside its weights are off meanwhile; those that were
            fused into them are part of it.
        latents: latents of the references, without noise.
        people: the person of each, as `encode_identity` returns it.
        image_embeds: one tensor that an IP-Adapter asks for; it does not act. None: there is none.
    """
    kept: dict[str, Tensor] = {}

    def keep(path: str, _: nn.Module, args: tuple[Any, ...]) -> None:
        kept[path] = args[0]

    with contextlib.ExitStack() as stack:
        for path, layer in self_attentions(unet):
            stack.callback(layer.register_forward_pre_hook(partial(keep, path)).remove)
        stack.enter_context(adapter_scale(unet, 0))
        stack.enter_context(_loras_off(unet))
        stack.enter_context(uncompiled())
        unet(
            latents,
            0,
            encoder_hidden_states=people,
            added_cond_kwargs={} if image_embeds is None else {"image_embeds": image_embeds},
            return_dict=False,
        )
    return kept


@contextlib.contextmanager
def reference_branch(
    unet: nn.Module,
    kept: Kept,
    sources: Sequence[int | None],
    adapter: ReferenceAdapter,
    scale: int | float,
) -> Iterator[None]:
    """Join features to self-attention and let the LoRA act, as long as it is entered.

    The UNet's batch is [unconditional half, conditional half], or the latter alone: a call may have
    no guidance, and a callback may end it on the way.

    Args:
        unet: the UNet, not compiled.
        kept: what `keep_features` returned.
        sources: for each sample the row of `kept` that belongs to it; None: it has no reference,
            and is painted as without this.
        adapter: the LoRA, on the UNet's device.
        scale: scale of the LoRA; the features stay joined at 0, too.

    Raises:
        WeightsError: if the UNet's projections are fused copies, which this would not reach.
    """
    check_unfused(unet, "a reference image")
    batch = _Batch(sources, scale, next(iter(kept.values())).device)
    with contextlib.ExitStack() as stack:

        def hook(layer: nn.Module, action: Callable[..., Tensor]) -> None:
            stack.callback(layer.register_forward_hook(action).remove)

        for path, (down, up) in adapter.layers.items() if scale else ():
            hook(unet.get_submodule(path), partial(_add_lora, batch, down, up))
        for path, layer in self_attentions(unet):
            for projection in (layer.to_k, layer.to_v):
                with batch.only(batch.references):
                    projected = projection(kept[path])
                hook(projection, partial(_append, batch, projected))
            stack.callback(layer.set_processor, layer.processor)
            layer.set_processor(_InParts(layer.processor, batch))
        stack.enter_context(uncompiled())
        yield


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of the UNet's batch that self-attention treats alike.

    Attributes:
        rows: which.
        kept: rows of the features that are joined to each; None: none are.
        strength: scale of the LoRA, for all or for each [rows]; None: it does not act.
    """

    rows: Rows
    kept: Rows | None
    strength: Strength


class _Batch:
    """Rows of the UNet's batch: which have a reference, and how strongly the LoRA acts on each."""

    def __init__(
        self, sources: Sequence[int | None], scale: int | float, device: torch.device
    ) -> None:
        self._sources = list(sources)
        self._scale = scale
        self._device = device
        self._parts: dict[int, tuple[list[_Part], Tensor | None]] = {}
        self._strengths: dict[int, Strength] = {}
        self.now: _Part | None = None

    @property
    def references(self) -> _Part:
        """The features themselves, as rows."""
        return _Part(slice(None), None, float(self._scale))

    def parts(self, rows: int) -> tuple[list[_Part], Tensor | None]:
        """Return the parts of a batch, and how their rows stand in it; None: one after another."""
        if rows not in self._parts:
            samples = len(self._sources)
            first = rows - samples  # rows of the unconditional half
            joined = [first + i for i, source in enumerate(self._sources) if source is not None]
            plain = sorted(set(range(rows)) - set(joined))
            sources = [source for source in self._sources if source is not None]
            parts = [_Part(self._indices(plain), None, self._strength(plain))] if plain else []
            parts.append(
                _Part(self._indices(joined), self._indices(sources), self._strength(joined))
            )
            order = plain + joined
            back = None if order == sorted(order) else self._tensor(order).argsort()
            self._parts[rows] = parts, back
        return self._parts[rows]

    def strength(self, rows: int) -> Strength:
        """Return the LoRA's scale for the rows that a layer is given now."""
        if self.now is not None:
            return self.now.strength
        if rows not in self._strengths:
            self._strengths[rows] = self._strength(range(rows))
        return self._strengths[rows]

    @contextlib.contextmanager
    def only(self, part: _Part) -> Iterator[None]:
        """Let layers be given the rows of a part alone, as long as it is entered."""
        self.now = part
        try:
            yield
        finally:
            self.now = None

    def _strength(self, rows: Sequence[int]) -> Strength:
        sources = self._sources
        scales = [
            0.0 if sources[row % len(sources)] is None else float(self._scale) for row in rows
        ]
        if len(set(scales)) > 1:
            return self._tensor(scales)
        return scales[0] or None

    def _indices(self, rows: Sequence[int]) -> Rows:
        """Return rows as what costs least to index by: a span where they stand side by side."""
        if list(rows) == list(range(rows[0], rows[0] + len(rows))):
            return slice(rows[0], rows[0] + len(rows))
        return self._tensor(rows)

    def _tensor(self, values: Sequence[int | float]) -> Tensor:
        return torch.tensor(list(values), device=self._device)


class _InParts:
    """An attention processor that gives another one the parts of a batch, one at a time."""

    def __init__(self, inner: Callable[..., Tensor], batch: _Batch) -> None:
        self._inner, self._batch = inner, batch

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        parts, back = self._batch.parts(hidden_states.shape[0])
        outputs = []
        for part in parts:
            own = hidden_states[part.rows]  # [rows, tokens, width]
            with self._batch.only(part):
                outputs.append(self._inner(attn, own, None, attention_mask, *args, **kwargs))
        output = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
        return output if back is None else output[back]


def _append(
    batch: _Batch, projected: Tensor, _: nn.Module, __: tuple[Tensor, ...], output: Tensor
) -> Tensor:
    """Return K (or V) of a row's own tokens and of those that are joined to it."""
    part = batch.now
    if part is None or part.kept is None:
        return output
    return torch.cat([output, projected[part.kept]], dim=1)  # [rows, own + kept tokens, width]


def _add_lora(
    batch: _Batch,
    down: Tensor,
    up: Tensor,
    _: nn.Module,
    args: tuple[Tensor, ...],
    output: Tensor,
) -> Tensor:
    """Return W·x + s·B·A·x."""
    given = args[0]
    strength = batch.strength(given.shape[0])
    if strength is None:
        return output
    inner, factor = nn.functional.linear(given, down), 1.0
    if isinstance(strength, Tensor):
        inner = inner * strength.to(inner).view(-1, *[1] * (inner.ndim - 1))
    else:
        factor = strength
    added = torch.addmm(output.flatten(0, -2), inner.flatten(0, -2), up.T, alpha=factor)
    return added.view_as(output)


@contextlib.contextmanager
def _loras_off(unet: nn.Module) -> Iterator[None]:
    """Let no LoRA beside the weights act, as long as it is entered."""
    layers = [
        module
        for module in unet.modules()
        if isinstance(module, BaseTunerLayer) and not module.merged and not module.disable_adapters
    ]
    trained = [(p, p.requires_grad) for layer in layers for p in layer.parameters()]
    try:
        for layer in layers:
            layer.enable_adapters(False)
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
        for parameter, flag in trained:
            parameter.requires_grad_(flag)
