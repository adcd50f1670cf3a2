"""Read face embeddings from the kinds of files that people keep them in."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from samplers.identities.raw_store import (
    ID_NAMES,
    SPLIT_NAMES,
    RawStore,
    choose_column,
    first_of,
)
from samplers.identities.store_about import ABOUT_KEY, StoreAbout
from samplers.identities.store_tables import read_dataset, read_parquet
from synthgen.errors import StoreError
from synthgen.foreign import first_line

PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl")
"""Endings of files that unpickling reads; they become stores by `synthgen faces import`."""


def read_raw(path: Path, column: str | None) -> RawStore:
    """Read a file by its ending.

    Args:
        path: the file, or the folder of an HF dataset.
        column: column, tensor or array of the embeddings; None: the one of a usual name.

    Raises:
        StoreError: if the file is missing, of another kind, or cannot be read.
    """
    if path.is_dir():
        return read_dataset(path, column)
    if path.suffix in PICKLES:
        raise StoreError(
            f"{path} is a pickle, which can hold more than numbers; make a store of it first: "
            f"synthgen faces import {path} --to {path.with_suffix('.safetensors').name}"
        )
    if path.suffix not in _READERS or not path.exists():
        raise StoreError(
            f"{path} {'is not a kind of store' if path.exists() else 'does not exist'}; a store "
            f"is a file that ends in {', '.join(_READERS)}, or the folder of a dataset"
        )
    return _READERS[path.suffix](path, column)


def from_arrays(
    arrays: Mapping[str, np.ndarray], column: str | None, where: str, metadata: str | None = None
) -> RawStore:
    """Find embeddings, people and splits among named arrays.

    Args:
        arrays: what the file holds.
        column: name of the embeddings; None: a usual name, or the only array.
        where: the file, for sentences.
        metadata: JSON about the store; beside `StoreAbout` it may hold `identity_ids`, `splits` and
            `photos`.

    Raises:
        StoreError: if no array can be chosen, or the metadata cannot be read.
    """
    about = None if metadata is None else StoreAbout.from_json(metadata, where)
    lists = {} if metadata is None else json.loads(metadata)
    others = [name for name in arrays if name not in (*ID_NAMES, *SPLIT_NAMES)]
    return RawStore(
        values=arrays[choose_column(others, column, where)],
        ids=_texts(arrays, ID_NAMES) or _text_list(lists, "identity_ids", where),
        splits=_texts(arrays, SPLIT_NAMES) or _text_list(lists, "splits", where),
        photos=_text_list(lists, "photos", where),
        about=about,
    )


def _read_npy(path: Path, column: str | None) -> RawStore:
    try:
        return RawStore(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise unreadable(path, error) from error


def _read_npz(path: Path, column: str | None) -> RawStore:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, AttributeError, BadZipFile) as error:
        raise unreadable(path, error) from error
    return from_arrays(arrays, column, str(path))


def _read_safetensors(path: Path, column: str | None) -> RawStore:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = (file.metadata() or {}).get(ABOUT_KEY)
    except (OSError, SafetensorError, TypeError, AttributeError) as error:
        raise unreadable(path, error) from error
    return from_arrays(arrays, column, str(path), metadata)


_READERS: dict[str, Callable[[Path, str | None], RawStore]] = {
    ".parquet": read_parquet,
    ".safetensors": _read_safetensors,
    ".npy": _read_npy,
    ".npz": _read_npz,
}


def unreadable(path: Path, error: Exception) -> StoreError:
    """Say that a file cannot be read, and why."""
    return StoreError(f"{path} cannot be read: {first_line(error)}")


def _texts(arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> list[str] | None:
    name = first_of(list(arrays), names)
    return None if name is None else [str(value) for value in arrays[name].tolist()]


def _text_list(lists: Mapping[str, object], key: str, where: str) -> list[str] | None:
    values = lists.get(key)
    if values is not None and not isinstance(values, list):
        raise StoreError(f"{where}: {key} in its metadata {ABOUT_KEY!r} must be a list")
    return None if values is None else [str(value) for value in values]
