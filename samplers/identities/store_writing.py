"""Write a store of face embeddings: whole under its name, or not at all."""

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from samplers.identities.store_about import ABOUT_KEY, is_storable
from samplers.identities.store_tables import to_table
from synthgen.errors import StoreError
from synthgen.foreign import excerpt, first_line, reading

if TYPE_CHECKING:
    from samplers.identities.store import FaceStore
_LONGEST_PATH = 4_096


def check_store_path(path: str | Path) -> None:
    """Refuse what cannot become a store, before hours are spent on what goes into it.

    Raises:
        StoreError: if the name has another ending, is not of UTF-8, or is that of a folder or below
            a file.
    """
    path = Path(path)
    if not is_storable(str(path), _LONGEST_PATH):
        raise StoreError(f"{excerpt(path)} cannot be written: its name is not UTF-8 or too long")
    if path.suffix not in _WRITERS:
        raise StoreError(f"{path} cannot be written; a store ends in {' or '.join(_WRITERS)}")
    with reading(path, StoreError):
        is_folder = path.is_dir()
        above = next(folder for folder in path.absolute().parents if folder.exists())
    if is_folder:
        raise StoreError(f"{excerpt(path)} cannot be written: it is a folder")
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise StoreError(
            f"{excerpt(path)} cannot be written: {excerpt(above)} is no folder that can be written "
            "to"
        )


def write_store(path: str | Path, store: "FaceStore") -> None:
    """Write a store whole or not at all.

    Args:
        path: a file that ends in `.parquet` or `.safetensors`.
        store: what to write.

    Raises:
        StoreError: if the ending is another one, or the file cannot be written.
    """
    path = Path(path)
    check_store_path(path)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _WRITERS[path.suffix](part, store)
        part.replace(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be written: {first_line(error)}") from error
    finally:
        part.unlink(missing_ok=True)


def _write_parquet(path: Path, store: "FaceStore") -> None:
    table = to_table(store.embeddings, store.identity_ids, store.about, store.splits, store.photos)
    pq.write_table(table, path)


def _write_safetensors(path: Path, store: "FaceStore") -> None:
    from safetensors.numpy import save_file

    lists = {
        "identity_ids": store.identity_ids,
        "splits": store.splits,
        "photos": store.photos,
    }
    about = json.loads(store.about.to_json())
    about |= {key: list(values) for key, values in lists.items() if values is not None}
    save_file({"embedding": store.embeddings}, path, {ABOUT_KEY: json.dumps(about)})


_WRITERS: dict[str, Callable[[Path, "FaceStore"], None]] = {
    ".parquet": _write_parquet,
    ".safetensors": _write_safetensors,
}
