"""Secrets in texts: struck out wherever a text is shown, refused wherever one would be stored."""

import io
import re
import sys
from collections.abc import Mapping
from typing import TextIO

REDACTED = "***"
"""Mark in a text where a secret was."""

_NAMES = "token|secret|passw|pwd|credential|key|sig"

# The quantifiers are bounded, so that no text takes longer than its length allows.
_USER_AND_PASSWORD = re.compile(
    # A path that went through pathlib has lost a slash.
    r"(?<![A-Za-z0-9+.-])(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{1,30}):(?P<slashes>/{1,3})"
    r"(?:"
    r"(?P<user>[^\s/?#'\"]{0,2000})@"
    # A password may hold what should have been escaped; what follows a host's colon is a port.
    r"|[^\s/?#'\"@:\[]{0,200}:(?!\d{1,5}(?![^/?#\s'\",;)\]…]))"
    r"(?:[^\s'\"]{0,2000}@|[^\s'\"@/]{0,2000}…)"
    r")"
)
_SECRET_PARAMETER = re.compile(
    rf"(?P<name>[?&;][^=&;?\s'\"]{{0,40}}?(?:{_NAMES})[^=&;?\s'\"]{{0,40}}=)[^&;\s'\"#\\]+",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"\b(?P<kind>hf_(?=[A-Za-z0-9]{30})|gh[oprsu]_|github_pat_)\w{30,255}")
_HEADER = re.compile(r"(?P<name>\bauthorization\W{1,8}(?:bearer|basic)\s{1,3})[^\s'\"\\]+", re.I)

_SUSPECT = re.compile(r"[@=…]|hf_|gh[oprsu]_|github_pat_|authorization", re.IGNORECASE)
"""Without one of these, a text holds none of the above."""

_NAMED_CONTAINERS = frozenset({"abfs", "abfss", "wasb", "wasbs"})
"""Protocols whose URLs say `container@account`: no user."""

_URL = re.compile(r"\s*(?:[A-Za-z][A-Za-z0-9+.-]*::)*(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://")


def without_secrets(text: str) -> str:
    """Return a text with the users, passwords and signed parameters of its URLs struck out."""
    if _SUSPECT.search(text) is None:
        return text
    text = _USER_AND_PASSWORD.sub(_struck, text)
    text = _SECRET_PARAMETER.sub(rf"\g<name>{REDACTED}", text)
    text = _TOKEN.sub(rf"\g<kind>{REDACTED}", text)
    return _HEADER.sub(rf"\g<name>{REDACTED}", text)


def secret_in(text: str) -> str | None:
    """Return what may be shown of a value that holds a secret; None if it holds none."""
    if _SUSPECT.search(text) is None:
        return None
    url = _URL.match(text)
    # A URL by itself ends where the text ends, whatever its password holds.
    told = url is not None and _names_somebody(url["scheme"], text[url.end() :])
    if not told and without_secrets(text) == text:
        return None
    return f"{url['scheme']}://{REDACTED}" if url else REDACTED


def secret_sentence(where: str, shown: str) -> str:
    """Say that a value holds a secret, and where secrets belong.

    Args:
        where: the key or the argument.
        shown: what may be shown of its value.
    """
    return (
        f"{where} holds a user, a password or a token ({shown}), which would be stored and shown; "
        "leave it out, and give it in the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
        "for s3://, GOOGLE_APPLICATION_CREDENTIALS for gs://, HF_TOKEN for the Hub"
    )


def find_secret(data: object) -> tuple[str, str] | None:
    """Look for a secret in nested values.

    Returns:
        The dotted key of the first value that holds one, and what may be shown of it; None if
        there is none.
    """
    waiting: list[tuple[_Place, object]] = [(None, data)]
    seen: set[int] = set()
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, str):
            if shown := secret_in(value):
                return _dotted(place), shown
        elif isinstance(value, Mapping | list | tuple) and id(value) not in seen:
            seen.add(id(value))  # an anchor that is used often is one value
            entries = value.items() if isinstance(value, Mapping) else enumerate(value)
            for part, child in reversed(list(entries)):
                waiting.append(((place, part), child))
                if isinstance(part, str):
                    waiting.append(((place, part), part))
    return None


_Place = tuple["_Place", object] | None
"""A key: the place above it, and its own part."""


def _dotted(place: _Place) -> str:
    parts: list[str] = []
    while place is not None:
        place, part = place
        parts.append(without_secrets(str(part)))
    return ".".join(reversed(parts))


class GuardedStream(io.TextIOWrapper):
    """A terminal's stream that strikes secrets out of what is written to it."""

    def write(self, text: str, /) -> int:
        """Write a text without its secrets."""
        super().write(without_secrets(text))
        return len(text)

    def close(self) -> None:
        """Flush: what lies below belongs to the stream that was there before."""
        self.flush()


def guard_terminal() -> None:
    """Strike secrets out of all that this process prints: tracebacks and others' warnings too."""
    sys.stdout = _guarded(sys.stdout)
    sys.stderr = _guarded(sys.stderr)


def _guarded(stream: TextIO) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper) or isinstance(stream, GuardedStream):
        return stream
    return GuardedStream(
        stream.buffer,
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=True,
    )


def _struck(match: re.Match[str]) -> str:
    user = match["user"]
    if user is not None and ":" not in user and match["scheme"].lower() in _NAMED_CONTAINERS:
        return match[0]
    return f"{match['scheme']}:{match['slashes']}{REDACTED}@"


def _names_somebody(scheme: str, rest: str) -> bool:
    before, at, _ = rest.rpartition("@")
    host, colon, after = before.partition(":")
    if not at or "/" in host:
        return False
    if colon:
        return re.match(r"\d{1,5}(/|$)", after) is None
    return scheme.lower() not in _NAMED_CONTAINERS
