"""One sentence for what pydantic finds wrong in a configuration."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from synthgen.errors import SynthgenError

_LONGEST_VALUE = 80
"""Characters of a value that a sentence shows at most."""

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


def first_sentence(error: ValidationError, data: object) -> str:
    """Say what is wrong with the first key that is: where, the value, what is allowed.

    Args:
        error: what pydantic found.
        data: the input that was validated.
    """
    errors = error.errors(include_url=False)
    placed = [(_place(entry["loc"], data, entry["type"]), entry) for entry in errors]
    first = placed[0][0]
    # The members of a union report side by side; the one that looked deepest is the one meant.
    place = max((p for p, _ in placed if p[: len(first)] == first), key=len)
    return _sentence(".".join(map(str, place)), [entry for p, entry in placed if p == place])


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


def _sentence(where: str, entries: Sequence[Mapping[str, Any]]) -> str:
    first = entries[0]
    kind, context = first["type"], first.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, SynthgenError | ValueError):
        return f"{where}: {cause}" if where else str(cause)
    if kind == "extra_forbidden":
        return f"unknown key {where}"
    if kind == "missing":
        return f"key {where} is missing"
    if kind == "union_tag_not_found":
        return f"key {_tag_key(where, context)} is missing"
    if kind == "union_tag_invalid":
        allowed = _either(context["expected_tags"])
        return f"{_tag_key(where, context)} is {context['tag']!r}; it must be {allowed}"
    if kind == "too_short":
        return f"{where} is empty; it must have an entry"
    if first["loc"][-1:] == ("[key]",):
        return f"key {where} must be text, not {first['input']!r}"
    allowed = list(dict.fromkeys(_allowed(entry) for entry in entries))
    return f"{where or 'it'} is {_short(first['input'])}; it must be {' or '.join(allowed)}"


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


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def _tag_key(where: str, context: Mapping[str, Any]) -> str:
    return f"{where}.{context['discriminator'].strip(chr(39))}".removeprefix(".")


def _either(tags: str) -> str:
    *others, last = tags.split(", ")
    return f"{', '.join(others)} or {last}" if others else last
