"""Which training a checkpoint belongs to: what its weights are a function of."""

from pathlib import Path
from typing import Any, NamedTuple, cast

from pydantic import TypeAdapter, ValidationError

from pipelines.training.loop.settings import FREE
from synthgen.config.base import Section
from synthgen.errors import OutputError


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
