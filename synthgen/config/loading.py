"""Read a configuration: YAML, overrides, one-sentence errors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from synthgen.config.base import Section
from synthgen.config.run import RunConfig
from synthgen.errors import ConfigError, SynthgenError

AnySection = TypeVar("AnySection", bound=Section)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a configuration file.

    Args:
        path: the YAML file.
        overrides: `key.subkey=value`, the value as YAML, applied in order.

    Raises:
        ConfigError: if the file cannot be read, is not YAML, or says what is not allowed.
    """
    return parse_config(_apply(_read_mapping(Path(path)), overrides), where=str(path))


def parse_config(data: object, where: str = "configuration") -> RunConfig:
    """Turn a mapping into a configuration.

    Raises:
        ConfigError: with one sentence on the first key that is not allowed.
    """
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_first_sentence(error)}") from error


def load_section(
    path: str | Path, section: type[AnySection], overrides: Sequence[str] = ()
) -> AnySection:
    """Read a configuration file of another kind than a run's, such as a training's.

    Args:
        path: the YAML file.
        section: what it must hold.
        overrides: as for `load_config`.

    Raises:
        ConfigError: as `load_config`.
    """
    data = _apply(_read_mapping(Path(path)), overrides)
    try:
        return section.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_first_sentence(error)}") from error


def dump_config(config: RunConfig) -> str:
    """Write the resolved configuration as YAML."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold a mapping of keys; it holds {type(data).__name__}")
    return data


def _apply(data: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise ConfigError(f"--set {override!r} must look like pipeline.batch_size=8")
        try:
            _put(data, key.split("."), yaml.safe_load(text))
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {override!r}: the value is not YAML") from error
    return data


def _put(data: dict[str, Any], keys: Sequence[str], value: object) -> None:
    *parents, last = keys
    for key in parents:
        child = data.setdefault(key, {})
        if not isinstance(child, dict):
            raise ConfigError(f"--set {'.'.join(keys)}: {key} is {child!r}, it has no keys below")
        data = child
    data[last] = value


def _first_sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    where = ".".join(str(part) for part in first["loc"])
    if isinstance(cause, SynthgenError | ValueError):
        return f"{where}: {cause}"
    if first["type"] == "extra_forbidden":
        return f"unknown key {where}"
    if first["type"] == "missing":
        return f"key {where} is missing"
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"{where}: {message}, got {first['input']!r}"
