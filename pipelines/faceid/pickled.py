"""Face embeddings from torch's pickles, read as plain tensors and never unpickled further."""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from samplers.identities.raw_store import ID_NAMES, RawStore, first_of
from samplers.identities.store_reading import from_arrays, unreadable
from synthgen.errors import StoreError


def read_pickle(path: Path, column: str | None) -> RawStore:
    """Read a tensor, a mapping of tensors, or a mapping from people to one embedding each.

    Args:
        path: a file that `torch.save` wrote.
        column: key of the embeddings; None: the one of a usual name, or the only one.

    Raises:
        StoreError: if the file holds more than tensors, numbers and text, or no embeddings.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise StoreError(
            f"{path} holds more than tensors, numbers and text, so it is not opened; save the "
            "embeddings alone, as one tensor"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise unreadable(path, error) from error
    if isinstance(found, torch.Tensor):
        return RawStore(_array(found))
    if isinstance(found, Mapping):
        return _from_mapping(found, column, str(path))
    raise StoreError(
        f"{path} holds a {type(found).__name__}; it must hold a tensor of shape [people, 512] or "
        "[people, faces, 512], or a mapping to tensors"
    )


def _from_mapping(found: Mapping[Any, Any], column: str | None, where: str) -> RawStore:
    tensors = {str(key): _array(v) for key, v in found.items() if isinstance(v, torch.Tensor)}
    if column is None and tensors and all(values.ndim == 1 for values in tensors.values()):
        return _of_people(tensors, where)
    ids = found.get(first_of([str(key) for key in found], ID_NAMES))
    if isinstance(ids, list | tuple):
        tensors[ID_NAMES[0]] = np.array([str(name) for name in ids])
    return from_arrays(tensors, column, where)


def _of_people(tensors: Mapping[str, np.ndarray], where: str) -> RawStore:
    widths = {len(values) for values in tensors.values()}
    if len(widths) > 1:
        raise StoreError(
            f"{where} maps people to embeddings of {min(widths)} to {max(widths)} numbers; each "
            "must have 512"
        )
    return RawStore(np.stack(list(tensors.values())), ids=list(tensors))


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().to_dense().float().numpy()
