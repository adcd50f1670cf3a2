"""An AU adapter to begin from, of fewer AUs or beside a base of another text width."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.checkpoints import SAFETENSORS_SUFFIX, read_safetensors
from pipelines.diffusion.lora import read_lora
from pipelines.fineface.adapter import AUAdapter
from pipelines.fineface.weights import (
    ATTENTION_FILE,
    ENCODER_FILE,
    LORA_FILE,
    MINI,
    embedded,
    encoded_aus,
)
from pipelines.training.initial import Start, start_from
from pipelines.weight_files import check_weight_file, file_sha256
from synthgen.action_units import ActionUnitSet
from synthgen.errors import WeightsError

_WEIGHT, _BIAS = "au_encoder.weight", "au_encoder.bias"
_LEAST = 0.2
"""Share of an adapter that must be taken: projections of another text width are mostly padding."""


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """An adapter's files, as `synthgen train fineface` writes them.

    Attributes:
        attention: AU projections.
        encoder: the AU encoder, `res_mlp64`.
        lora: the LoRA.
    """

    attention: Path
    encoder: Path
    lora: Path

    @classmethod
    def find(cls, named: str) -> "AdapterFiles":
        """Find the files of a folder, or of `mini`.

        Raises:
            WeightsError: if one is missing.
        """
        names = [
            str(Path(one).with_suffix(SAFETENSORS_SUFFIX)) for one in (ATTENTION_FILE, ENCODER_FILE)
        ]
        folder = embedded("fineface", [*names, LORA_FILE]) if named == MINI else Path(named)
        found = cls(*(folder / name for name in (*names, LORA_FILE)))
        for path in (found.attention, found.encoder, found.lora):
            check_weight_file(path, "AU adapter")
        return found

    def facts(self) -> dict[str, Any]:
        """Return the checksums: what is learned is a function of them."""
        files = (self.attention, self.encoder, self.lora)
        return {"init_files": {path.name: file_sha256(path) for path in files}}


def begin_adapter(adapter: AUAdapter, files: AdapterFiles) -> Start:
    """Give an adapter what another has of it.

    AUs that the other lacks have no effect at first. Where the LoRA reads text of another width its
    A is fresh, so that its B is zero there.

    Args:
        adapter: the adapter, as training makes it; its encoder must be `res_mlp64`.
        files: the other's.

    Raises:
        WeightsError: if the other has another encoder, or fits nowhere.
    """
    own = adapter.state_dict()
    old = {
        **read_safetensors(files.attention)[0],
        **read_safetensors(files.encoder)[0],
        **read_lora(files.lora)[0],
    }
    known = encoded_aus(files.encoder.parent, "")
    if _BIAS not in own or _BIAS not in old or len(own[_BIAS]) != len(old[_BIAS]):
        raise WeightsError(
            f"{files.encoder} does not fit as a start: its encoder gives {_size(old)} numbers "
            f"beside the AUs, and this one {_size(own)}"
        )
    tensors: dict[str, Tensor] = {_BIAS: old[_BIAS]}
    tensors[_WEIGHT] = torch.zeros_like(own[_WEIGHT])
    for place, name in enumerate(adapter.aus.names):
        if name in known:
            tensors[_WEIGHT][:, place] = old[_WEIGHT][:, known.index(name)].float()
    columns = _token_columns(adapter.aus, known, len(old[_BIAS]))
    for name, value in old.items():
        if name.endswith("au_to_v.weight") and name in own:
            grown = own[name].clone()
            grown[:, : len(adapter.aus)] = 0.0
            for here, there in columns:
                grown[:, here] = value[:, there].float()
            tensors[name] = grown
        elif name.endswith("lora_A.weight"):
            tensors[name] = value
        elif name.endswith("lora_B.weight"):
            inner = name.replace("lora_B", "lora_A")
            if inner in own and own[inner].shape == old[inner].shape:
                tensors[name] = value
    return start_from(adapter, tensors, files.attention, least=_LEAST)


def _token_columns(here: ActionUnitSet, there: ActionUnitSet, hidden: int) -> list[tuple[int, int]]:
    """Return the columns of two AU tokens that stand for the same: AUs, then what is encoded."""
    aus = [(here.index(name), there.index(name)) for name in here.names if name in there]
    return aus + [(len(here) + i, len(there) + i) for i in range(hidden)]


def _size(tensors: dict[str, Tensor]) -> int | str:
    return len(tensors[_BIAS]) if _BIAS in tensors else "no"
