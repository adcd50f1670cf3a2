"""A folder that is filled beside its place and appears when it is whole."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthgen.config.output import protocol_of
from synthgen.dataset import layout
from synthgen.dataset.opening import check_place
from synthgen.dataset.storage import Storage
from synthgen.errors import OutputError
from synthgen.foreign import excerpt
from synthgen.redaction import without_secrets

WORK = ".synthgen"
"""Folder of what is not whole yet, with its lease, its ledger and parts of files."""


def local_target(url: str, verb: str) -> Path:
    """Return the folder of this machine that `--to` names.

    Args:
        url: what is given.
        verb: what is done into it, such as "export".

    Raises:
        OutputError: if it is no folder of this machine, or cannot be written.
    """
    if protocol_of(url) != "file":
        raise OutputError(
            f"--to {without_secrets(excerpt(url))} is no folder of this machine; {verb} into a "
            "folder, and copy that"
        )
    storage = Storage(url)
    try:
        check_place(storage)
    except OutputError as error:
        raise OutputError(str(error).replace("output.path", "--to")) from error
    return Path(storage.root).resolve()


def refuse_occupied(folder: Path, what: str) -> None:
    """Refuse a folder that holds something, or that cannot be replaced.

    Args:
        folder: where the whole is to appear.
        what: what it may hold and does not, such as "export".

    Raises:
        OutputError: if it is so.
    """
    if folder.exists() and (folder.is_mount() or folder == Path.cwd()):
        raise OutputError(
            f"{excerpt(folder)} is a mounted disk or the working folder, which cannot be replaced; "
            "choose a folder inside for --to"
        )
    found = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    if found:
        raise OutputError(
            f"{excerpt(folder)} holds files (such as {excerpt(found[0], 60)}) and no {what}; "
            "choose a new or empty folder for --to"
        )


def refuse_others_work(beside: Path, what: str) -> None:
    """Refuse a folder beside the place that holds what is not ours.

    Raises:
        OutputError: if it is so.
    """
    if beside.exists() and {path.name for path in beside.iterdir()} - {WORK}:
        raise OutputError(f"{excerpt(beside)} is no {what} of ours; move it away")


def read_record(file: Path) -> Mapping[str, Any]:
    """Read what a folder says of itself.

    Raises:
        OutputError: if it is corrupt.
    """
    try:
        found = json.loads(file.read_bytes())
        return dict(found)
    except layout.NOT_WHOLE as error:
        raise OutputError(
            f"{excerpt(file)} is corrupt ({layout.cause(error)}); delete its folder, or choose "
            "another --to"
        ) from error


def appear(beside: Path, folder: Path) -> None:
    """Give what is whole its name; an empty folder of that name makes room."""
    if folder.exists():
        folder.rmdir()
    beside.rename(folder)


def drop_work(beside: Path) -> None:
    """Delete the ledger and the parts of what is whole."""
    shutil.rmtree(beside / WORK)
