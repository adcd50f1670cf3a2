"""From a folder or a URL to the fsspec filesystem that it lies on."""

import logging
import os
import warnings
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.config import conf
from fsspec.core import url_to_fs
from fsspec.registry import known_implementations, registry

from synthgen.config.output import WRITTEN, place_fault, protocol_of
from synthgen.errors import MissingDependencyError, OutputError
from synthgen.foreign import excerpt, first_line
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
    return f"; pip install 'synthgen[{extra}]'" if extra else ""
