"""What a FineFace training leaves: the published files, our component, and a card."""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipelines.checkpoints import SAFETENSORS_SUFFIX
from pipelines.fineface import AUAdapter
from pipelines.fineface.checkpoint import write_au_adapter
from pipelines.fineface.weights import PICKLE_SUFFIX
from pipelines.training.diffusion.config import AdapterExport
from pipelines.training.loop.card import write_card
from pipelines.weight_files import file_sha256

PUBLISHED = "fineface"
COMPONENT = "au_adapter"
CARD = "card.json"


def export_adapter(
    adapter: AUAdapter, folder: Path, export: AdapterExport, about: dict[str, Any]
) -> Path:
    """Write the adapter as published, as a component of diffusers, and a card beside the first.

    Args:
        adapter: the trained adapter.
        folder: folder of the training; gets `fineface` and `au_adapter`.
        export: number format, and whether pickles are written too.
        about: what the card says besides the checksums.

    Returns:
        The folder that `load_au_adapter` reads.
    """
    written = copy.deepcopy(adapter)
    nn.Module.to(written, device="cpu", dtype=getattr(torch, export.dtype))
    published = folder / PUBLISHED
    write_au_adapter(written, published, "", SAFETENSORS_SUFFIX)
    if export.also == "ckpt":
        write_au_adapter(written, published, "", PICKLE_SUFFIX)
    written.save_pretrained(folder / COMPONENT)
    files = sorted(published.glob(f"*{SAFETENSORS_SUFFIX}"))
    sums = {path.name: file_sha256(path) for path in files}
    write_card(published / CARD, {**about, "sha256": sums})
    return published
