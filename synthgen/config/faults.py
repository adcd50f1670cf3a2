"""Faults of a configuration that pydantic finds, each in one sentence with its place."""

import re
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError

from synthgen.config.base import Section
from synthgen.config.components import UNKNOWN_NAME, ComponentField
from synthgen.config.yaml_text import Place, Written
from synthgen.errors import SynthgenError
from synthgen.foreign import LONGEST_VALUE, did_you_mean, excerpt, first_few, nearest, shown

_LONGEST_CAUSE = 600
"""Characters of what a check of our own says, the values that it shows included."""

_PLAIN = re.compile(r"[-+]?(0|[1-9][0-9]{0,29})(\.[0-9]+)?")
"""A number that nobody can read otherwise."""

_QUOTED = re.compile(r"'([^']*)'")
"""Each of the words that pydantic lists."""

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


class Fault(NamedTuple):
    """First fault of a configuration, at its key.

    Attributes:
        place: where it stands.
        sentence: where, the value, what is allowed.
    """

    place: Place
    sentence: str


def first_fault(
    error: ValidationError,
    data: object,
    written: Mapping[Place, Written] | None = None,
    kind: object = None,
) -> Fault:
    """Find what is wrong with the first key that is.

    Args:
        error: what pydantic found.
        data: the input that was validated.
        written: how the values stand in the text that they come from.
        kind: the type that the data was validated as, for the keys that exist.
    """
    place, entries = _first_wrong(error, data)
    found = (written or {}).get(place)
    unknown = entries[0]["type"] == "extra_forbidden"
    leaf = unknown or not isinstance(entries[0]["input"], Mapping | list)
    line = f"line {found.line}: " if found and found.line and leaf else ""
    keys = _instead(str(place[-1]), _keys_at(kind, data, place[:-1])) if unknown else ""
    return Fault(place, line + _sentence(_name(place), entries, found) + keys)


def _first_wrong(error: ValidationError, data: object) -> tuple[Place, list[Any]]:
    """Return the first place that is wrong and what pydantic says about it."""
    errors = error.errors(include_url=False)
    placed = [(place_of(entry, data), entry) for entry in errors]
    first = placed[0][0]
    # The members of a union report side by side; the one that looked deepest is the one meant.
    place = max((p for p, _ in placed if p[: len(first)] == first), key=len)
    entries = [entry for p, entry in placed if p == place]
    if entries[0]["type"] == "missing":
        for p, entry in placed:  # a key that is missing may stand there misspelt
            beside = entry["type"] == "extra_forbidden" and p[:-1] == place[:-1]
            if beside and nearest(str(p[-1]), [str(place[-1])]):
                return p, [entry]
    return place, entries


def _instead(word: str, keys: Sequence[str]) -> str:
    """Return the end of a sentence on an unknown key: the nearest one and those that exist."""
    if not keys:
        return ""
    begins = {key.partition("_")[0]: key for key in keys}
    near = nearest(word, keys) or begins.get(word) or begins.get(nearest(word, begins) or "")
    there = f"here are {first_few(keys, _MOST_KEYS)}"
    return f"; did you mean {near!r}? T{there}" if near else f"; t{there}"


def _keys_at(kind: Any, data: Any, place: Place) -> Sequence[str]:
    """Return the keys that the section at a place has; none where it cannot be told."""
    for part in place:
        found = _read_as(kind, data)
        keys = _keys_of(found, data)
        data = value_at(data, (part,))
        if keys is None:
            inner = [each for each in get_args(found) if each is not Ellipsis]
            kind = inner[-1] if inner else None
        else:
            kind = keys.get(str(part))
    return list(_keys_of(_read_as(kind, data), data) or ())


def _keys_of(found: Any, data: Any) -> Mapping[str, Any] | None:
    """Return key → what it is read as; None for what is no section."""
    if isinstance(found, type) and issubclass(found, Section):
        return found.allowed_keys(data)
    return found if isinstance(found, Mapping) else None


def _read_as(kind: Any, data: Any) -> Any:
    """Return the section, or the kind of container, that data is read as; None where unclear."""
    if get_origin(kind) is Annotated:
        kind, *more = get_args(kind)
        for each in more:
            if isinstance(each, ComponentField):
                return each.kind.section_in(data)
            if tag := getattr(each, "discriminator", None):
                return _tagged(get_args(kind), tag, data)
        return _read_as(kind, data)
    if get_origin(kind) in (Union, UnionType):
        members = [_read_as(each, data) for each in get_args(kind)]
        sections = [each for each in members if _keys_of(each, data) is not None]
        return sections[0] if len(sections) == 1 else None
    return kind


def _tagged(members: Sequence[Any], tag: Any, data: Any) -> Any:
    """Return the member of a union that data names by its tag; None where it names none.

    Args:
        members: those of the union.
        tag: the key that holds the tag, or what tells it from the data.
        data: what is read.
    """
    named = tag(data) if callable(tag) else value_at(data, (tag,))
    for member in members:
        found, *marks = get_args(member) if get_origin(member) is Annotated else (member,)
        tags = [mark.tag for mark in marks if isinstance(mark, Tag)]
        if not callable(tag):
            tags = get_args(found.model_fields[tag].annotation)
        if named in tags:
            return found
    return None


def value_at(data: Any, place: Place) -> Any:
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
        tags, tag = context["expected_tags"], context["tag"]
        must = did_you_mean(str(tag), _QUOTED.findall(tags), f"it must be {_either(tags)}")
        return f"{_tag_key(where, context)} is {shown(tag)}; {must}"
    if kind == "too_short":
        return f"{where} is empty; it must have an entry"
    if first["loc"][-1:] == ("[key]",):
        return f"key {where} must be {_allowed(first)}, not {shown(first['input'])}"
    allowed = " or ".join(dict.fromkeys(_allowed(entry) for entry in entries))
    text = found.text if found and found.text is not None else ""
    odd = "number" in allowed and text[:1].isdigit() and not _PLAIN.fullmatch(text)
    value = excerpt(text, LONGEST_VALUE) if odd else shown(first["input"])
    plainly = ", in plain decimal digits" if odd else ""
    words = _QUOTED.findall(" ".join(e["ctx"]["expected"] for e in entries if _is_word(e)))
    must = f"it must be {allowed}{plainly}"
    if isinstance(first["input"], str):
        must = did_you_mean(first["input"], words, must)
    return f"{where or 'it'} is {value}; {must}"


def _is_word(entry: Mapping[str, Any]) -> bool:
    return entry["type"] == "literal_error"


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
