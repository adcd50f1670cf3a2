"""Trainings that were stopped and go on: what they write is compared byte by byte."""

import shutil
from collections.abc import Callable
from pathlib import Path

from pipelines.weight_files import file_sha256


def bytes_of(folder: Path) -> dict[str, str]:
    """Return file → checksum of the weights and configurations below a folder."""
    names = ("*.safetensors", "config.json")
    found = [path for name in names for path in folder.rglob(name)]
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in found}


def check_continued(
    train: Callable[..., Path], config: Path, whole: Path, tmp_path: Path
) -> list[str]:
    """Train anew with a stop after the first step, and compare with a training without one.

    Args:
        train: the training.
        config: its configuration.
        whole: the folder of one that went from its first step to its last; what it made before
            the first step is used.
        tmp_path: an empty folder.

    Returns:
        The lines of its curve.
    """
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    (made,) = (path.parent for path in out.glob("*/card.json"))
    shutil.rmtree(made)
    for name in ("checkpoint.pt", "history.jsonl"):
        (out / name).unlink()
    assert train(config, out, stop_at=1) == made
    assert not made.exists()
    assert train(config, out) == made
    assert bytes_of(made) == bytes_of(whole / made.name)
    lines = (out / "history.jsonl").read_text()
    assert lines == (whole / "history.jsonl").read_text()
    return lines.splitlines()
