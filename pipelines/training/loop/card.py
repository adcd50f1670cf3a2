"""The card beside trained weights: how they came to be, and how good they are."""

import json
import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipelines.training.loop.whole_files import write_text_whole
from synthgen.revision import git_revision

_PACKAGES = ("synthgen", "torch", "skia-python", "numpy", "pillow")


def write_card(path: Path, content: Mapping[str, Any]) -> None:
    """Write a card as JSON, whole or not at all; numbers that are not finite become null.

    The versions of the packages that compute and the revision of the sources are added.

    Raises:
        OutputError: if it cannot be written.
    """
    card = {**content, "revision": git_revision(), "versions": package_versions()}
    text = json.dumps(_finite(card), indent=1, ensure_ascii=False, allow_nan=False)
    write_text_whole(path, text + "\n")


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that weights are a function of."""
    return {name: version(name) for name in _PACKAGES}


def _finite(value: object) -> object:
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value
