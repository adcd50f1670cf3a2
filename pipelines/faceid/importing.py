"""Stores from files of face embeddings; pickles are read as plain tensors, never unpickled."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import is_zipfile

import numpy as np
import torch

from samplers.identities.person_columns import FIND_OUT, Naming
from samplers.identities.store import FaceStore, build_store
from samplers.identities.store_reading import PICKLES, from_arrays, read_raw, with_list_beside
from samplers.identities.store_tables import (
    RawStore,
    StoredArray,
    check_file,
    check_zip,
    refuse_packed,
)
from synthgen.errors import StoreError
from synthgen.foreign import excerpt, reading


def read_pickle(path: Path, column: str | None, naming: Naming = FIND_OUT) -> RawStore:
    """Read a tensor, a mapping of tensors, or a mapping from people to their embeddings.

    Args:
        path: a file that `torch.save` wrote.
        column: key of the embeddings; None: the one of a usual name, or the only one.
        naming: what the user says about who is who.

    Raises:
        StoreError: if the file holds more than tensors, numbers and text, or no embeddings, or if
            it is not sure who is who.
    """
    check_file(path)
    if is_zipfile(path):
        check_zip(path)
    try:
        with reading(path, StoreError):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except StoreError as error:
        if not isinstance(error.__cause__, UnpicklingError):
            raise
        raise StoreError(
            f"{path} holds more than tensors, numbers and text, so it is not opened; save the "
            "embeddings alone, as one tensor"
        ) from error
    if isinstance(found, torch.Tensor):
        return RawStore(_array(found, str(path)))
    if isinstance(found, Mapping):
        return from_arrays(_arrays(found, str(path)), column, str(path), naming)
    raise StoreError(
        f"{path} holds a {type(found).__name__}; it must hold a tensor of shape [people, 512] or "
        "[people, faces, 512], or a mapping to tensors"
    )


def _arrays(found: Mapping[Any, Any], where: str) -> dict[str, StoredArray]:
    """Return the tensors of a mapping, and its lists of texts, numbers or tensors, as arrays."""
    arrays = {}
    for key, value in found.items():
        place = f"{where}: {excerpt(key)!r}"
        if isinstance(value, torch.Tensor):
            arrays[str(key)] = StoredArray.of(_array(value, place))
        elif isinstance(value, list | tuple) and value:
            made = _of_list(value, place)
            if made is not None:
                arrays[str(key)] = StoredArray.of(made)
    return arrays


def _of_list(values: Sequence[Any], where: str) -> np.ndarray | None:
    """Return a list as an array; None where it mixes kinds, or its tensors do."""
    if all(isinstance(value, torch.Tensor) for value in values):
        parts = [_array(value, where) for value in values]
        alike = len({part.shape for part in parts}) == 1
        return np.stack(parts) if alike else None
    if all(isinstance(value, str) for value in values):
        return np.array(values)
    if all(isinstance(value, int) for value in values) and max(map(abs, values)) < 2**63:
        return np.array(values)
    return None


def _array(tensor: torch.Tensor, where: str) -> np.ndarray:
    """Return a tensor as an array; floating-point numbers as 32-bit ones.

    Raises:
        StoreError: if it is sparse, quantised or without values, or its numbers share their places.
    """
    kind = str(tensor.layout).removeprefix("torch.")
    if kind != "strided" or tensor.is_quantized or tensor.device.type != "cpu":
        raise StoreError(
            f"{where} is no plain tensor ({kind}, {tensor.dtype}, on {tensor.device.type}); save "
            "it dense, as floating-point numbers"
        )
    stored = tensor.untyped_storage().nbytes()
    refuse_packed(stored, tensor.numel() * tensor.element_size(), where)
    with reading(where, StoreError):
        plain = tensor.detach()
        return (plain.float() if plain.is_floating_point() else plain).numpy()


def import_store(
    path: Path,
    *,
    column: str | None = None,
    embedder: str | None = None,
    embedder_name: str | None = None,
    licence: str | None = None,
    synthetic: bool = False,
    naming: Naming = FIND_OUT,
    merge: float | None = None,
) -> FaceStore:
    """Read a file of any kind that is known, and say where its embeddings come from.

    Args:
        path: `.pt` and other files of `torch.save`, or whatever `read_store` reads.
        column: column, tensor or array of the embeddings.
        embedder: fingerprint of the recogniser, where the file does not carry it.
        embedder_name: its name for people; None: what the file says, or the fingerprint.
        licence: licence of the embeddings; None: what the file says.
        synthetic: whether nobody of them is real.
        naming: what the user says about who is who.
        merge: cosine from which two faces are one person's; None: nobody is merged.

    Raises:
        StoreError: as `read_store`, and if a pickle holds more than tensors.
    """
    if path.suffix in PICKLES and not path.is_dir():
        raw = with_list_beside(partial(read_pickle, path, column), path, naming)
    else:
        raw = read_raw(path, column, naming)
    store = build_store(raw, str(path), embedder, merge)
    about = replace(
        store.about,
        embedder_name=embedder_name or store.about.embedder_name,
        licence=licence or store.about.licence,
        synthetic=synthetic or store.about.synthetic,
        source=store.about.source or f"imported from {excerpt(path.name)}",
    )
    return replace(store, about=about)
