"""One sentence for what pydantic finds wrong in a configuration."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from synthgen.config.components import UNKNOWN_NAME
from synthgen.config.yaml_text import Place, Written
from synthgen.errors import SynthgenError
from synthgen.foreign import LONGEST_VALUE, excerpt, shown

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


def first_sentence(
    error: ValidationError, data: object, written: Mapping[Place, Written] | None = None
) -> str:
    """Say what is wrong with the first key that is: where, the value, what is allowed.

    Args:
        error: what pydantic found.
        data: the input that was validated.
        written: how the values stand in the text that they come from.
    """
    errors = error.errors(include_url=False)
    placed = [(place_of(entry, data), entry) for entry in errors]
    first = placed[0][0]
    # The members of a union report side by side; the one that looked deepest is the one meant.
    place = max((p for p, _ in placed if p[: len(first)] == first), key=len)
    entries = [entry for p, entry in placed if p == place]
    found = (written or {}).get(place)
    leaf = entries[0]["type"] == "extra_forbidden" or not isinstance(
        entries[0]["input"], Mapping | list
    )
    line = f"line {found.line}: " if found and found.line and leaf else ""
    return line + _sentence(_name(place), entries, found)


def _name(place: Place) -> str:
    return ".".join(excerpt(part, LONGEST_VALUE) for part in place)


def place_of(entry: Mapping[str, Any], data: object) -> Place:
    """Return the keys and list positions that lead to what one of pydantic's errors is about."""
    return _place(entry["loc"], data, entry["type"])


def _place(location: Sequence[str | int], data: object, kind: str) -> tuple[str | int, ...]:
    """Keep of a location what is a key of the input; the rest names members of unions."""
    place: list[str | int] = []
    last, tagged = len(location) - 1, None
    for depth, part in enumerate(location):
        if data is not tagged and isinstance(data, Mapping) and data.get("prior") == part:
            tagged = data  # the name of a prior, which may be that of a key of it too
            continue
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
    return f"{where or 'it'} is {value}; it must be {allowed}{plainly}"


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
