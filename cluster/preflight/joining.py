"""Join the cluster that is to be looked at, if there is one."""

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Iterator

from synthgen.errors import ConfigError

_SECONDS = 5.0
"""Patience with a port [s]."""


@contextlib.contextmanager
def joined(address: str | None) -> Iterator[bool]:
    """Join a Ray cluster while the block runs; yield whether there is one.

    Args:
        address: of the cluster; None: what `RAY_ADDRESS` says, as inside a job.

    Raises:
        ConfigError: if no cluster answers, or it asks for a token.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        yield True
        return
    if address is None or address == "local":
        yield False
        return
    _check_answers(address)
    import ray
    from ray.exceptions import AuthenticationError

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise ConfigError(f"no Ray cluster answers at {address!r}") from error
    except AuthenticationError as error:
        raise ConfigError(
            f"the Ray cluster at {address!r} asks for a token; set RAY_AUTH_MODE=token and "
            "RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH"
        ) from error
    try:
        yield True
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Refuse an address at which nobody listens: Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if not (colon and port.isdecimal()):
        return
    try:
        socket.create_connection((host, int(port)), timeout=_SECONDS).close()
    except OSError as error:
        raise ConfigError(f"no Ray cluster answers at {address!r}") from error
