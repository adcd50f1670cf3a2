"""Checkpoints of a training run: one file, whole or absent."""

from pathlib import Path
from typing import Any

import torch

from pipelines.checkpoints import read_pickled_tensors
from pipelines.training.loop.whole_files import write_whole
from synthgen.errors import WeightsError


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint so that a crash leaves the old one or the new one, never half of one.

    Raises:
        OutputError: if it cannot be written, as on a full disk; the old one stays.
    """
    with write_whole(path) as partial, partial.open("wb") as file:
        torch.save(content, file)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint: tensors and plain values alone, no code.

    Raises:
        WeightsError: if the file is not a checkpoint.
    """
    content = read_pickled_tensors(path)
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds {type(content).__name__}; a checkpoint holds a dict")
    return content
