"""The six AU encoders of FineFace's Table 2: from 12 intensities to one token.

Their outputs are narrower than, or as wide as, the text embeddings; the adapter pads them with
zeros. `res_mlp` and `res_mlp64` are one formula at two widths, and the one that is published. The
paper does not say what lies between the layers of the deeper ones, nor how wide those are: here
SiLU, as in Stable Diffusion's own small networks, and 64.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from synthgen.action_units import AU_COUNT, AUS
from synthgen.errors import WeightsError

EncoderKind = Literal["none", "mlp", "res_mlp", "res_mlp64", "res_3mlp", "individual_mlp"]
ENCODERS: tuple[str, ...] = get_args(EncoderKind)

_HIDDEN = 64
_PLAIN_KEY = "mlp.weight"
_DEEP_KEY = "mlp.4.weight"
_INDIVIDUAL_KEY = f"individual.{AUS[0]}.2.weight"


class Raw(nn.Module):
    """`none`: y = x."""

    def forward(self, aus: Float[Tensor, "batch aus"]) -> Float[Tensor, "batch aus"]:
        """Return the intensities as they are."""
        return aus


class PlainLinear(nn.Module):
    """`mlp`: y = Wx + b.

    Args:
        hidden_size: width of y.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.mlp = nn.Linear(AU_COUNT, hidden_size)

    def forward(self, aus: Float[Tensor, "batch aus"]) -> Float[Tensor, "batch out"]:
        """Return the encoded intensities."""
        return self.mlp(aus)


class ResidualLinear(nn.Linear):
    """`res_mlp`, `res_mlp64`: y = [x, Wx + b], the published encoder, by its published names.

    Args:
        hidden_size: h, rows of W.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__(AU_COUNT, hidden_size)

    def forward(self, input: Float[Tensor, "batch aus"]) -> Float[Tensor, "batch out"]:  # noqa: A002
        """Return the intensities [batch, 12 + h], those of the caller first."""
        return torch.cat([input, super().forward(input)], dim=-1)


class ResidualMLP(nn.Module):
    """`res_3mlp`: y = [x, MLP(x)] with three linear layers.

    Args:
        hidden_size: outputs of each layer.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(AU_COUNT, hidden_size),
            nn.SiLU(),
            nn.Linear(hidden_size, hidden_size),
            nn.SiLU(),
            nn.Linear(hidden_size, hidden_size),
        )

    def forward(self, aus: Float[Tensor, "batch aus"]) -> Float[Tensor, "batch out"]:
        """Return [batch, 12 + h]."""
        return torch.cat([aus, self.mlp(aus)], dim=-1)


class IndividualMLP(nn.Module):
    """`individual_mlp`: y = [MLP_1(x_1), …, MLP_12(x_12)], each of two linear layers.

    Args:
        hidden_size: outputs of each layer of one AU's MLP.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.individual = nn.ModuleDict({name: _small_mlp(hidden_size) for name in AUS})

    def forward(self, aus: Float[Tensor, "batch aus"]) -> Float[Tensor, "batch out"]:
        """Return [batch, 12·h]."""
        each = zip(self.individual.values(), aus.split(1, dim=-1), strict=True)
        return torch.cat([mlp(au) for mlp, au in each], dim=-1)


_MAKERS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda _: Raw(),
    "mlp": PlainLinear,
    "res_mlp": ResidualLinear,
    "res_mlp64": ResidualLinear,
    "res_3mlp": ResidualMLP,
    "individual_mlp": IndividualMLP,
}


def make_encoder(kind: str, hidden_size: int, width: int) -> nn.Module:
    """Make an untrained encoder.

    Args:
        kind: one of `ENCODERS`.
        hidden_size: outputs of its linear layers; `none` has none.
        width: width of the text embeddings, which the token must fit into.

    Raises:
        WeightsError: if there is no such kind, or its token is too wide.
    """
    if kind not in _MAKERS:
        raise WeightsError(f"unknown AU encoder {kind!r}; those that exist: {', '.join(ENCODERS)}")
    if (token := _token(kind, hidden_size)) > width:
        raise WeightsError(
            f"the AU token is {_sum(kind, hidden_size, token)} wide; "
            f"the text embeddings of this UNet hold {width}"
        )
    return _MAKERS[kind](hidden_size)


def usual_hidden_size(kind: str, width: int) -> int:
    """Return the hidden size that Table 2 means: the whole width, or 64 where that fits.

    Args:
        kind: one of `ENCODERS`.
        width: width of the text embeddings.
    """
    if kind == "none":
        return 0
    if kind == "individual_mlp":
        return min(_HIDDEN, width // AU_COUNT)
    if kind == "mlp":
        return width
    room = width - AU_COUNT
    return room if kind == "res_mlp" else min(_HIDDEN, room)


def recognise(found: object, width: int) -> tuple[str, int]:
    """Tell an encoder by the names and shapes of its tensors.

    Tensors that are those of no encoder count as an incomplete published one, so that a check
    against it names what is wrong.

    Args:
        found: what a file `au_encoder` holds, by name.
        width: width of the text embeddings.

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
        f"au_encoder.{_INDIVIDUAL_KEY}": "individual_mlp",
    }
    for name, kind in names.items():
        if name in found:
            return kind, _rows(found[name])
    hidden_size = _rows(found.get("au_encoder.weight"))
    return "res_mlp" if AU_COUNT + hidden_size == width else "res_mlp64", hidden_size


def _small_mlp(hidden_size: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(1, hidden_size), nn.SiLU(), nn.Linear(hidden_size, hidden_size))


def _token(kind: str, hidden_size: int) -> int:
    if kind == "mlp":
        return hidden_size
    return AU_COUNT * hidden_size if kind == "individual_mlp" else AU_COUNT + hidden_size


def _sum(kind: str, hidden_size: int, token: int) -> str:
    return f"{AU_COUNT} + {hidden_size}" if kind.startswith("res") else str(token)


def _rows(value: Any) -> int:
    """Return the rows of a matrix; 1 where there is none, which the file's check then names."""
    return value.shape[0] if isinstance(value, Tensor) and value.ndim == 2 else 1
