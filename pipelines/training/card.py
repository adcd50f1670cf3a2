"""The card beside trained weights: how they came to be, and how good they are."""

import json
import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from synthgen.revision import git_revision

_PACKAGES = ("synthgen", "torch", "skia-python", "numpy", "pillow")


def write_card(path: Path, content: Mapping[str, Any]) -> None:
    """Write a card as JSON, whole or not at all; numbers that are not finite become null.

    The versions of the packages that compute and the revision of the sources are added.
    """
    card = {**content, "revision": git_revision(), "versions": package_versions()}
    partial = path.with_name(path.name + ".partial")
    text = json.dumps(_finite(card), indent=1, ensure_ascii=False, allow_nan=False)
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)


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
