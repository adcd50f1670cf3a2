"""Provenance of trained weights: their card, and the fingerprint by which a training continues."""

import json
import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from pipelines.training.files import write_text_whole
from pipelines.training.settings import FREE
from synthgen import __version__
from synthgen.config.base import Section
from synthgen.errors import OutputError
from synthgen.revision import git_revision

OUR_LICENCE = "Apache-2.0"
"""Licence of weights that learned from procedural faces alone."""

CARD = "card.json"
"""Name of the card beside weights."""

_PACKAGES = ("torch", "skia-python", "numpy", "pillow")


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
    return {"synthgen": __version__} | {name: version(name) for name in _PACKAGES}


def _finite(value: object) -> object:
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value


def training_fingerprint(settings: Section, *free: str, **facts: Any) -> dict[str, Any]:
    """Return everything that weights are a function of.

    Args:
        settings: configuration of the training.
        free: keys of the configuration that decide nothing about the weights, besides `FREE`.
        facts: facts besides the configuration, such as checksums.
    """
    return {**facts, **settings.model_dump(mode="json", exclude={*FREE, *free})}


def check_same(
    found: dict[str, Any], wanted: dict[str, Any], path: Path, kind: type[Section]
) -> None:
    """Refuse a checkpoint of another training; cycles may be added at the end.

    A key that the configuration did not have when the checkpoint was written had its default.

    Args:
        found: fingerprint in the checkpoint.
        wanted: fingerprint of the training now.
        path: the checkpoint.
        kind: class of the configuration.

    Raises:
        OutputError: with the first difference.
    """
    if difference := _difference(_with_defaults(found, kind), wanted, ()):
        old, new = difference
        raise OutputError(
            f"{path} was trained {old}, now it is {new!r}; train into another folder with --to"
        )


def _with_defaults(found: dict[str, Any], kind: type[Section]) -> dict[str, Any]:
    """Return a fingerprint with all defaults in it; key by key, for free keys are not there."""
    completed = dict(found)
    try:
        for name, field in kind.model_fields.items():
            if name in found or not field.is_required():
                adapter: TypeAdapter[Any] = TypeAdapter(cast("Any", field.annotation))
                default = field.get_default(call_default_factory=True)
                value = adapter.validate_python(found.get(name, default))
                completed[name] = adapter.dump_python(value, mode="json")
    except ValidationError:
        return found  # of another kind of training: the difference will say so
    return completed


def _difference(old: Any, new: Any, keys: tuple[str, ...]) -> tuple[str, object] | None:
    """Return in words what the first differing key was, and its new value; None: all are equal."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key, value in new.items():
            if key not in old:
                return f"without {'.'.join((*keys, key))}", value
            if below := _difference(old[key], value, (*keys, key)):
                return below
        return None
    begun = new[: len(old)] if keys == ("cycles",) and isinstance(old, list) else new
    return None if old == begun else (f"with {'.'.join(keys)} {old!r}", new)
