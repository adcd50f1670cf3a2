"""Read a configuration: YAML, overrides, one-sentence errors."""

import os
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from synthgen.config.base import Section
from synthgen.config.components import either, modules_of_the_working_folder
from synthgen.config.faults import first_fault, place_of, value_at
from synthgen.config.priors import PRIORS, AnyPrior, PriorSection
from synthgen.config.run import RunConfig
from synthgen.config.yaml_text import (
    DEEPEST,
    FLOAT,
    Document,
    Place,
    Written,
    YamlError,
    read_document,
    read_yaml_file,
)
from synthgen.errors import ConfigError
from synthgen.foreign import LONGEST_VALUE, did_you_mean, excerpt, shown
from synthgen.redaction import find_secret, secret_sentence

AnySection = TypeVar("AnySection", bound=Section)
_T = TypeVar("_T")


_STRICT_RUN: Callable[[object], RunConfig] = partial(RunConfig.model_validate, strict=True)
_STRICT_EXPRESSIONS: Callable[[object], PriorSection] = partial(
    TypeAdapter(AnyPrior).validate_python, strict=True
)

_SWITCHES = {"yes": True, "on": True, "no": False, "off": False}
"""True and false as older YAML writes them."""


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a configuration file.

    Components that it names by a dotted path may lie in the working folder. Under `expressions` may
    stand the path of a file that holds this section alone; it is read as if it stood there.

    Args:
        path: the YAML file.
        overrides: `key.subkey=value`, the value as YAML, applied in order.

    It is taken for the user's own: components by dotted path are found in the working folder too.

    Raises:
        ConfigError: if the file cannot be read, is not YAML, or says what is not allowed.
    """
    document, by, folder = _read_mapping(Path(path)), excerpt(path), Path(path).parent
    with modules_of_the_working_folder():
        for override in overrides:
            key = override.partition("=")[0]
            if key.startswith("expressions."):
                _take_prior(document, by, folder)
            by = f"--set {shown(override)}" if key == "expressions" else by
            _apply(document, [override])
        _take_prior(document, by, folder)
        return _validate(_STRICT_RUN, document, excerpt(path), RunConfig)


def parse_config(data: object, where: str = "configuration") -> RunConfig:
    """Turn a mapping into a configuration.

    Raises:
        ConfigError: with one sentence on the first key that is not allowed.
    """
    return _validate(_STRICT_RUN, Document(data, {}), where, RunConfig)


def parse_document(document: Document, where: str) -> RunConfig:
    """Turn what a configuration file holds into a configuration.

    Raises:
        ConfigError: as `parse_config`.
    """
    return _validate(_STRICT_RUN, document, where, RunConfig)


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
    document = _apply(_read_mapping(Path(path)), overrides)
    found = _validate(section.model_validate, document, excerpt(path), section)
    _refuse_odd_numbers(found, document, excerpt(path))
    return found


def chosen_by(
    key: str,
    names: Collection[str],
    usual: str,
    path: str | Path,
    overrides: Sequence[str] = (),
) -> str:
    """Return which of several kinds a configuration file is, as one of its keys says.

    Args:
        key: the key.
        names: what may stand there.
        usual: the kind of a file without the key.
        path: the YAML file.
        overrides: as for `load_config`.

    Raises:
        ConfigError: as `load_config`, or if there is no such kind.
    """
    document = _apply(_read_mapping(Path(path)), overrides)
    data: Any = document.data
    found = data.get(key, usual)
    if not isinstance(found, str) or found not in names:
        by = _override_of(document, (key,)) or excerpt(path)
        must = f"it must be {either([repr(name) for name in names])}"
        said = did_you_mean(found, list(names), must) if isinstance(found, str) else must
        raise ConfigError(f"{by}: {key} is {shown(found)}; {said}")
    return found


def load_expressions(path: str | Path) -> PriorSection:
    """Read a file that holds the section `expressions` alone.

    Raises:
        ConfigError: as `load_config`.
    """
    with modules_of_the_working_folder():
        return _validate(_STRICT_EXPRESSIONS, _read_mapping(Path(path)), excerpt(path), AnyPrior)


def parse_expressions(data: object, where: str = "expressions") -> PriorSection:
    """Turn a mapping into the section `expressions`.

    Raises:
        ConfigError: as `parse_config`.
    """
    return _validate(_STRICT_EXPRESSIONS, Document(data, {}), where, AnyPrior)


def dump_config(config: RunConfig) -> str:
    """Write the resolved configuration as YAML."""
    return yaml.dump(
        config.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True
    )


# libyaml, which comes with PyYAML's wheels, writes fifty times as fast.
class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # pyright: ignore
    """Puts into quotes what `read_yaml` would take for a number, too."""


_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))
_Dumper.ignore_aliases = lambda *_: True  # pyright: ignore


def _read_mapping(path: Path) -> Document:
    document = read_yaml_file(path, "the configuration")
    if not isinstance(document.data, dict):
        kind = "nothing" if document.data is None else type(document.data).__name__
        raise ConfigError(f"{excerpt(path)} must hold a mapping of keys; it holds {kind}")
    return document


def _take_prior(document: Document, where: str, folder: Path) -> None:
    """Put the section that a file holds into the place of its path under `expressions`.

    Args:
        document: the configuration.
        where: start of a sentence about the path.
        folder: where the configuration lies; paths begin at the working folder, as all do.
    """
    data: Any = document.data
    path, written = data.get("expressions"), document.written.get(("expressions",))
    if not isinstance(path, str):
        return
    where = f"{where}: {f'line {written.line}: ' if written and written.line else ''}expressions"
    if not os.path.exists(path):
        if path in PRIORS.names():
            raise ConfigError(f"{where} is {path!r}, the name of a prior; write expressions: "
                              f"{{prior: {path}}}, with its keys")  # fmt: skip
        near = folder / path
        beside = f"; there is one beside the configuration, {excerpt(near)}" * os.path.exists(near)
        raise ConfigError(
            f"{where} is {excerpt(path)!r}, and there is no such file; it must be the section of a "
            f"prior or the path of a file that holds it{beside}"
        )
    try:
        found = read_yaml_file(Path(path), "the prior")
        section: Any = found.data
        if isinstance(section, dict) and "expressions" in section and "prior" not in section:
            raise ConfigError(
                f"{excerpt(path)} holds a whole configuration; it must hold the section "
                "expressions alone, as synthgen prior fit writes it"
            )
        _validate(_STRICT_EXPRESSIONS, found, excerpt(path), AnyPrior)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    _put(document, ("expressions",), found)


def _apply(document: Document, overrides: Sequence[str]) -> Document:
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise ConfigError(f"--set {shown(override)} must look like pipeline.batch_size=8")
        try:
            value = read_document(text)
        except YamlError as error:
            raise ConfigError(f"--set {shown(override)}: {error}") from error
        made = _put(document, tuple(key.split(".")), value)
        for place in [place for place in document.overrides if place[: len(made)] == made]:
            del document.overrides[place]
        document.overrides[made] = override
    return document


def _put(document: Document, keys: tuple[str, ...], value: Document) -> Place:
    """Put a value into a document; return the uppermost place that is new or another's."""
    name = excerpt(".".join(keys), LONGEST_VALUE)
    if len(keys) > DEEPEST:
        raise ConfigError(f"--set {name}: {len(keys)} keys deep; at most {DEEPEST} are read")
    data: Any = document.data
    *parents, last = keys
    made = keys
    for depth, key in enumerate(parents, start=1):
        if key not in data and made == keys:
            made = keys[:depth]
        child = data.setdefault(key, {})
        if not isinstance(child, dict):
            raise ConfigError(f"--set {name}: {excerpt(key, LONGEST_VALUE)} is {shown(child)}, "
                              "it has no keys below")  # fmt: skip
        data = child
    data[last] = value.data
    for place in [place for place in document.written if place[: len(keys)] == keys]:
        del document.written[place]
    for place, written in value.written.items():
        document.written[(*keys, *place)] = Written(0, written.text)
    return made


def _validate(validate: Callable[[object], _T], document: Document, where: str, kind: object) -> _T:
    if found := find_secret(document.data):
        key, secret = found
        raise ConfigError(f"{where}: {secret_sentence(key, secret)}")
    while True:
        try:
            return validate(document.data)
        except ValidationError as error:
            if not _take_as_written(error, document):
                fault = first_fault(error, document.data, document.written, kind)
                by = _override_of(document, fault.place) or where
                raise ConfigError(f"{by}: {fault.sentence}") from error


def _override_of(document: Document, place: Place) -> str | None:
    """Return the override that put what stands at a place; None where the file did."""
    for end in range(len(place), 0, -1):
        if place[:end] in document.overrides:
            return f"--set {excerpt(document.overrides[place[:end]], LONGEST_VALUE)}"
    return None


def _take_as_written(error: ValidationError, document: Document) -> bool:
    """Take scalars without quotes for what their keys want; return whether that changed any.

    Text is taken as it is written, be it a number, a date or `true`; `yes`, `no`, `on` and `off`
    are true and false where nothing else is allowed.
    """
    changed = False
    for entry in error.errors(include_url=False, include_context=False):
        place = place_of(entry, document.data)
        written = document.written.get(place)
        if written is None or written.text is None:
            continue
        value = value_at(document.data, place)
        if entry["type"] == "string_type" and value is not None and not isinstance(value, str):
            wanted: object = written.text
        elif entry["type"] == "bool_type" and written.text.lower() in _SWITCHES:
            wanted = _SWITCHES[written.text.lower()]
        else:
            continue
        value_at(document.data, place[:-1])[place[-1]] = wanted
        changed = True
    return changed


def _refuse_odd_numbers(section: Section, document: Document, where: str) -> None:
    """Refuse what pydantic takes for a number and YAML does not, such as 010 or 1_000."""
    for place, written in document.written.items():
        value = value_at(document.data, place)
        if written.text is None or not isinstance(value, str):
            continue
        if isinstance(value_at(section, place), int | float) and value.lower() not in _SWITCHES:
            line = f"line {written.line}: " if written.line else ""
            by = _override_of(document, place) or where
            raise ConfigError(
                f"{by}: {line}{'.'.join(map(str, place))} is {excerpt(value, LONGEST_VALUE)}; "
                "it must be a number, in plain decimal digits"
            )
