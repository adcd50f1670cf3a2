"""The Ray cluster that is meant, and whether anybody answers there; knows no Ray.

Ray itself tries an address for minutes without a word.
"""

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from synthgen.errors import ConfigError
from synthgen.foreign import excerpt, first_line

_log = logging.getLogger(__name__)

LOCAL = "local"
"""Address of a Ray of this machine's own, which no environment variable overrides."""

PATIENCE = 30.0
"""Time for which an address is tried [s]."""

_ENVIRONMENT = "RAY_ADDRESS in the environment"

_SILENCE = 3.0
"""Time after which the user is told what is waited for [s]."""

# HTTP/2's opening, and a frame of settings; a server of gRPC, as Ray's is, answers with its own.
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_FRAME, _SETTINGS = 9, 4
"""Bytes of a frame's head, and the type of a frame of settings, which stands in its fourth byte."""


@dataclass(frozen=True, slots=True)
class Address:
    """The place at which a Ray cluster is looked for.

    Attributes:
        text: `local`, `auto`, `HOST:PORT` or `ray://HOST:PORT`.
        source: what says so.
    """

    text: str
    source: str

    def __str__(self) -> str:
        return f"{excerpt(self.text)!r} ({self.source})"

    @property
    def instead(self) -> str:
        """The way to use a Ray of this machine's own instead, in words."""
        unset = "unset RAY_ADDRESS, or " if self.source == _ENVIRONMENT else ""
        return f"for a Ray of this machine's own {unset}add --set cluster.address=local"


def meant(asked: str | None, source: str = "cluster.address") -> Address:
    """Return which cluster is meant.

    Args:
        asked: what the user asks for; None: what `RAY_ADDRESS` says, as inside a job, else a Ray of
            this machine's own. `auto` is what `RAY_ADDRESS` says, too, where it says anything: to
            Ray it comes first.
        source: what asks for it.
    """
    environment = os.environ.get("RAY_ADDRESS")
    if environment and (not asked or asked == "auto"):
        return Address(environment, _ENVIRONMENT)
    return Address(asked or LOCAL, source)


@contextlib.contextmanager
def telling_of_silence(whom: str, instead: str) -> Iterator[None]:
    """Say whom this process waits for, if the block takes long."""
    text = f"no answer yet from {whom}, which is tried for {PATIENCE:.0f} s; {instead}"
    timer = threading.Timer(_SILENCE, lambda: _log.warning(text, extra={"event": "ray_waiting"}))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def check_answers(address: Address) -> None:
    """Refuse an address at which no Ray answers, after `PATIENCE` seconds at most.

    Raises:
        ConfigError: if it is a URL, nobody listens there, or what does is silent or no Ray.
    """
    host, colon, port = address.text.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdecimal() and 0 < int(port) < 2**16):
        return  # `auto` and the like, and what Ray refuses itself
    if "/" in host:
        raise ConfigError(no_address(address, "it is a URL"))
    deadline = time.monotonic() + PATIENCE
    try:
        with socket.create_connection((host.strip("[]"), int(port)), PATIENCE) as connection:
            # Behind TLS, which Ray's variable asks for, listening must be enough.
            if os.environ.get("RAY_USE_TLS", "0").lower() in ("0", "false", ""):
                _check_speaks(connection, deadline)
    except (OSError, UnicodeError) as error:
        raise ConfigError(no_answer(address, error)) from error


def no_address(address: Address, why: str) -> str:
    """Say that an address is none."""
    return (
        f"{address} is no address of a Ray cluster ({why}); it must be 'auto', 'local' or such as "
        "head:6379"
    )


def no_answer(address: Address, error: Exception) -> str:
    """Say that no cluster answers at an address."""
    return f"no Ray cluster answers at {address}: {first_line(error)}; {address.instead}"


def _check_speaks(connection: socket.socket, deadline: float) -> None:
    connection.sendall(_HELLO)
    answer = b""
    while len(answer) < _FRAME:
        connection.settimeout(max(deadline - time.monotonic(), 0.01))
        piece = connection.recv(_FRAME - len(answer))
        if not piece:
            raise ConnectionError("it hangs up")
        answer += piece
    if answer[3] != _SETTINGS:
        raise ConnectionError("what listens there is no Ray")
