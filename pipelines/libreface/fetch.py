"""Fetch LibreFace's published weights."""

import os
import sys
from pathlib import Path

from pipelines.libreface.files import LICENCE, libreface_file
from pipelines.libreface.network import load_network
from synthgen.errors import WeightsError

_FILE_ID = "1CbnBr8OBt8Wb73sL1ENcrtrWAFWSSRv0"
_TIMEOUT = 60.0  # seconds without an answer
_URL = f"https://drive.google.com/uc?id={_FILE_ID}"


def fetch_libreface(cache: Path | None = None) -> Path:
    """Fetch LibreFace's weights, unless they are there, and check that they load strictly.

    A file appears under its name only when it is whole and fits the network.

    Args:
        cache: folder of fetched weights; None: `cache_folder()`.

    Returns:
        The weight file.

    Raises:
        WeightsError: if it cannot be fetched, or what came is not LibreFace's network.
    """
    file = libreface_file(cache)
    if file.exists():
        load_network(file)
        return file
    print(f"LibreFace's weights: {LICENCE}", file=sys.stderr)
    partial = file.with_name(f".{os.getpid()}-{file.name}")
    try:
        _download(partial, file)
        _check(partial)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return file


def _download(partial: Path, file: Path) -> None:
    import gdown
    from gdown.exceptions import DownloadError

    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        gdown.download(id=_FILE_ID, output=str(partial), timeout=_TIMEOUT)
    except (DownloadError, OSError) as error:
        raise WeightsError(
            f"cannot fetch LibreFace's weights from {_URL} ({type(error).__name__}); "
            f"fetch that file by hand and put it at {file}"
        ) from error


def _check(partial: Path) -> None:
    try:
        load_network(partial)
    except WeightsError as error:
        raise WeightsError(
            f"what came from {_URL} is not LibreFace's network, and was thrown away: "
            f"{str(error).replace(str(partial), 'it')}"
        ) from error
