"""Storage of a dataset: a folder or an fsspec URL, with files that appear only when whole."""

import hashlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from io import BufferedIOBase
from typing import Any, BinaryIO, TypeVar, cast

from fsspec import AbstractFileSystem
from fsspec.config import conf
from fsspec.core import url_to_fs
from fsspec.registry import known_implementations, registry

from synthgen.config.output import WRITTEN, place_fault, protocol_of
from synthgen.dataset import whole_files
from synthgen.dataset.retry import RetryPolicy, cause, is_of_store, is_passing
from synthgen.errors import DatasetError, MissingDependencyError, MissingFileError, OutputError
from synthgen.foreign import excerpt, first_line
from synthgen.installation import install_command
from synthgen.redaction import secret_in, secret_sentence

_CONNECTIONS = 64
"""Requests to S3 in flight at once, when many files are read."""

_READ = WRITTEN | {"hf", "http", "https", "memory"}
"""Protocols of the stores whose datasets are read. Another that fsspec brings is no such store; one
that a program has registered itself is its own matter."""

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""Protocol → extra of this package that brings what fsspec needs for it."""

_S3 = (
    "Amazon S3",
    ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the machine's role",
)
_GOOGLE = (
    "Google Cloud Storage",
    ("STORAGE_EMULATOR_HOST",),
    "GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login`, or the machine's "
    "account",
)
_STORES = {"s3": _S3, "s3a": _S3, "gs": _GOOGLE, "gcs": _GOOGLE}
"""Protocol → name of the store, variables that name another server, where credentials come from."""


def open_filesystem(url: str, *, once: bool = False) -> tuple[AbstractFileSystem, str]:
    """Return a URL's filesystem and its path there.

    Args:
        url: a folder or a URL.
        once: have the store's package try each call once, where it can be told so.

    Raises:
        OutputError: if the URL holds a secret, or is on no store of datasets, or it cannot be
            opened.
        MissingDependencyError: if the protocol needs a package that is not installed.
    """
    if shown := secret_in(url):
        raise OutputError(secret_sentence("the URL of the dataset", shown))
    if fault := place_fault(url):
        raise OutputError(fault)
    _refuse_others(url)
    _quiet(protocol_of(url))
    try:
        filesystem, path = url_to_fs(url, **_options(url, once))
    except ImportError as error:
        reason = f"{first_line(error)}{_install(url)}"
        raise MissingDependencyError(f"cannot open {excerpt(url)!r}: {reason}") from error
    except Exception as error:  # each store's package raises its own, and some plain ones
        raise OutputError(
            f"cannot open {excerpt(url)!r}: {first_line(error)}; {where_to_look(url)}"
        ) from error
    if once and hasattr(filesystem, "retries"):
        filesystem.retries = 1  # an instance of its own, since its options are
    return filesystem, path


def whom(url: str) -> str:
    """Name the server that is asked for a URL."""
    name, variables, _ = _STORES.get(protocol_of(url), (protocol_of(url), (), ""))
    said = next((variable for variable in variables if os.environ.get(variable)), None)
    return f"{excerpt(os.environ[said])} ({said})" if said else name


def has_buckets(url: str) -> bool:
    """Tell whether a URL begins with a bucket."""
    return protocol_of(url) in _STORES


def where_to_look(url: str) -> str:
    """Say what a user should check when a store does not give what is asked for."""
    credentials = _STORES.get(protocol_of(url), ("", (), ""))[2]
    return f"check the address, the bucket and the credentials ({credentials})".replace(" ()", "")


def _refuse_others(url: str) -> None:
    if "::" in url:
        raise OutputError(
            f"cannot open {excerpt(url)!r}: '::' chains URLs, and a dataset lies in one place; "
            "give a folder or a URL without it"
        )
    protocol = protocol_of(url)
    own = protocol in registry and protocol not in known_implementations
    if protocol not in _READ and not own:
        raise OutputError(
            f"{excerpt(url)} is on no store of datasets; give a folder, or a URL that begins with "
            "file://, s3://, gs://, abfs://, hf:// or https://"
        )


def _quiet(protocol: str) -> None:
    """Keep Google's packages from telling what their errors say, and of Python versions."""
    if protocol in ("gs", "gcs"):
        logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"google\.")


def _options(url: str, once: bool) -> dict[str, Any]:
    """Return what a filesystem is opened with beside what fsspec's own configuration says."""
    if protocol_of(url) not in ("s3", "s3a"):
        return {}
    said = conf.get("s3", {}).get("config_kwargs", {})
    tries = {"connect_timeout": 3, "retries": {"total_max_attempts": 1}} if once else {}
    return {"config_kwargs": {"max_pool_connections": _CONNECTIONS, **tries, **said}}


def _install(url: str) -> str:
    extra = _EXTRAS.get(protocol_of(url))
    return f"; {install_command(extra)}" if extra else ""


_T = TypeVar("_T")

_TAGS = ("ETag", "etag", "generation", "mtime", "LastModified", "last_modified", "created")
"""Names of a file's tag or time in listings of filesystems, the best first."""


class Storage:
    """The files of one folder, local or behind an fsspec URL.

    Names are relative to the folder and use '/'. The object can be pickled. Credentials and
    endpoints come from where the store's own package looks for them: for `s3://` the standard
    variables (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, `AWS_PROFILE`, …), for `gs://`
    `GOOGLE_APPLICATION_CREDENTIALS` and `STORAGE_EMULATOR_HOST`.

    Attributes:
        url: the folder as the user wrote it.
    """

    def __init__(
        self, url: str, patience: RetryPolicy | None = None, *, once: bool = False
    ) -> None:
        """Open a folder; it need not exist, and nothing is written.

        Args:
            url: a folder or a URL.
            patience: how long a call is tried again while the store fails; None: not at all.
            once: have the store's own package try nothing again, which no patience bounds.

        Raises:
            OutputError: if the URL is on no store of datasets, or holds a secret.
            MissingDependencyError: if the protocol needs a package that is not installed.
        """
        self.url = url
        self._patience = patience or RetryPolicy()
        self._filesystem, root = open_filesystem(url, once=once)
        self._root = root.rstrip("/")

    @property
    def is_local(self) -> bool:
        """True where the files lie in folders of this machine."""
        return whole_files.is_local(self._filesystem)

    @property
    def root(self) -> str:
        """Path of the folder on its filesystem: a folder of this machine, or a bucket and key."""
        return self._root or "/"

    def hurried(self) -> "Storage":
        """Return the same folder with calls that are tried once."""
        return Storage(self.url)

    def has_bucket(self) -> bool:
        """Ask an object store whether the bucket exists, as far as this user may know.

        Raises:
            OutputError: if the store does not answer.
        """
        bucket = self._root.partition("/")[0]

        def ask(_: str) -> bool:
            try:
                return bool(self._filesystem.info(bucket))
            except FileNotFoundError:
                return False
            except OSError as error:
                # A role may be given one folder of a bucket alone; what is there tells then.
                if isinstance(error, PermissionError) or "forbidden" in str(error).lower():
                    return True
                raise

        return self._asking("reach", "", ask)

    def read(self, name: str) -> bytes:
        """Return a whole file.

        Raises:
            DatasetError: if it is missing or cannot be read.
        """
        return self._reading(name, lambda path: cast(bytes, self._filesystem.cat_file(path)))

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
        self._asking("write", name, lambda path: whole_files.put(self._filesystem, path, data))

    def create(self, name: str, data: bytes) -> bool:
        """Write a file where there is none; return whether it then holds what was given.

        Args:
            name: the file.
            data: what nobody else writes.

        Raises:
            OutputError: if it cannot be written.
        """
        return self._contending(
            name, data, lambda path: whole_files.put_new(self._filesystem, path, data)
        )

    def replace(self, name: str, old: bytes, data: bytes) -> bool:
        """Replace a file unless it has changed; return whether it then holds what was given.

        Args:
            name: the file.
            old: what it held when it was read.
            data: what nobody else writes.

        Raises:
            OutputError: if it cannot be written.
        """
        return self._contending(
            name, data, lambda path: whole_files.put_instead(self._filesystem, path, old, data)
        )

    def delete(self, name: str) -> None:
        """Delete a file if it exists.

        Raises:
            OutputError: if it cannot be deleted.
        """
        self._asking("delete", name, lambda path: whole_files.remove(self._filesystem, path))

    def move(self, name: str, new: str) -> None:
        """Give a file, a folder or a link another name; links are not followed.

        Raises:
            OutputError: if it cannot be moved.
        """
        target = self._path(new)
        self._asking("move", name, lambda path: whole_files.move(self._filesystem, path, target))

    def holds(self, name: str) -> bool:
        """Tell whether anything bears a name: a file, a folder, or a link that leads nowhere."""
        return name in self.kinds(name.rpartition("/")[0])

    def exists(self, name: str) -> bool:
        """Tell whether a file exists.

        Raises:
            OutputError: if the store does not answer.
        """
        self._filesystem.invalidate_cache()
        return self._asking("look for", name, self._is_file)

    def names(self, folder: str = "") -> list[str]:
        """Return the names of the files that lie in a folder itself, in order."""
        return list(self.sizes(folder))

    def sizes(self, folder: str = "") -> dict[str, int]:
        """Return name → bytes of the files that lie in a folder itself, in order of names."""
        return {name: info["size"] for name, info in self._files(folder)}

    def versions(self, folder: str = "") -> dict[str, str]:
        """Return name → version of the files that lie in a folder itself, in order of names.

        A version changes when the file is replaced: its size with the store's own tag of it, or
        the time where it has none.
        """
        return {
            name: " ".join([str(info["size"]), *_tag(info)]) for name, info in self._files(folder)
        }

    def kinds(self, folder: str = "") -> dict[str, str]:
        """Return name → `file`, `directory` or `other` of what lies in a folder itself.

        A link counts as what it leads to, and as `other` where it leads nowhere.
        """
        prefix = f"{folder}/" if folder else ""
        found = sorted(self._entries(folder).items())
        return {f"{prefix}{entry}": info["type"] for entry, info in found}

    def entries(self, folder: str = "") -> list[str]:
        """Return what lies in a folder itself, folders included, in order of names.

        Raises:
            OutputError: if the folder is a file or cannot be listed.
        """
        if self.exists(""):
            raise OutputError(f"{self.url} is a file; choose a folder for output.path")
        prefix = f"{folder}/" if folder else ""
        return [f"{prefix}{entry}" for entry in sorted(self._entries(folder))]

    def sha256(self, name: str) -> str:
        """Return the SHA-256 of a file as hexadecimal digits.

        Raises:
            DatasetError: if it is missing or cannot be read.
        """
        with self.open(name) as file:
            return hashlib.file_digest(cast(BufferedIOBase, file), "sha256").hexdigest()

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root or "/"

    def _is_file(self, path: str) -> bool:
        """Tell whether a path is a file; fsspec's own `isfile` takes every error for a no."""
        try:
            return self._filesystem.info(path)["type"] == "file"
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _files(self, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
        prefix = f"{folder}/" if folder else ""
        for entry, info in sorted(self._entries(folder).items()):
            if info["type"] == "file":
                yield f"{prefix}{entry}", info

    def _entries(self, folder: str) -> dict[str, dict[str, Any]]:
        self._filesystem.invalidate_cache()
        found = self._asking("list", folder, self._list)
        listed = {info["name"].rstrip("/"): info for info in found}
        # An object store may list a folder as an empty object of its own.
        listed.pop(self._path(folder), None)
        return {name.rpartition("/")[2]: self._followed(info) for name, info in listed.items()}

    def _followed(self, info: dict[str, Any]) -> dict[str, Any]:
        """Return what a link leads to; the Hub's cache and git-annex keep files as links."""
        if not info.get("islink"):
            return info
        try:
            return self._filesystem.info(info["name"])
        except OSError:  # it leads nowhere, or in a circle
            return info

    def _list(self, path: str) -> list[dict[str, Any]]:
        try:
            return self._filesystem.ls(path, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _reading(self, name: str, read: Callable[[str], _T]) -> _T:
        try:
            return self._patience.call(f"read {name}", lambda: read(self._path(name)))
        except FileNotFoundError as error:
            raise MissingFileError(f"{name} is missing in {self.url}") from error
        except Exception as error:
            if not is_of_store(error):
                raise
            raise DatasetError(self._sentence("read", name, error)) from error

    def _asking(self, verb: str, name: str, ask: Callable[[str], _T]) -> _T:
        try:
            return self._patience.call(f"{verb} {name or self.url}", lambda: ask(self._path(name)))
        except Exception as error:
            if not is_of_store(error):
                raise
            raise OutputError(self._sentence(verb, name, error)) from error

    def _contending(self, name: str, data: bytes, put: Callable[[str], None]) -> bool:
        """Put a file that somebody else may put too.

        Who is refused looks: an answer may have been lost on the way, so that the second attempt
        met the file of the first.
        """
        if self._asking("write", name, lambda path: _was_free(put, path)):
            return True
        return self.exists(name) and self.read(name) == data

    def _sentence(self, verb: str, name: str, error: Exception) -> str:
        tried = self._patience.seconds if is_passing(error) else 0
        url = excerpt(self.url)
        place = f"{name} in {url}" if name else url
        again = f" (tried again for {tried:g} s)" if tried else ""
        return f"cannot {verb} {place}: {cause(error)}{again}"


def _tag(info: Mapping[str, Any]) -> list[str]:
    return [str(info[key]) for key in _TAGS if info.get(key) is not None][:1]


def _was_free(put: Callable[[str], None], path: str) -> bool:
    try:
        put(path)
    except FileExistsError:
        return False
    return True
