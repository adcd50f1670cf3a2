"""Joining the Ray cluster of a run, and cleaning up after local sessions whose driver was killed.

Ray keeps a folder of logs for each session. A driver that is killed takes most of its Ray along,
but not always, and not at once. Nothing is touched unless it is proved to be ours and dead: the
session's folder holds a file of this user that names the session and a driver, a process of this
machine which is gone, and its processes are of this user, of Ray, and name the session.
"""

import contextlib
import logging
import os
import shutil
import signal
import stat
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
from synthgen.config import RunConfig
from synthgen.dataset import layout
from synthgen.dataset.lease import Holder, parse_holder
from synthgen.errors import ConfigError
from synthgen.foreign import first_line

_log = logging.getLogger(__name__)

_SIGNATURE = "synthgen.json"
_DRIVER, _SESSION = "driver", "session"

_ARGUMENTS = 4
"""Arguments of a process among which the program of Ray stands that it runs."""


def take_over(session: Path) -> None:
    """Sign a session that this process has begun, and clean up those that died.

    The folder of the one that died last is kept, for its logs.

    Args:
        session: the folder of the session.
    """
    signature = {_SESSION: session.name, _DRIVER: Holder.here().to_json().decode()}
    (session / _SIGNATURE).write_bytes(layout.to_json(signature))
    dead = sorted(_dead_sessions(session.parent), key=lambda folder: folder.name)
    for folder in dead:
        _end_processes(folder.name)
    for folder in dead[:-1]:
        _delete(folder)


def _dead_sessions(root: Path) -> Iterator[Path]:
    for folder in root.glob("session_*"):
        driver = _driver(folder)
        if driver is not None and driver.is_another_here() and not driver.is_alive():
            yield folder


def _driver(folder: Path) -> Holder | None:
    """Return who began a session; None if that was not this program of this user, here."""
    file = folder / _SIGNATURE
    try:
        kinds = [stat.S_ISDIR(folder.lstat().st_mode), stat.S_ISREG(file.lstat().st_mode)]
        if not all(kinds) or {folder.lstat().st_uid, file.lstat().st_uid} != {os.getuid()}:
            return None
        signature = layout.from_json(file.read_bytes())
        driver = parse_holder(signature[_DRIVER].encode())
    except (FileNotFoundError, PermissionError):
        return None
    except layout.NOT_WHOLE:
        return None
    if driver is None or not folder.name.endswith(f"_{driver.pid}"):
        return None
    return driver if signature[_SESSION] == folder.name else None


def _end_processes(session: str) -> None:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == os.getuid() and _serves(process, session):
                os.kill(int(process.name), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has ended meanwhile, or is none of ours


def _serves(process: Path, session: str) -> bool:
    """Tell whether a process is one of Ray's own, for a session."""
    arguments = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    package = str(Path(ray.__file__).parent) + os.sep
    runs_ray = any(argument.startswith(package) for argument in arguments[:_ARGUMENTS])
    return runs_ray and any(session in argument for argument in arguments)


def _delete(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        _log.warning("the old Ray session %s cannot be deleted: %s", folder, error.strerror)


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
