"""Read a configuration: YAML, overrides, one-sentence errors."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from synthgen.config.base import Section
from synthgen.config.expressions import ExpressionsConfig
from synthgen.config.messages import first_sentence
from synthgen.config.run import RunConfig
from synthgen.config.yaml_text import read_yaml, yaml_fault
from synthgen.errors import ConfigError

AnySection = TypeVar("AnySection", bound=Section)
_T = TypeVar("_T")


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
    return _validate(partial(RunConfig.model_validate, strict=True), data, where)


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
    return _validate(section.model_validate, data, str(path))


def load_expressions(path: str | Path) -> ExpressionsConfig:
    """Read a file that holds the section `expressions` alone.

    Raises:
        ConfigError: as `load_config`.
    """
    return parse_expressions(_read_mapping(Path(path)), where=str(path))


def parse_expressions(data: object, where: str = "expressions") -> ExpressionsConfig:
    """Turn a mapping into the section `expressions`.

    Raises:
        ConfigError: as `parse_config`.
    """
    adapter = TypeAdapter(ExpressionsConfig)
    return _validate(partial(adapter.validate_python, strict=True), data, where)


def dump_config(config: RunConfig) -> str:
    """Write the resolved configuration as YAML."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        data = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {yaml_fault(error)}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold a mapping of keys; it holds {type(data).__name__}")
    return data


def _apply(data: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise ConfigError(f"--set {override!r} must look like pipeline.batch_size=8")
        try:
            _put(data, key.split("."), read_yaml(text))
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


def _validate(validate: Callable[[object], _T], data: object, where: str) -> _T:
    try:
        return validate(data)
    except ValidationError as error:
        raise ConfigError(f"{where}: {first_sentence(error, data)}") from error
