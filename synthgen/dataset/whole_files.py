"""Put files so that each appears whole or not at all, or only where nobody else was quicker."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from synthgen.dataset import layout

_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"})
_NOT_OFFERED = frozenset({errno.ENOSYS, errno.EINVAL})


def is_local(filesystem: AbstractFileSystem) -> bool:
    """Tell whether files lie in folders of this machine."""
    return isinstance(filesystem, LocalFileSystem)


def put(filesystem: AbstractFileSystem, path: str, data: bytes) -> None:
    """Write or replace a file: under a temporary name first, or as an object, which appears whole.

    Raises:
        Exception: whatever the store raises; nothing is left of the write then.
    """
    if is_local(filesystem):
        _put_locally(Path(path), data)
    elif _protocols(filesystem) & _OBJECT_STORES:
        filesystem.pipe_file(path, data)
    else:
        filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
        filesystem.pipe_file(path, data)


def put_new(filesystem: AbstractFileSystem, path: str, data: bytes) -> None:
    """Write a file where there is none.

    Stores that offer it decide between two writers: folders, S3 (`If-None-Match`), Google. Others
    may let both write: whoever needs to know must read the file again a moment later.

    Raises:
        FileExistsError: if there is one.
        Exception: whatever else the store raises.
    """
    if is_local(filesystem):
        _put_new_locally(Path(path), data)
    else:
        _offered_or_plain(filesystem, path, data, {"mode": "create"})


def put_instead(filesystem: AbstractFileSystem, path: str, old: bytes, data: bytes) -> None:
    """Replace a file that has not changed.

    S3 decides between two writers (`If-Match`). Elsewhere two that write within the time between
    reading and writing may both do so: whoever needs to know must read the file again.

    Raises:
        FileExistsError: if it holds something else than `old`, or is gone.
        Exception: whatever else the store raises.
    """
    if is_local(filesystem):
        _put_locally(Path(path), data, old)
    else:
        _put_remotely(filesystem, path, old, data)


@contextmanager
def replacing(path: Path, temporary: Path) -> Iterator[None]:
    """Put a temporary file, which the block writes, in the place of a local file.

    If the block raises, the temporary file is deleted and `path` stays as it was.

    Args:
        path: the file.
        temporary: another name in the same folder.
    """
    try:
        yield
        _sync_file(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def remove(filesystem: AbstractFileSystem, path: str) -> None:
    """Delete a file if it exists."""
    try:
        filesystem.rm_file(path)
    except FileNotFoundError:
        return
    if is_local(filesystem):
        _sync_folder(Path(path).parent)


def move(filesystem: AbstractFileSystem, path: str, new: str) -> None:
    """Give a file, a folder or a link another name, which nothing has.

    Raises:
        Exception: whatever the store raises.
    """
    if is_local(filesystem):
        _make_folder(Path(new).parent)
        Path(path).rename(new)
        _sync_folder(Path(new).parent)
    else:
        filesystem.makedirs(new.rpartition("/")[0], exist_ok=True)
        filesystem.mv(path, new)


def _protocols(filesystem: AbstractFileSystem) -> set[str]:
    names = filesystem.protocol
    return {names} if isinstance(names, str) else set(names)


def _put_remotely(filesystem: AbstractFileSystem, path: str, old: bytes, data: bytes) -> None:
    condition: dict[str, Any] = {}
    filesystem.invalidate_cache()
    try:
        if "s3" in _protocols(filesystem):
            condition = {"IfMatch": filesystem.info(path)["ETag"]}
        found = filesystem.cat_file(path)
    except FileNotFoundError as error:
        raise FileExistsError(path) from error
    if found != old:
        raise FileExistsError(path)
    _offered_or_plain(filesystem, path, data, condition)


def _offered_or_plain(
    filesystem: AbstractFileSystem, path: str, data: bytes, condition: dict[str, Any]
) -> None:
    """Write under a condition, or without one where the store does not know conditions."""
    try:
        filesystem.pipe_file(path, data, **condition)
    except OSError as error:
        if _is_refused(error):
            raise FileExistsError(path) from error
        if error.errno not in _NOT_OFFERED:
            raise
        filesystem.pipe_file(path, data)


def _is_refused(error: OSError) -> bool:
    """Tell whether S3 says that a condition does not hold; s3fs knows but one of the two."""
    response = getattr(error.__cause__, "response", None) or {}
    return response.get("Error", {}).get("Code") in ("PreconditionFailed", "NoSuchKey")


def _put_locally(final: Path, data: bytes, old: bytes | None = None) -> None:
    _make_folder(final.parent)
    temporary = final.parent / layout.temporary_file(final.name, secrets.token_hex(8))
    with replacing(final, temporary):
        _write(temporary, data)
        if old is not None and not (final.exists() and final.read_bytes() == old):
            raise FileExistsError(final)


def _put_new_locally(final: Path, data: bytes) -> None:
    """Make a file alone: some mounted stores know no hard links, so it may be seen empty once."""
    _make_folder(final.parent)
    try:
        _write(final, data)
        _sync_file(final)
    except FileExistsError:
        raise
    except BaseException:
        final.unlink(missing_ok=True)
        raise
    _sync_folder(final.parent)


def _make_folder(folder: Path) -> None:
    """Make a folder; that a file or a dead link is in its place is not that ours exists already."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from error


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)


def _sync_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a folder's entries survive a power cut; Windows has no way to ask for it."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
