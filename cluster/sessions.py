"""Local Ray sessions that this program began: what a killed driver left is cleaned by the next.

Ray keeps a folder of logs for each session. A driver that is killed takes most of its Ray along,
but not always, and not at once. Nothing is touched unless it is proved to be ours and dead: the
session's folder holds a file of this user that names the session and a driver, a process of this
machine which is gone, and its processes are of this user, of Ray, and name the session.
"""

import logging
import os
import shutil
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import ray

from synthgen.dataset import json_files
from synthgen.dataset.holder import Holder, parse_holder

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
    (session / _SIGNATURE).write_bytes(json_files.dump(signature))
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
        signature = json_files.load(file.read_bytes())
        driver = parse_holder(signature[_DRIVER].encode())
    except (FileNotFoundError, PermissionError):
        return None
    except json_files.NOT_WHOLE:
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
