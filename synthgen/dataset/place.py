"""The place of an output: where no dataset can lie, and what lies there that is none of ours."""

import errno
import os
import shutil
import stat
from pathlib import Path

from synthgen.dataset import layout
from synthgen.dataset.storage import Storage
from synthgen.errors import OutputError
from synthgen.foreign import excerpt, first_line

_LEAST_FREE = 1_000_000
"""Bytes that must be left on a disk for a run to begin at all; what it takes is foreseen later."""

_LONGEST_PATH = 4096
"""Bytes of a path on Linux; a system with a smaller bound says so when it is asked."""

_OURS = 120
"""Bytes of the longest name of a file of ours, below the output."""


def check_place(storage: Storage) -> None:
    """Refuse a folder that cannot be made or written, or where ours have no room; write nothing.

    A store behind a URL is not asked: only writing tells what it allows.

    Raises:
        OutputError: if a link leads nowhere, a file is in the way, a name is too long, nothing may
            be written there, or the disk is full.
    """
    if not storage.is_local:
        return
    folder = Path(storage.root).absolute()
    nearest = _nearest(folder)
    _check_names(folder, nearest)
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(
            f"nothing can be written in {excerpt(nearest)}: no permission, or a disk that is read "
            "only; choose another output.path"
        )
    free = shutil.disk_usage(nearest).free
    if free < _LEAST_FREE:
        raise OutputError(
            f"the disk of {excerpt(nearest)} is full ({free:,} bytes are left); make room, or "
            "choose another output.path"
        )
    if found := obstacles(storage):
        shown = ", ".join(f"{name} is {kind}" for name, kind in list(found.items())[:5])
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise OutputError(
            f"{storage.url} has no room for files of the dataset: {shown}{more}; move it away, or "
            f"let `{layout.repair_command(storage.url)}` set it aside"
        )


def obstacles(storage: Storage) -> dict[str, str]:
    """Return name → kind of what lies where files and folders of ours belong and is none of them.

    Object stores have no folders, so that nothing is in the way there.
    """
    found: dict[str, str] = {}
    if not storage.is_local:
        return found
    for folder in layout.FOLDERS:
        for name, kind in storage.kinds(folder).items():
            due = "directory" if name in layout.FOLDERS else "file"
            if kind != due and (name in layout.FOLDERS or layout.is_ours(name)):
                found[name] = _KINDS[kind]
    return found


def strays(storage: Storage) -> list[str]:
    """Return the names of files beside the shards that are no files of ours; hidden ones aside."""
    return [
        name
        for folder in (layout.DATA, layout.REJECTS)
        for name in storage.names(folder)
        if not layout.is_ours(name) and not name.rpartition("/")[2].startswith(".")
    ]


_KINDS = {
    "file": "a file",
    "directory": "a folder",
    "other": "no regular file, or a link that leads nowhere",
}


def _nearest(folder: Path) -> Path:
    """Return the output, or the folder in which it would be made.

    Raises:
        OutputError: if that is no folder.
    """
    for place in (folder, *folder.parents):
        try:
            found = place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if error.errno == errno.ELOOP:
                continue  # a folder above is the link that leads in a circle
            raise OutputError(
                f"output.path {excerpt(folder)} cannot be used: {_reason(error)}; choose another"
            ) from error
        if stat.S_ISLNK(found.st_mode):
            found = _followed(place)
        if not stat.S_ISDIR(found.st_mode):
            what = "a file" if stat.S_ISREG(found.st_mode) else "no folder"
            raise OutputError(f"{excerpt(place)} is {what}; choose a folder for output.path")
        return place
    return Path(folder.anchor)


def _followed(link: Path) -> os.stat_result:
    try:
        return link.stat()
    except FileNotFoundError as error:
        raise OutputError(
            f"{excerpt(link)} is a link to {excerpt(os.readlink(link))}, which does not exist; "
            "make that folder, or choose another output.path"
        ) from error
    except OSError as error:
        why = "leads in a circle" if error.errno == errno.ELOOP else f"fails: {_reason(error)}"
        raise OutputError(
            f"{excerpt(link)} is a link that {why}; choose another output.path"
        ) from error


def _check_names(folder: Path, nearest: Path) -> None:
    """Refuse names that the file system would refuse once work has begun."""
    allowed = os.pathconf(nearest, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
    for name in folder.relative_to(nearest).parts:
        if (length := len(os.fsencode(name))) > allowed:
            raise OutputError(
                f"a folder of output.path has a name of {length} bytes ({excerpt(name, 60)}); at "
                f"most {allowed} are allowed there"
            )
    if (length := len(os.fsencode(folder)) + _OURS) > _LONGEST_PATH:
        raise OutputError(
            f"output.path and the dataset's own names make paths of {length} bytes; at most "
            f"{_LONGEST_PATH} are allowed: choose a shorter one"
        )


def _reason(error: OSError) -> str:
    return (error.strerror or first_line(error)).lower()
