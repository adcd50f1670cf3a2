"""Where a dataset lies: a folder or an fsspec URL, with files that appear only when whole."""

import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from synthgen.dataset import layout
from synthgen.errors import DatasetError, MissingDependencyError, OutputError

_T = TypeVar("_T")


class Storage:
    """The files of one folder, local or behind an fsspec URL.

    Names are relative to the folder and use '/'. The object can be pickled.

    Attributes:
        url: the folder as the user wrote it.
    """

    def __init__(self, url: str) -> None:
        """Open a folder; it need not exist, and nothing is written.

        Raises:
            OutputError: if the protocol of the URL is not known.
            MissingDependencyError: if the protocol needs a package that is not installed.
        """
        self.url = url
        try:
            self._filesystem, root = url_to_fs(url)
        except ImportError as error:
            raise MissingDependencyError(f"cannot open {url!r}: {error}") from error
        except ValueError as error:
            raise OutputError(
                f"cannot open {url!r}: {error}; give a folder or a URL that fsspec knows"
            ) from error
        self._root = root.rstrip("/")

    def read(self, name: str) -> bytes:
        """Return a whole file.

        Raises:
            DatasetError: if it is missing or cannot be read.
        """
        return self._reading(name, lambda path: self._filesystem.cat_file(path))

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading in any order.

        Raises:
            DatasetError: if it is missing or cannot be opened.
        """
        opened = self._reading(name, lambda path: self._filesystem.open(path, "rb"))
        return cast(BinaryIO, opened)

    def write(self, name: str, data: bytes) -> None:
        """Write or replace a file; it is seen under its name only when it is whole.

        Raises:
            OutputError: if it cannot be written.
        """
        put = self._put_locally if self._is_local else self._put
        self._changing("write", name, lambda path: put(path, data))

    def delete(self, name: str) -> None:
        """Delete a file if it exists.

        Raises:
            OutputError: if it cannot be deleted.
        """
        self._changing("delete", name, self._remove)

    def exists(self, name: str) -> bool:
        """Tell whether a file exists."""
        self._filesystem.invalidate_cache()
        return self._filesystem.isfile(self._path(name))

    def names(self, folder: str = "") -> list[str]:
        """Return the names of the files that lie in a folder itself, in order."""
        return list(self.sizes(folder))

    def sizes(self, folder: str = "") -> dict[str, int]:
        """Return name → bytes of the files that lie in a folder itself, in order of names."""
        prefix = f"{folder}/" if folder else ""
        return {
            f"{prefix}{entry}": info["size"]
            for entry, info in sorted(self._entries(folder).items())
            if info["type"] == "file"
        }

    def entries(self, folder: str = "") -> list[str]:
        """Return what lies in a folder itself, folders included, in order of names.

        Raises:
            OutputError: if the folder is a file or cannot be listed.
        """
        if self._filesystem.isfile(self._root):
            raise OutputError(f"{self.url} is a file; choose a folder for output.path")
        prefix = f"{folder}/" if folder else ""
        return [f"{prefix}{entry}" for entry in sorted(self._entries(folder))]

    def sha256(self, name: str) -> str:
        """Return the SHA-256 of a file as hexadecimal digits.

        Raises:
            DatasetError: if it is missing or cannot be read.
        """
        with self.open(name) as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    @property
    def _is_local(self) -> bool:
        return isinstance(self._filesystem, LocalFileSystem)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root or "/"

    def _entries(self, folder: str) -> dict[str, dict[str, Any]]:
        path = self._path(folder)
        self._filesystem.invalidate_cache()
        try:
            found = self._filesystem.ls(path, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise OutputError(f"cannot list {self.url}: {_cause(error)}") from error
        listed = {info["name"].rstrip("/"): info for info in found}
        # An object store may list a folder as an empty object of its own.
        listed.pop(path, None)
        return {name.rpartition("/")[2]: info for name, info in listed.items()}

    def _reading(self, name: str, read: Callable[[str], _T]) -> _T:
        try:
            return read(self._path(name))
        except FileNotFoundError as error:
            raise DatasetError(f"{name} is missing in {self.url}") from error
        except OSError as error:
            raise DatasetError(f"cannot read {name} in {self.url}: {_cause(error)}") from error

    def _changing(self, verb: str, name: str, change: Callable[[str], None]) -> None:
        try:
            change(self._path(name))
        except (OSError, NotImplementedError) as error:
            raise OutputError(f"cannot {verb} {name} in {self.url}: {_cause(error)}") from error

    def _put(self, path: str, data: bytes) -> None:
        """Put a file whole, as object stores do; they need no folders, other systems may."""
        try:
            self._filesystem.pipe_file(path, data)
        except FileNotFoundError:
            self._filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._filesystem.pipe_file(path, data)

    def _put_locally(self, path: str, data: bytes) -> None:
        final = Path(path)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = final.parent / layout.temporary_file(final.name, secrets.token_hex(8))
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(final)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(final.parent)

    def _remove(self, path: str) -> None:
        try:
            self._filesystem.rm_file(path)
        except FileNotFoundError:
            return
        if self._is_local:
            _sync_folder(Path(path).parent)


def _sync_folder(folder: Path) -> None:
    """Make a folder's entries survive a power cut; Windows has no way to ask for it."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _cause(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text[0].lower() + text[1:]
