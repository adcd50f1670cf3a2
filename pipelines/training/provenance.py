"""Provenance of trained weights: card, versions, and by which fingerprint a training continues."""

import json
import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, cast

from pydantic import TypeAdapter, ValidationError

from pipelines.training.data.config import DatasetData, ProceduralData
from pipelines.training.files import write_text_whole
from pipelines.training.settings import FREE, TrainingSettings
from synthgen import __version__
from synthgen.config.base import Section
from synthgen.errors import OutputError
from synthgen.revision import git_revision

_OURS = "Apache-2.0"


def about_training(
    name: str,
    what: str,
    config: TrainingSettings,
    data: ProceduralData | DatasetData,
    folder: Path,
    config_path: str | Path,
    steps: int,
    facts: dict[str, Any],
) -> dict[str, Any]:
    """Say how weights came to be.

    Args:
        name: the training, such as `vae`.
        what: what the weights are.
        config: the training's configuration.
        data: what was learned from.
        folder: folder of the training.
        config_path: the configuration's file.
        steps: steps that were learned.
        facts: what the weights are a function of besides the configuration.
    """
    drawn = isinstance(data, ProceduralData)
    return {
        "command": f"synthgen train {name} {Path(config_path).name} --to {folder.name}",
        "what": what,
        "licence": _OURS if drawn else "as the data that it was trained on",
        "data": "drawn portraits" if drawn else f"{data.path} ({data.split})",
        **facts,
        "steps": steps,
        "examples_seen": steps * config.batch_size,
        "configuration": config.model_dump(mode="json"),
    }


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


class _Difference(NamedTuple):
    key: str
    old: str
    new: object


def what_counts(settings: Section, *free: str, **facts: Any) -> dict[str, Any]:
    """Return what weights are a function of.

    Args:
        settings: configuration of the training.
        free: keys of the configuration that do not count, besides `FREE`.
        facts: what else counts, such as checksums.
    """
    return {**facts, **settings.model_dump(mode="json", exclude={*FREE, *free})}


def check_same(
    found: dict[str, Any], wanted: dict[str, Any], path: Path, kind: type[Section]
) -> None:
    """Refuse a checkpoint of another training; cycles may be added at the end.

    A key that the configuration did not have when the checkpoint was written had its default.

    Args:
        found: what counted for the checkpoint.
        wanted: what counts now.
        path: the checkpoint.
        kind: class of the configuration.

    Raises:
        OutputError: with the first difference.
    """
    difference = _difference(_completed(found, kind), wanted, ())
    if difference:
        raise OutputError(
            f"{path} was trained {difference.old}, now it is {difference.new!r}; "
            "train into another folder, or start anew"
        )


def _completed(found: dict[str, Any], kind: type[Section]) -> dict[str, Any]:
    try:
        completed = {name: _completed_key(found, name, kind) for name in _known(found, kind)}
    except ValidationError:
        return found  # of another kind of training: the difference will say so
    return {**found, **completed}


def _known(found: dict[str, Any], kind: type[Section]) -> list[str]:
    fields = kind.model_fields.items()
    return [name for name, field in fields if name in found or not field.is_required()]


def _completed_key(found: dict[str, Any], name: str, kind: type[Section]) -> Any:
    """Return a key with all defaults in it; by itself, for keys that do not count are not there."""
    field = kind.model_fields[name]
    adapter: TypeAdapter[Any] = TypeAdapter(cast("Any", field.annotation))
    value = found[name] if name in found else field.get_default(call_default_factory=True)
    return adapter.dump_python(adapter.validate_python(value), mode="json")


def _difference(old: Any, new: Any, keys: tuple[str, ...]) -> _Difference | None:
    name = ".".join(keys)
    if isinstance(old, dict) and isinstance(new, dict):
        for key, value in new.items():
            if key not in old:
                below = ".".join((*keys, key))
                return _Difference(below, f"without {below}", value)
            if below := _difference(old[key], value, (*keys, key)):
                return below
        return None
    begun = new[: len(old)] if keys == ("cycles",) and isinstance(old, list) else new
    return None if old == begun else _Difference(name, f"with {name} {old!r}", new)
