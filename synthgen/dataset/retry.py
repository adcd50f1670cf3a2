"""Retries while a store fails for a while; an error at once where another try will not help."""

import errno
import logging
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from synthgen.foreign import excerpt

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
"""Bounds of the pause between two attempts [s]; it doubles from one to the next."""

_PASSING_NAMES = (
    *("EAGAIN", "EBUSY", "EINTR", "EIO", "EPIPE", "EREMOTEIO", "ESTALE", "ETIMEDOUT"),
    *("ECONNABORTED", "ECONNREFUSED", "ECONNRESET", "ENOTCONN", "ESHUTDOWN"),
    *("EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETRESET", "ENETUNREACH"),
)
_PASSING = frozenset(getattr(errno, name) for name in _PASSING_NAMES if hasattr(errno, name))
"""Errors of a disk or a file server while it is away. A full disk is not among them."""

_PASSING_CLASSES = frozenset(
    {
        "aiohttp.client_exceptions.ClientConnectionError",
        "aiohttp.client_exceptions.ClientPayloadError",
        "botocore.exceptions.ConnectionError",
        "botocore.exceptions.HTTPClientError",
        "botocore.parsers.ResponseParserError",
        "gcsfs.retry.ChecksumError",
        "requests.exceptions.ChunkedEncodingError",
        "requests.exceptions.ConnectionError",
        "requests.exceptions.Timeout",
    }
)
"""Named, not imported: the packages of object stores are optional."""

_STORE_PACKAGES = frozenset(
    {
        "aiobotocore",
        "aiohttp",
        "botocore",
        "gcsfs",
        "google",
        "httpx",
        "httpx2",
        "huggingface_hub",
        "requests",
        "s3fs",
    }
)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Time during which a call to a store is tried again; can be pickled.

    Attributes:
        seconds: from the first failure to the last attempt [s]; 0 tries once.
        sleep: waits for some seconds.
        clock: tells seconds that never go back.
    """

    seconds: float = 0.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def call(self, what: str, attempt: Callable[[], _T]) -> _T:
        """Return what an attempt returns, trying again while the store is away.

        Args:
            what: the call in words, such as `write data/train-00003.parquet`.
            attempt: the call; its second time must do what its first has not.

        Raises:
            Exception: what the attempt raises when it will not pass, or has not passed in time.
        """
        until: float | None = None
        for number in count():
            try:
                return attempt()
            except Exception as error:
                now = self.clock()
                until = now + self.seconds if until is None else until
                if not is_passing(error) or now >= until:
                    raise
                self._report(number, what, error)
                self.sleep(min(pause(what, number), until - now))
        raise AssertionError  # pragma: no cover - the loop has no other end

    def _report(self, number: int, what: str, error: Exception) -> None:
        text = "cannot %s now (%s); trying again for up to %g s"
        facts = {"event": "storage_retry", "file": what.rpartition(" ")[2], "why": cause(error)}
        if number == 0:
            _log.warning(text, what, cause(error), self.seconds, extra=facts)


def pause(what: str, number: int) -> float:
    """Return the pause after the attempt of a number, from 0 [s].

    It doubles, and a half of it depends on the call: so many actors do not come back at once, and
    yet it is the same each time.
    """
    longest = min(_FIRST_PAUSE * 2**number, _LONGEST_PAUSE)
    return longest * (0.5 + zlib.crc32(f"{what} {number}".encode()) / 2**33)


def is_passing(error: BaseException) -> bool:
    """Tell whether an error of a store may pass by itself."""
    if isinstance(error, (ConnectionError, TimeoutError)) or getattr(error, "retryable", False):
        return True
    if isinstance(error, OSError) and error.errno in _PASSING:
        return True
    if _names(error) & _PASSING_CLASSES:
        return True
    return is_of_store(error) and _is_passing_status(_status(error))


def is_of_store(error: BaseException) -> bool:
    """Tell whether an error comes from a store, not from a defect of the program."""
    package = type(error).__module__.partition(".")[0]
    return isinstance(error, (OSError, NotImplementedError)) or package in _STORE_PACKAGES


def cause(error: BaseException) -> str:
    """Say in a few words, on one line, why a store failed."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    text = excerpt(said)
    return text[0].lower() + text[1:]


def _names(error: BaseException) -> set[str]:
    return {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}


def _status(error: BaseException) -> int | None:
    """Return the HTTP status that an error of a store carries; gcsfs gives it as text too."""
    said = str(getattr(error, "status", None) or getattr(error, "code", None))
    return int(said) if said.isdigit() else None


def _is_passing_status(status: int | None) -> bool:
    return status is not None and (status >= 500 or status in (408, 429))
