"""Join the cluster that is to be looked at, if there is one."""

import contextlib
import os
import sys
from collections.abc import Iterator

from synthgen.errors import ConfigError


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
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except ConnectionError as error:
        raise ConfigError(f"no Ray cluster answers at {address!r}") from error
    except ray.exceptions.AuthenticationError as error:
        raise ConfigError(
            f"the Ray cluster at {address!r} asks for a token; set RAY_AUTH_MODE=token and "
            "RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH"
        ) from error
    try:
        yield True
    finally:
        ray.shutdown()
