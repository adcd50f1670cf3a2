"""Join the Ray cluster of a run."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import AuthenticationError

from cluster.addresses import (
    LOCAL,
    Address,
    check_answers,
    meant,
    no_address,
    no_answer,
    telling_of_silence,
)
from cluster.sessions import take_over
from synthgen.config import RunConfig
from synthgen.errors import ConfigError
from synthgen.foreign import first_line


def connect(config: RunConfig) -> bool:
    """Join the cluster that is meant; return whether this process has to leave it again.

    Raises:
        ConfigError: if no cluster answers at the address.
    """
    if ray.is_initialized():
        return False
    # A job's driver finds its cluster in RAY_ADDRESS. Without either, a local Ray of our own:
    # ray.init() without an address may attach to somebody else's cluster.
    join(meant(config.cluster.address))
    return True


def join(address: Address) -> None:
    """Join a cluster, or start a Ray of this machine's own.

    Raises:
        ConfigError: if no cluster answers there, it asks for a token, or it is no address.
    """
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address.text == LOCAL:
        with _own_signals():
            begun: Any = ray.init(address=LOCAL, include_dashboard=False, **options)
        take_over(Path(begun.address_info["session_dir"]))
        return
    with telling_of_silence(f"the Ray cluster at {address}", address.instead), _own_signals():
        check_answers(address)
        try:
            ray.init(address=address.text, **options)
        except ConnectionError as error:
            raise ConfigError(no_answer(address, error)) from error
        except ValueError as error:
            raise ConfigError(no_address(address, first_line(error))) from error
        except AuthenticationError as error:
            raise ConfigError(
                f"the Ray cluster at {address} asks for a token; set RAY_AUTH_MODE=token and "
                "RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH"
            ) from error


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handler of SIGTERM: Ray puts some in its place that print a stack and leave all."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
