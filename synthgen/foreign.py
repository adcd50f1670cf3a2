"""Words and files from outside, within bounds: what others wrote may be long, secret or no file."""

import difflib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice, takewhile
from pathlib import Path
from typing import TypeVar

from synthgen.errors import SynthgenError
from synthgen.redaction import without_secrets

_T = TypeVar("_T")

LONGEST_EXCERPT = 300
"""Characters of foreign text that a sentence shows at most."""

LONGEST_VALUE = 80
"""Characters of a value that a sentence shows at most."""

_LONGEST_INTEGER = 1000
"""Bits of a whole number that is written in digits; Python refuses some thousand digits."""

_READ_AT_MOST = 100_000
"""Characters of a foreign text that are looked at at all."""


def excerpt(text: object, limit: int = LONGEST_EXCERPT) -> str:
    """Return the start of a foreign text as one line: at most `limit` characters, no secrets.

    Characters that no terminal or file can take (control characters, lone surrogates) are escaped.
    """
    line = " ".join(str(text)[:_READ_AT_MOST].split())
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    shown = without_secrets(shown)
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def printable(text: str) -> str:
    """Return a text of any lines with everything else that no terminal can take escaped."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode()
        for c in text[:_READ_AT_MOST]
    )


def shown(value: object, limit: int = LONGEST_VALUE) -> str:
    """Return the start of a value as Python writes it; a large one is never rendered whole."""
    text = repr(_head(value, [limit]))
    text = without_secrets(text)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def listed(values: Iterable[object], most: int = 20) -> str:
    """Return the first of some values as Python writes them, with commas between."""
    first = list(islice(values, most + 1))
    return ", ".join([shown(value) for value in first[:most]] + ["…"] * (len(first) > most))


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return `1 identity` or `2 identities`; without a word for many, that for one with an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that another one is likely meant for; None where none is near."""
    spelled = {other.lower(): other for other in known}
    near = difflib.get_close_matches(word.lower(), spelled, n=1)
    return spelled[near[0]] if near and spelled[near[0]] != word else None


def did_you_mean(word: str, known: Iterable[str], rest: str) -> str:
    """Return `did you mean 'beard'? It must be …`, or the rest alone where no known word is near.

    Args:
        word: what is written.
        known: what may stand there.
        rest: what else is said, such as "it must be …".
    """
    near = nearest(word, known)
    return rest if near is None else f"did you mean {near!r}? {rest[:1].upper()}{rest[1:]}"


def _head(value: object, left: list[int]) -> object:
    """Return what a value begins with, at most `left[0]` values of it."""
    left[0] -= 1
    if isinstance(value, str | bytes):
        return value[: LONGEST_EXCERPT + 1]
    if isinstance(value, int) and value.bit_length() > _LONGEST_INTEGER:
        return _Digits(f"a number of {value.bit_length():,} bits")
    if isinstance(value, Mapping):
        return {_head(k, left): _head(v, left) for k, v in _while(value.items(), left)}
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(_head(item, left) for item in _while(value, left))  # pyright: ignore
    return value


def _while(items: Iterable[_T], left: list[int]) -> Iterator[_T]:
    return takewhile(lambda _: left[0] > 0, items)


class _Digits(str):
    """Words in a value's place; no quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def first_line(error: BaseException, limit: int = LONGEST_EXCERPT) -> str:
    """Return the first line that another library's error says, without its full stop.

    An error that says nothing is called by its type.
    """
    lines = str(error)[:_READ_AT_MOST].strip().splitlines()
    return excerpt(lines[0].rstrip("."), limit) if lines else type(error).__name__


def first_few(texts: Sequence[str], most: int, separator: str = ", ", end: str = " and ") -> str:
    """Join the first texts, and say how many more there are.

    Args:
        texts: all of them.
        most: how many are shown.
        separator: between two of them.
        end: before the number of the others.
    """
    more = len(texts) - most
    return separator.join(texts[:most]) + (f"{end}{more} more" if more > 0 else "")


@contextmanager
def reading(path: object, error: type[SynthgenError]) -> Iterator[None]:
    """Turn whatever goes wrong while a foreign file is read into one sentence.

    Readers of other libraries fail in ways that nobody lists: a torn file may give any exception.

    Args:
        path: the file, for the sentence.
        error: the class that is raised.

    Raises:
        error: with what the reader said; errors of our own stay as they are.
    """
    try:
        yield
    except SynthgenError:
        raise
    except Exception as cause:
        raise error(f"{excerpt(path)} cannot be read: {first_line(cause)}") from cause


def regular_file(path: str | Path, what: str, error: type[SynthgenError], largest: int = 0) -> int:
    """Refuse what is no regular file before it is opened: opening a pipe waits for ever.

    Args:
        path: the file.
        what: what the sentence calls it, such as "the store".
        error: the class that is raised.
        largest: bytes that it may have at most; 0: any number.

    Returns:
        Its size [bytes].

    Raises:
        error: if it is missing, no regular file, cannot be looked at, or is larger.
    """
    shown = excerpt(path)
    try:
        found = os.stat(path)
    except FileNotFoundError as cause:
        raise error(f"{what} {shown} does not exist") from cause
    except (OSError, ValueError) as cause:
        reason = getattr(cause, "strerror", None) or first_line(cause)
        raise error(f"{what} {shown} cannot be read: {reason}") from cause
    if not stat.S_ISREG(found.st_mode):
        raise error(f"{what} {shown} is {_kind(found.st_mode)}; it must be a regular file")
    if largest and found.st_size > largest:
        raise error(
            f"{what} {shown} has {found.st_size:,} bytes; at most {largest:,} are read, "
            "so it is hardly what it is taken for"
        )
    return found.st_size


def _kind(mode: int) -> str:
    kinds = {
        stat.S_ISDIR: "a folder",
        stat.S_ISFIFO: "a named pipe",
        stat.S_ISSOCK: "a socket",
        stat.S_ISCHR: "a device",
        stat.S_ISBLK: "a device",
    }
    return next((kind for test, kind in kinds.items() if test(mode)), "no file")
