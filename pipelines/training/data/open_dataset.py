"""Open a Hugging Face dataset: a folder that was generated, saved or collected, or a Hub id."""

import hashlib
from pathlib import Path

from datasets import Dataset, DatasetDict, load_dataset, load_from_disk
from datasets.exceptions import DatasetsError

from synthgen.dataset import Storage, read_markers
from synthgen.dataset.loading import folder_fault
from synthgen.errors import DatasetError
from synthgen.foreign import first_line

_SAVED = ("dataset_dict.json", "state.json")
_GENERATED = Path(".synthgen") / "shards"


def open_rows(path: str, name: str | None, split: str) -> Dataset:
    """Open one split.

    Args:
        path: folder of `synthgen generate`, of `save_to_disk`, or of data files; or a Hub id.
        name: configuration of the dataset; None: the default one.
        split: the split; for other folders than saved ones also a slice such as `train[:90%]`.

    Raises:
        DatasetError: if there is no such dataset or split, or it has no rows.
    """
    where = f"{path} ({split})"
    saved = any((Path(path) / file).is_file() for file in _SAVED)
    if not saved and (fault := folder_fault(path)):
        raise DatasetError(f"the dataset {where} cannot be opened: {fault}")
    try:
        rows = _saved_split(path, split) if saved else load_dataset(path, name, split=split)
    except (OSError, ValueError, KeyError, DatasetsError) as error:
        raise DatasetError(f"the dataset {where} cannot be opened: {first_line(error)}") from error
    if not isinstance(rows, Dataset):
        raise DatasetError(f"{where} is a {type(rows).__name__}; it must be rows of one split")
    if not len(rows):
        raise DatasetError(f"the dataset {where} has no rows")
    return rows.with_format(None)


def is_generated(path: str) -> bool:
    """Return whether synthgen generated a folder."""
    return (Path(path) / _GENERATED).is_dir()


def dataset_fingerprint(path: str, split: str, rows: Dataset) -> str:
    """Return what tells these rows from others.

    For a generated dataset it is made of the checksums of its shards, so that a copy is the same;
    for others it is the one of `datasets`.
    """
    if not is_generated(path):
        return rows._fingerprint
    digest = hashlib.sha256(split.encode())
    for marker in read_markers(Storage(path)).values():
        for file, stamp in sorted(marker.files.items()):
            digest.update(f"{file} {stamp.sha256}\n".encode())
    return digest.hexdigest()[:16]


def _saved_split(path: str, split: str) -> object:
    try:
        found = load_from_disk(path)
    except IndexError:  # what was saved without a row has no file, which datasets cannot open
        return Dataset.from_dict({})
    if not isinstance(found, DatasetDict):
        return found
    if split not in found:
        raise ValueError(f"Unknown split {split!r}. Should be one of {list(found)}.")
    return found[split]
