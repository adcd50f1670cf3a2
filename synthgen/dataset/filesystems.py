"""From a folder or a URL to the fsspec filesystem that it lies on."""

from typing import Any

from fsspec import AbstractFileSystem
from fsspec.config import conf
from fsspec.core import url_to_fs
from fsspec.utils import get_protocol

from synthgen.errors import MissingDependencyError, OutputError
from synthgen.foreign import excerpt

_CONNECTIONS = 64
"""Requests to S3 in flight at once, when many files are read."""

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""Protocol → extra of this package that brings what fsspec needs for it."""


def open_filesystem(url: str) -> tuple[AbstractFileSystem, str]:
    """Return a URL's filesystem and its path there.

    Raises:
        OutputError: if the protocol of the URL is not known, or it is a chain of URLs or
            holds NUL.
        MissingDependencyError: if the protocol needs a package that is not installed.
    """
    if "::" in url:
        raise OutputError(
            f"cannot open {excerpt(url)!r}: '::' chains URLs, and a dataset lies in one place; "
            "give a folder or a URL without it"
        )
    if "\0" in url:
        raise OutputError(f"cannot open {excerpt(url)!r}: no path holds a NUL character")
    try:
        return url_to_fs(url, **_options(url))
    except ImportError as error:
        raise MissingDependencyError(f"cannot open {url!r}: {error}{_install(url)}") from error
    except ValueError as error:
        raise OutputError(
            f"cannot open {url!r}: {error}; give a folder or a URL that fsspec knows"
        ) from error


def _options(url: str) -> dict[str, Any]:
    """Return what a filesystem is opened with beside what fsspec's own configuration says."""
    if get_protocol(url) not in ("s3", "s3a"):
        return {}
    said = conf.get("s3", {}).get("config_kwargs", {})
    return {"config_kwargs": {"max_pool_connections": _CONNECTIONS, **said}}


def _install(url: str) -> str:
    extra = _EXTRAS.get(get_protocol(url))
    return f"; pip install 'synthgen[{extra}]'" if extra else ""
