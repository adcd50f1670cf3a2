"""The AU adapter: every weight of FineFace that Stable Diffusion lacks, and its AU encoders.

Their outputs are narrower than, or as wide as, the text embeddings; the adapter pads them with
zeros. `res_mlp` and `res_mlp64` are one formula at two widths, and the one that is published. The
paper does not say what lies between the layers of the deeper ones, nor how wide those are: here
SiLU, as in Stable Diffusion's own small networks, and 64.

With one AU token the softmax of Attn(Q, K_AU, V_AU) runs over one key, so the AU branch of Eq. 5 is
λ_AU·V_AU: one vector per cross-attention layer and sample, the same at each position and denoising
step. K_AU has no effect and is kept for the published file format alone.
"""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.attention_processor import Attention
from jaxtyping import Float
from torch import Tensor, nn

from pipelines.diffusion.models import check_model_files, check_model_finite
from pipelines.diffusion.unet import attentions, text_width
from synthgen.action_units import AU_COUNT, AUS, ActionUnitSet
from synthgen.errors import WeightsError

EncoderKind = Literal["none", "mlp", "res_mlp", "res_mlp64", "res_3mlp", "individual_mlp"]
ENCODERS: tuple[str, ...] = get_args(EncoderKind)

_HIDDEN = 64
_PLAIN_KEY = "mlp.weight"
_DEEP_KEY = "mlp.4.weight"


class Raw(nn.Module):
    """`none`: y = x."""

    def forward(self, aus: Float[Tensor, "batch aus"]) -> Float[Tensor, "batch aus"]:
        """Return the intensities as they are."""
        return aus


class PlainLinear(nn.Module):
    """`mlp`: y = Wx + b.

    Args:
        hidden_size: width of y.
        aus: the AUs of x.
    """

    def __init__(self, hidden_size: int, aus: Sequence[str]) -> None:
        super().__init__()
        self.mlp = nn.Linear(len(aus), hidden_size)

    def forward(self, aus: Float[Tensor, "batch aus"]) -> Float[Tensor, "batch out"]:
        """Return the encoded intensities."""
        return self.mlp(aus)


class ResidualLinear(nn.Linear):
    """`res_mlp`, `res_mlp64`: y = [x, Wx + b], the published encoder, by its published names.

    Args:
        hidden_size: h, rows of W.
        aus: the AUs of x.
    """

    def __init__(self, hidden_size: int, aus: Sequence[str]) -> None:
        super().__init__(len(aus), hidden_size)

    def forward(self, input: Float[Tensor, "batch aus"]) -> Float[Tensor, "batch out"]:  # noqa: A002
        """Return the intensities [batch, AUs + h], those of the caller first."""
        return torch.cat([input, super().forward(input)], dim=-1)


class ResidualMLP(nn.Module):
    """`res_3mlp`: y = [x, MLP(x)] with three linear layers.

    Args:
        hidden_size: outputs of each layer.
        aus: the AUs of x.
    """

    def __init__(self, hidden_size: int, aus: Sequence[str]) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(len(aus), hidden_size),
            nn.SiLU(),
            nn.Linear(hidden_size, hidden_size),
            nn.SiLU(),
            nn.Linear(hidden_size, hidden_size),
        )

    def forward(self, aus: Float[Tensor, "batch aus"]) -> Float[Tensor, "batch out"]:
        """Return [batch, AUs + h]."""
        return torch.cat([aus, self.mlp(aus)], dim=-1)


class IndividualMLP(nn.Module):
    """`individual_mlp`: y = [MLP_1(x_1), …, MLP_12(x_12)], each of two linear layers.

    Args:
        hidden_size: outputs of each layer of one AU's MLP.
        aus: the AUs of x.
    """

    def __init__(self, hidden_size: int, aus: Sequence[str]) -> None:
        super().__init__()
        self.individual = nn.ModuleDict({name: _small_mlp(hidden_size) for name in aus})

    def forward(self, aus: Float[Tensor, "batch aus"]) -> Float[Tensor, "batch out"]:
        """Return [batch, AUs·h]."""
        each = zip(self.individual.values(), aus.split(1, dim=-1), strict=True)
        return torch.cat([mlp(au) for mlp, au in each], dim=-1)


_MAKERS: dict[str, Callable[[int, Sequence[str]], nn.Module]] = {
    "none": lambda _size, _aus: Raw(),
    "mlp": PlainLinear,
    "res_mlp": ResidualLinear,
    "res_mlp64": ResidualLinear,
    "res_3mlp": ResidualMLP,
    "individual_mlp": IndividualMLP,
}


def make_encoder(kind: str, hidden_size: int, width: int, aus: Sequence[str] = AUS) -> nn.Module:
    """Make an untrained encoder.

    Args:
        kind: one of `ENCODERS`.
        hidden_size: outputs of its linear layers; `none` has none.
        width: width of the text embeddings, which the token must fit into.
        aus: the AUs that it encodes.

    Raises:
        WeightsError: if there is no such kind, or its token is too wide.
    """
    if kind not in _MAKERS:
        raise WeightsError(f"unknown AU encoder {kind!r}; those that exist: {', '.join(ENCODERS)}")
    if (token := _token(kind, hidden_size, len(aus))) > width:
        wide = f"{len(aus)} + {hidden_size}" if kind.startswith("res") else str(token)
        raise WeightsError(
            f"the AU token is {wide} wide; the text embeddings of this UNet hold {width}"
        )
    return _MAKERS[kind](hidden_size, aus)


def usual_hidden_size(kind: str, width: int, aus: int = AU_COUNT) -> int:
    """Return the hidden size that Table 2 means: the whole width, or 64 where that fits.

    Args:
        kind: one of `ENCODERS`.
        width: width of the text embeddings.
        aus: number of AUs.
    """
    if kind == "none":
        return 0
    if kind == "individual_mlp":
        return min(_HIDDEN, width // aus)
    if kind == "mlp":
        return width
    room = width - aus
    return room if kind == "res_mlp" else min(_HIDDEN, room)


def recognise(found: object, width: int, aus: Sequence[str] = AUS) -> tuple[str, int]:
    """Tell an encoder by the names and shapes of its tensors.

    Tensors that are those of no encoder count as an incomplete published one, so that a check
    against it names what is wrong.

    Args:
        found: what a file `au_encoder` holds, by name.
        width: width of the text embeddings.
        aus: the AUs that it encodes.

    Returns:
        Its kind, and its hidden size.
    """
    if not isinstance(found, Mapping):
        return "res_mlp64", 1
    if not found:
        return "none", 0
    names = {
        f"au_encoder.{_PLAIN_KEY}": "mlp",
        f"au_encoder.{_DEEP_KEY}": "res_3mlp",
        f"au_encoder.individual.{aus[0]}.2.weight": "individual_mlp",
    }
    for name, kind in names.items():
        if name in found:
            return kind, _rows(found[name])
    hidden_size = _rows(found.get("au_encoder.weight"))
    return "res_mlp" if len(aus) + hidden_size == width else "res_mlp64", hidden_size


def _small_mlp(hidden_size: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(1, hidden_size), nn.SiLU(), nn.Linear(hidden_size, hidden_size))


def _token(kind: str, hidden_size: int, aus: int) -> int:
    if kind == "mlp":
        return hidden_size
    return aus * hidden_size if kind == "individual_mlp" else aus + hidden_size


def _rows(value: Any) -> int:
    """Return the rows of a matrix; 1 where there is none, which the file's check then names."""
    return value.shape[0] if isinstance(value, Tensor) and value.ndim == 2 else 1


# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.


LORA_TARGETS = ("to_q", "to_k", "to_v", "to_out.0")


class AUAdapter(ModelMixin, ConfigMixin):
    """AU encoder, AU projections, and the LoRA that is fused into the UNet.

    The names in its `state_dict` are those of the published files: `au_encoder.weight`,
    `<layer>.processor.au_to_v.weight`, `unet.<layer>.lora_A.weight`. The LoRA is a record of what
    was fused, so that it can be taken out again and written to a file; `forward` ignores it.

    Args:
        layers: path of each cross-attention layer in the UNet → its inner width.
        cross_attention_dim: width of the text embeddings, to which the AU token is padded.
        hidden_size: outputs of the encoder's linear layers; the token must fit the width.
        lora_layers: path of each linear layer with LoRA → (inputs, outputs); empty: no LoRA.
        lora_rank: rank of the LoRA; 0 without one.
        lora_scale: scale at which the LoRA is fused into the UNet beside this adapter.
        encoder: kind of the AU encoder, one of `ENCODERS`.
        action_units: the AUs that it encodes, in the order of its inputs; the published ones
            encode the 12 of DISFA.

    Raises:
        WeightsError: if the AU token is wider than the text embeddings, or the encoder unknown.
    """

    @register_to_config
    def __init__(
        self,
        layers: Mapping[str, int],
        cross_attention_dim: int = 1024,
        hidden_size: int = 64,
        lora_layers: Mapping[str, Any] | None = None,
        lora_rank: int = 0,
        lora_scale: int | float = 1.0,
        encoder: str = "res_mlp64",
        action_units: Sequence[str] = AUS,
    ) -> None:
        super().__init__()
        self.au_encoder = make_encoder(encoder, hidden_size, cross_attention_dim, action_units)
        for path, width in layers.items():
            for name in ("au_to_k", "au_to_v"):
                projection = nn.Linear(cross_attention_dim, width, bias=False)
                _place(self, f"{path}.processor.{name}", projection)
        for path, (inputs, outputs) in (lora_layers or {}).items():
            _place(self, f"unet.{path}.lora_A", nn.Linear(inputs, lora_rank, bias=False))
            _place(self, f"unet.{path}.lora_B", nn.Linear(lora_rank, outputs, bias=False))

    @classmethod
    def for_unet(
        cls,
        unet: nn.Module,
        hidden_size: int | None = None,
        lora_rank: int = 0,
        lora_scale: int | float = 1.0,
        encoder: str = "res_mlp64",
        action_units: Sequence[str] = AUS,
    ) -> "AUAdapter":
        """Make an untrained adapter that fits a UNet.

        Args:
            unet: UNet of Stable Diffusion 1.x or 2.x.
            hidden_size: outputs of the encoder's linear layers; None: those of Table 2.
            lora_rank: rank of the LoRA on every attention layer; 0: none.
            lora_scale: scale at which the LoRA is to be fused.
            encoder: kind of the AU encoder, one of `ENCODERS`.
            action_units: the AUs that it encodes, in the order of its inputs.

        Raises:
            WeightsError: if the UNet has no cross-attention layer, or the AU token is too wide.
        """
        found = dict(attentions(unet))
        cross = {path: layer for path, layer in found.items() if path.endswith(".attn2")}
        width = text_width(unet)
        if hidden_size is None:
            hidden_size = usual_hidden_size(encoder, width, len(action_units))
        return cls(
            layers={path: layer.inner_dim for path, layer in cross.items()},
            cross_attention_dim=width,
            hidden_size=hidden_size,
            lora_layers=_lora_layers(found) if lora_rank else None,
            lora_rank=lora_rank,
            lora_scale=lora_scale,
            encoder=encoder,
            action_units=tuple(action_units),
        )

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | PathLike[str] | None, **kwargs: Any
    ) -> Any:
        """Load a saved adapter, as `ModelMixin.from_pretrained` does, but strictly.

        Raises:
            WeightsError: if the file cannot be read, lacks a tensor of the adapter, holds another
                one, or one that is not finite.
        """
        if (folder := Path(str(pretrained_model_name_or_path))).is_dir():
            check_model_files(folder / str(kwargs.get("subfolder") or ""))
        wants_info = kwargs.pop("output_loading_info", False)
        loaded: Any = super().from_pretrained(
            pretrained_model_name_or_path, output_loading_info=True, **kwargs
        )
        adapter, info = loaded
        for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            if info[what]:
                raise WeightsError(
                    f"AU adapter {pretrained_model_name_or_path} does not fit its config.json; "
                    f"{what.replace('_', ' ')}: {', '.join(map(str, sorted(info[what])[:5]))}"
                )
        check_model_finite(adapter, str(pretrained_model_name_or_path), adapter.dtype)
        return (adapter, info) if wants_info else adapter

    @property
    def aus(self) -> ActionUnitSet:
        """The AUs that it encodes, in the order of its inputs."""
        return ActionUnitSet(tuple(self.config["action_units"]))

    def encode(self, aus: Float[Tensor, "batch aus"]) -> Float[Tensor, "batch width"]:
        """Return the AU token: what the encoder gives, padded with zeros.

        Args:
            aus: AU intensities; [0–5], or beyond.
        """
        token = self.au_encoder(aus)
        return nn.functional.pad(token, (0, self.config["cross_attention_dim"] - token.shape[-1]))

    def forward(self, aus: Float[Tensor, "batch aus"]) -> dict[str, Tensor]:
        """Return V_AU of each cross-attention layer.

        Args:
            aus: AU intensities; [0–5], or beyond.

        Returns:
            Path of the layer → [batch, 1, inner width of the layer].
        """
        token = self.encode(aus).unsqueeze(1)  # [batch, 1, width]
        return {
            path: self.get_submodule(f"{path}.processor.au_to_v")(token)
            for path in self.config["layers"]
        }

    def lora_state(self) -> dict[str, Tensor]:
        """Return the LoRA's tensors by their published names; empty without a LoRA."""
        return {name: value for name, value in self.state_dict().items() if _is_lora(name)}

    def encoder_state(self) -> dict[str, Tensor]:
        """Return the AU encoder's tensors by their published names."""
        return {k: v for k, v in self.state_dict().items() if k.startswith("au_encoder.")}

    def attention_state(self) -> dict[str, Tensor]:
        """Return the AU projections' tensors by their published names."""
        return {k: v for k, v in self.state_dict().items() if ".processor.au_to_" in k}


def _is_lora(name: str) -> bool:
    return name.startswith("unet.")


def _lora_layers(attentions: Mapping[str, Attention]) -> dict[str, tuple[int, int]]:
    layers = {}
    for path, attention in attentions.items():
        for target in LORA_TARGETS:
            linear = attention.get_submodule(target)
            layers[f"{path}.{target}"] = (linear.in_features, linear.out_features)
    return layers


def _place(root: nn.Module, path: str, module: nn.Module) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        if parent not in dict(root.named_children()):
            root.add_module(parent, nn.Module())
        root = root.get_submodule(parent)
    root.add_module(name, module)
