"""Read a configuration: YAML, overrides, one-sentence errors."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from synthgen.config.base import Section
from synthgen.config.components import UNKNOWN_NAME, ComponentField, modules_of_the_working_folder
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
from synthgen.errors import ConfigError, SynthgenError
from synthgen.foreign import LONGEST_VALUE, excerpt, first_few, nearest, shown
from synthgen.redaction import find_secret, secret_sentence

_LONGEST_CAUSE = 600
"""Characters of what a check of our own says, the values that it shows included."""

_PLAIN = re.compile(r"[-+]?(0|[1-9][0-9]{0,29})(\.[0-9]+)?")
"""A number that nobody can read otherwise."""

_NOUNS = {
    "bool": "true or false",
    "dict": "a mapping",
    "float": "a number",
    "finite_number": "a finite number",
    "int": "a whole number",
    "list": "a list",
    "model_attributes": "a mapping",
    "model": "a mapping",
    "none_required": "null",
    "string": "text",
}
"""Start of an error's type → what is allowed."""

_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("above", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("below", "lt"),
    "multiple_of": ("a multiple of", "multiple_of"),
}
"""Type of an error → words and the key of the bound."""


_MOST_KEYS = 12
"""Keys that a sentence lists at most."""


def first_sentence(
    error: ValidationError,
    data: object,
    written: Mapping[Place, Written] | None = None,
    kind: object = None,
) -> str:
    """Say what is wrong with the first key that is: where, the value, what is allowed.

    Args:
        error: what pydantic found.
        data: the input that was validated.
        written: how the values stand in the text that they come from.
        kind: the type that the data was validated as, for the keys that exist.
    """
    place, entries = _first_fault(error, data)
    found = (written or {}).get(place)
    leaf = entries[0]["type"] == "extra_forbidden" or not isinstance(
        entries[0]["input"], Mapping | list
    )
    line = f"line {found.line}: " if found and found.line and leaf else ""
    keys = ""
    if entries[0]["type"] == "extra_forbidden":
        keys = _instead(str(place[-1]), _keys_at(kind, data, place[:-1]))
    return line + _sentence(_name(place), entries, found) + keys


def _first_fault(error: ValidationError, data: object) -> tuple[Place, list[Any]]:
    """Return the first place that is wrong and what pydantic says about it."""
    errors = error.errors(include_url=False)
    placed = [(place_of(entry, data), entry) for entry in errors]
    first = placed[0][0]
    # The members of a union report side by side; the one that looked deepest is the one meant.
    place = max((p for p, _ in placed if p[: len(first)] == first), key=len)
    return place, [entry for p, entry in placed if p == place]


def _instead(word: str, keys: Sequence[str]) -> str:
    """Return the end of a sentence on an unknown key: the nearest one and those that exist."""
    if not keys:
        return ""
    begins = {key.partition("_")[0]: key for key in keys}
    near = nearest(word, keys) or begins.get(word) or begins.get(nearest(word, begins) or "")
    there = f"here are {first_few(keys, _MOST_KEYS)}"
    return f"; did you mean {near!r}? T{there}" if near else f"; t{there}"


def _keys_at(kind: Any, data: Any, place: Place) -> list[str]:
    """Return the keys that the section at a place has; none where it cannot be told."""
    for part in (*place, None):
        kind = _section_of(kind, data)
        if part is None:
            break
        data = _at(data, (part,))
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(part))
            kind = None if field is None else Annotated[field.annotation, None, *field.metadata]
        else:
            inner = [each for each in get_args(kind) if each is not Ellipsis]
            kind = inner[-1] if inner else None
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return []
    # Keys of a section that stands beside a weight are written beside it, too.
    if "section" in kind.model_fields:
        return []
    return [field.alias or name for name, field in kind.model_fields.items()]


def _section_of(kind: Any, data: Any) -> Any:
    """Return the section, or the kind of container, that data is read as; None where unclear."""
    if get_origin(kind) is Annotated:
        kind, *more = get_args(kind)
        fields = [each for each in more if isinstance(each, ComponentField)]
        if fields:
            key = fields[0].kind.key
            try:
                return fields[0].kind.section(str(_at(data, (key,))))
            except ValueError:
                return None
        return _section_of(kind, data)
    if get_origin(kind) in (Union, UnionType):
        members = [_section_of(each, data) for each in get_args(kind)]
        models = [
            each for each in members if isinstance(each, type) and hasattr(each, "model_fields")
        ]
        return models[0] if len(models) == 1 else None
    return kind


def _name(place: Place) -> str:
    return ".".join(excerpt(part, LONGEST_VALUE) for part in place)


def place_of(entry: Mapping[str, Any], data: object) -> Place:
    """Return the keys and list positions that lead to what one of pydantic's errors is about."""
    return _place(entry["loc"], data, entry["type"])


def _place(location: Sequence[str | int], data: object, kind: str) -> tuple[str | int, ...]:
    """Keep of a location what is a key of the input; the rest names members of unions."""
    place: list[str | int] = []
    last = len(location) - 1
    for depth, part in enumerate(location):
        if _holds(data, part):
            data = data[part]  # pyright: ignore[reportIndexIssue]
        elif not (kind == "missing" and depth == last):
            continue
        place.append(part)
    return tuple(place)


def _holds(data: object, part: str | int) -> bool:
    if isinstance(data, Mapping):
        return part in data
    return isinstance(data, list) and isinstance(part, int) and part < len(data)


def _sentence(where: str, entries: Sequence[Mapping[str, Any]], found: Written | None) -> str:
    first = entries[0]
    kind, context = first["type"], first.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, SynthgenError | ValueError):
        said = excerpt(cause, _LONGEST_CAUSE)
        return f"{where}: {said}" if where else said
    if kind == UNKNOWN_NAME:
        return f"{where} {context['said']}"
    if kind == "extra_forbidden":
        return f"unknown key {where}"
    if kind == "missing":
        return f"key {where} is missing"
    if kind == "union_tag_not_found":
        return f"key {_tag_key(where, context)} is missing"
    if kind == "union_tag_invalid":
        allowed = _either(context["expected_tags"])
        return f"{_tag_key(where, context)} is {shown(context['tag'])}; it must be {allowed}"
    if kind == "too_short":
        return f"{where} is empty; it must have an entry"
    if first["loc"][-1:] == ("[key]",):
        return f"key {where} must be text, not {shown(first['input'])}"
    allowed = " or ".join(dict.fromkeys(_allowed(entry) for entry in entries))
    text = found.text if found and found.text is not None else ""
    odd = "number" in allowed and text[:1].isdigit() and not _PLAIN.fullmatch(text)
    value = excerpt(text, LONGEST_VALUE) if odd else shown(first["input"])
    plainly = ", in plain decimal digits" if odd else ""
    near = _near_value(first["input"], entries)
    must = f"did you mean {near!r}? It must be" if near else "it must be"
    return f"{where or 'it'} is {value}; {must} {allowed}{plainly}"


def _near_value(value: object, entries: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the word of those allowed that is likely meant; None where none is near."""
    if not isinstance(value, str):
        return None
    words = [e["ctx"]["expected"] for e in entries if e["type"] == "literal_error"]
    return nearest(value, re.findall(r"'([^']*)'", " ".join(words)))


def _allowed(entry: Mapping[str, Any]) -> str:
    kind, context = entry["type"], entry.get("ctx", {})
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return f"{words} {context[key]:g}"
    if kind == "literal_error":
        return context["expected"]
    if kind == "string_too_short":
        return "text that is not empty"
    if kind == "string_too_long":
        return f"of at most {context['max_length']} characters"
    if kind == "string_pattern_mismatch":
        return f"text that matches {context['pattern']}"
    for start, noun in _NOUNS.items():
        if kind.startswith(start):
            return noun
    return entry["msg"].removeprefix("Input should be ")


def _tag_key(where: str, context: Mapping[str, Any]) -> str:
    return f"{where}.{context['discriminator'].strip(chr(39))}".removeprefix(".")


def _either(tags: str) -> str:
    *others, last = tags.split(", ")
    return f"{', '.join(others)} or {last}" if others else last


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
                said = first_sentence(error, document.data, document.written, kind)
                place, _ = _first_fault(error, document.data)
                by = _override_of(document, place) or where
                raise ConfigError(f"{by}: {said}") from error


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
        value = _at(document.data, place)
        if entry["type"] == "string_type" and value is not None and not isinstance(value, str):
            wanted: object = written.text
        elif entry["type"] == "bool_type" and written.text.lower() in _SWITCHES:
            wanted = _SWITCHES[written.text.lower()]
        else:
            continue
        _at(document.data, place[:-1])[place[-1]] = wanted
        changed = True
    return changed


def _refuse_odd_numbers(section: Section, document: Document, where: str) -> None:
    """Refuse what pydantic takes for a number and YAML does not, such as 010 or 1_000."""
    for place, written in document.written.items():
        value = _at(document.data, place)
        if written.text is None or not isinstance(value, str):
            continue
        if isinstance(_at(section, place), int | float) and value.lower() not in _SWITCHES:
            line = f"line {written.line}: " if written.line else ""
            raise ConfigError(
                f"{where}: {line}{'.'.join(map(str, place))} is {excerpt(value, LONGEST_VALUE)}; "
                "it must be a number, in plain decimal digits"
            )


def _at(data: Any, place: Place) -> Any:
    """Return what stands at a place of data or of a section; None where nothing does."""
    for part in place:
        if isinstance(data, BaseModel):
            data = getattr(data, str(part), None)
        elif isinstance(data, Mapping):
            data = data.get(part)
        elif isinstance(data, list | tuple) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return None
    return data
