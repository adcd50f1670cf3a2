"""Adapters of Tables 2 and 3: found in a folder of trainings, told apart by their cards."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthgen.errors import WeightsError

ENCODERS = {
    "res_mlp64": "Res + MLP, 64 wide (ours)",
    "none": "none",
    "mlp": "MLP",
    "res_mlp": "Res + MLP",
    "res_3mlp": "Res + 3 MLP",
    "individual_mlp": "an MLP for each AU",
}
"""AU encoder → its row in Table 2, in the order of the rows."""

_CARD = "card.json"
_PUBLISHED = "fineface"
_DEFAULT = "res_mlp64"
_NOT_A_CARD = (ValueError, KeyError, TypeError)


@dataclass(frozen=True, slots=True)
class TrainedAdapter:
    """An adapter that was trained for a table.

    Attributes:
        name: name of its folder.
        folder: holds its files as published.
        encoder: its AU encoder.
        smoothed: whether its labels were perturbed.
        budget: what it was trained with, in words.
    """

    name: str
    folder: Path
    encoder: str
    smoothed: bool
    budget: str


def find_adapters(folder: Path) -> list[TrainedAdapter]:
    """Return the adapters in the folders of a folder; folders without FineFace files are passed by.

    Raises:
        WeightsError: if there is no such folder, none holds an adapter, or a card does not say what
            the tables need.
    """
    if not folder.is_dir():
        raise WeightsError(f"folder of encoders {folder} does not exist")
    found = [_adapter(path) for path in sorted(folder.iterdir()) if _published(path) is not None]
    if not found:
        raise WeightsError(
            f"{folder} holds no adapter; each of its folders must be one that `synthgen train "
            "fineface` wrote"
        )
    return found


def table_2(adapters: list[TrainedAdapter]) -> list[tuple[str, TrainedAdapter]]:
    """Return the rows of Table 2: AU encoders, each trained with perturbed labels."""
    return [
        (label, adapter)
        for encoder, label in ENCODERS.items()
        for adapter in adapters
        if adapter.smoothed and adapter.encoder == encoder
    ]


def table_3(adapters: list[TrainedAdapter]) -> list[tuple[str, TrainedAdapter]]:
    """Return the rows of Table 3: with and without perturbed labels; none where one is missing."""
    own = [adapter for adapter in adapters if adapter.encoder == _DEFAULT]
    rows = [("labels perturbed" if one.smoothed else "labels as they are", one) for one in own]
    rows.sort(key=lambda row: not row[1].smoothed)
    return rows if len({adapter.smoothed for adapter in own}) == 2 else []


def budget_of(folder: Path) -> str | None:
    """Return what an adapter was trained with, in words; None where its card does not say."""
    try:
        return _budget(json.loads((folder / _CARD).read_text(encoding="utf-8")))
    except (OSError, *_NOT_A_CARD):
        return None


def _published(path: Path) -> Path | None:
    for folder in (path / _PUBLISHED, path):
        if any((folder / f"au_encoder{suffix}").is_file() for suffix in (".safetensors", ".ckpt")):
            return folder
    return None


def _adapter(path: Path) -> TrainedAdapter:
    folder = _published(path) or path
    card = folder / _CARD
    try:
        content: dict[str, Any] = json.loads(card.read_text(encoding="utf-8"))
        made = content["configuration"]
        smoothing = made["smoothing"]
        return TrainedAdapter(
            name=path.name,
            folder=folder,
            encoder=made["encoder"],
            smoothed=bool(smoothing["variance"] or smoothing["rounding"]),
            budget=_budget(content),
        )
    except (OSError, *_NOT_A_CARD) as error:
        raise WeightsError(
            f"{card} does not say which encoder was trained, on which labels, and how long; "
            "`synthgen train fineface` writes it"
        ) from error


def _budget(card: dict[str, Any]) -> str:
    return f"{card['steps']:,} steps of {card['configuration']['batch_size']} examples"
