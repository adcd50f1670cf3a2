"""The call that loads a dataset, written so that it works as it stands.

`datasets` (5.2) takes `*`, `?` and `[` in the full path of a folder for patterns: it then finds no
file, or those of other folders too. It knows no `~`, takes a name without '/' for a loader of its
own or a dataset of the Hub, a name that ends in `.py` for a script, and reads no folder behind a
URL. There the call names the files, as the card does. Where it puts a variable of the environment
in place of `$NAME`, or takes `::` for a chain of URLs, nothing loads: such an output is refused.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from synthgen.config.yaml_text import YamlError, read_yaml
from synthgen.dataset import layout
from synthgen.dataset.storage import Storage
from synthgen.errors import DatasetError, OutputError
from synthgen.foreign import excerpt

_MAGIC = re.compile(r"[*?[]")
_PLAIN = re.compile(r"(?!~)[\w. /-]*/[\w. /-]*")
"""Paths that are loaded as they were given: nothing in them means anything to anybody."""


def load_call(storage: Storage) -> str:
    """Return the Python call that loads a dataset, from the folder that this process is in.

    Args:
        storage: the dataset; its card is read where files must be named.

    Raises:
        DatasetError: if files must be named and there is no card to name them.
    """
    if not storage.is_local:
        return _call_by_files(storage, storage.url)
    # `datasets` follows links before it looks for patterns.
    folder = Path(storage.root).resolve().as_posix()
    if _MAGIC.search(folder) or storage.root.endswith(".py"):
        return _call_by_files(storage, _MAGIC.sub(r"[\g<0>]", folder))
    given = storage.url
    path = given if _PLAIN.fullmatch(given) else Path(storage.root).absolute().as_posix()
    return f"datasets.load_dataset({_literal(path)})"


def folder_fault(path: str | Path) -> str | None:
    """Say why `load_dataset` would not read a folder, or would read others too; None if it does.

    Args:
        path: the folder; what is no folder of this machine is none of our business.
    """
    folder = Path(path).resolve().as_posix()
    found = _MAGIC.search(folder) if os.path.isdir(path) else None
    if found is None:
        return None
    return (
        f"`datasets` takes {found[0]!r} in the full path {excerpt(folder)} for a pattern, and "
        "would read other folders' files; move it, or give the folder above another name"
    )


def card_files(storage: Storage) -> dict[str, list[str]]:
    """Return split → patterns of the files that the card's default configuration loads.

    Raises:
        DatasetError: if there is no card, or it names none.
    """
    try:
        text = storage.read(layout.CARD).decode().split("---\n")[1]
        header = cast(Mapping[str, Any], read_yaml(text))
        configs = [config for config in header["configs"] if config.get("default") is True]
        files = configs[0]["data_files"]
        return {
            str(entry["split"]): [path] if isinstance(path := entry["path"], str) else path
            for entry in files
        }
    except (ValueError, LookupError, TypeError, AttributeError, YamlError) as error:
        raise DatasetError(
            f"{layout.CARD} of {storage.url} names no data files; run `synthgen generate` with its "
            "configuration, which writes the card again"
        ) from error


def card_checksum(storage: Storage) -> str:
    """Return the checksum of the data that the card describes; empty where it says none.

    Raises:
        DatasetError: if there is no card, or its header cannot be read.
    """
    try:
        text = storage.read(layout.CARD).decode().split("---\n")[1]
        header = cast(Mapping[str, Any], read_yaml(text))
        said = str(header["dataset_info"][0].get("description", ""))
    except (ValueError, LookupError, TypeError, AttributeError, YamlError) as error:
        raise DatasetError(f"{layout.CARD} of {storage.url} has no header of a dataset") from error
    found = re.search(r"checksum ([0-9a-f]{16})\b", said)
    return found[1] if found else ""


def refuse_unloadable(storage: Storage) -> None:
    """Refuse a folder that `datasets` cannot be told by any path.

    Raises:
        OutputError: if it means something else by the folder's full path.
    """
    if not storage.is_local:
        return
    folder = Path(storage.root).resolve().as_posix()
    why = ""
    if "::" in folder:
        why = "takes '::' for a chain of URLs"
    elif os.path.expandvars(folder) != folder:
        why = "puts variables of the environment in place of their names"
    if why:
        raise OutputError(
            f"datasets.load_dataset could not load what is written to {excerpt(folder)}: it {why} "
            "there; choose another output.path"
        )


def _call_by_files(storage: Storage, folder: str) -> str:
    files = ", ".join(
        f"{_literal(split)}: {_paths(folder, paths)}"
        for split, paths in card_files(storage).items()
    )
    return f'datasets.load_dataset("parquet", data_files={{{files}}})'


def _paths(folder: str, paths: list[str]) -> str:
    literals = [_literal(f"{folder.rstrip('/')}/{path}") for path in paths]
    return literals[0] if len(literals) == 1 else f"[{', '.join(literals)}]"


def _literal(text: str) -> str:
    """Return a text as Python reads it."""
    return json.dumps(text, ensure_ascii=False) if text.isprintable() else ascii(text)
