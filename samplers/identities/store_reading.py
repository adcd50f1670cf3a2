"""Read face embeddings from the kinds of files that people keep them in."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from samplers.identities.embeddings import ABOUT_KEY, StoreAbout
from samplers.identities.identity import FACEID_WIDTH
from samplers.identities.person_columns import (
    FIND_OUT,
    Naming,
    is_picture,
    names_people,
    people_of,
    settled_names,
    texts_of,
)
from samplers.identities.store_tables import (
    EMBEDDING_NAMES,
    SPLIT_NAMES,
    RawStore,
    StoredArray,
    check_file,
    choose_column,
    first_of,
    look_at_npy,
    read_dataset,
    read_npz,
    read_parquet,
)
from synthgen.errors import StoreError
from synthgen.foreign import excerpt, reading, regular_file

PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl")
"""Endings of files that unpickling reads; they become stores by `synthgen faces import`."""

_LARGEST_LIST = 64 << 20
_NO_PERSON = re.compile(
    r"(?<![a-z])(\w*embed\w*|feat\w*|vec\w*|clip|arcface|latents?|train|test|val|valid\w*|dev|eval"
    r"|gallery|probe|query|means?|centroids?)(?![a-z])",
    re.IGNORECASE,
)
"""Names of arrays that are hardly a person's."""


def read_raw(path: Path, column: str | None, naming: Naming = FIND_OUT) -> RawStore:
    """Read a file by its ending.

    Args:
        path: the file, or the folder of an HF dataset.
        column: column, tensor or array of the embeddings; None: the one of a usual name.
        naming: what the user says about who is who.

    Raises:
        StoreError: if the file is missing, of another kind, or cannot be read, or if it is not sure
            who is who.
    """
    with reading(path, StoreError):
        is_folder, exists = path.is_dir(), path.exists()
    if is_folder:
        return read_dataset(path, column, naming)
    if path.suffix in PICKLES:
        raise StoreError(
            f"{path} is a pickle, which can hold more than numbers; make a store of it first: "
            f"synthgen faces import {path} --to {path.with_suffix('.safetensors').name}"
        )
    if path.suffix not in _READERS or not exists:
        raise StoreError(
            f"{path} {'is not a kind of store' if exists else 'does not exist'}; a store is a "
            f"file that ends in {', '.join(_READERS)}, or the folder of a dataset"
        )
    check_file(path)
    return with_list_beside(partial(_READERS[path.suffix], path, column), path, naming)


def with_list_beside(
    read: Callable[[Naming], RawStore], path: Path, naming: Naming = FIND_OUT
) -> RawStore:
    """Read a file whose people may stand in a list beside it, such as `names.txt`.

    Args:
        read: reads the file.
        path: the file.
        naming: what the user says about who is who; the column of people may be such a list.

    Raises:
        StoreError: if there seems to be such a list and nobody says that it is one.
    """
    listed = naming.people is not None and Path(naming.people).suffix in _LISTS
    raw = read(Naming(one_face_each=True) if listed else naming)
    if raw.values.ndim not in (2, 3):
        return raw
    if naming.people is not None and listed:
        file = path.parent / naming.people
        beside = {naming.people: _LISTS[file.suffix](file)}
        return replace(raw, ids=people_of(beside, len(raw.values), naming, str(path)))
    if raw.ids is None and naming == FIND_OUT:
        _refuse_list_beside(path, len(raw.values))
    return raw


def from_arrays(
    arrays: Mapping[str, StoredArray],
    column: str | None,
    where: str,
    naming: Naming = FIND_OUT,
    metadata: str | None = None,
) -> RawStore:
    """Find embeddings, people and splits among named arrays.

    Args:
        arrays: what the file holds.
        column: name of the embeddings; None: a usual name, or the only array of vectors. Where
            each array is named after a person, all of them.
        where: the file, for sentences.
        naming: what the user says about who is who.
        metadata: JSON about the store; beside `StoreAbout` it may hold `identity_ids`, `splits` and
            `photos`.

    Raises:
        StoreError: if no array can be chosen, it is not sure who is who, or the metadata cannot be
            read.
    """
    about = None if metadata is None else StoreAbout.from_json(metadata, where)
    if column is None and _are_people(arrays):
        if all(map(is_picture, arrays)):
            return _of_pictures(arrays, naming, where, about)
        if naming == FIND_OUT:
            return _of_people(arrays, where, about)
    lists = {} if metadata is None else json.loads(metadata)
    chosen = choose_column(_candidates(arrays), column, where)
    values = arrays[chosen].load()
    ids = _text_list(lists, "identity_ids", where)
    if ids is None:
        ids = _people(arrays, chosen, values, naming, where)
    photos = _list(lists, "photos", where)
    return RawStore(
        values=values,
        ids=ids,
        splits=_splits(arrays, where) or _text_list(lists, "splits", where),
        photos=None
        if photos is None
        else [None if photo is None else str(photo) for photo in photos],
        about=about,
    )


def _splits(arrays: Mapping[str, StoredArray], where: str) -> list[str] | None:
    name = first_of(list(arrays), SPLIT_NAMES)
    if name is None:
        return None
    values = texts_of(arrays[name].load())
    if values is None:
        raise StoreError(
            f"{where}: {name!r} cannot name splits; it must hold one text or one whole number a row"
        )
    return values


def _candidates(arrays: Mapping[str, StoredArray]) -> list[str]:
    """Return the arrays that may hold embeddings: those of vectors, where there are any."""
    vectors = [name for name, array in arrays.items() if len(array.shape) in (2, 3)]
    others = [name for name in arrays if name not in SPLIT_NAMES and not names_people(name)]
    return vectors or others or list(arrays)


def _people(
    arrays: Mapping[str, StoredArray], chosen: str, values: np.ndarray, naming: Naming, where: str
) -> list[str] | None:
    if not values.ndim:
        return None
    rows = len(values)
    beside = [name for name in arrays if name not in (chosen, *SPLIT_NAMES)]
    wanted = settled_names(beside, naming)
    if wanted is not None and not set(wanted) <= set(beside):
        wanted = None  # all of them, for the sentence that says what there is
    columns = {
        name: arrays[name].load()
        for name in beside
        if (wanted is None or name in wanted) and _is_column(arrays[name], rows, name)
    }
    return people_of(columns, rows, naming, where)


def _is_column(array: StoredArray, rows: int, name: str) -> bool:
    """Return whether an array may say who is who: one value a row, or of a name that says so."""
    one_each = array.shape in ((rows,), (rows, 1))
    return one_each or (len(array.shape) == 1 and names_people(name))


def _are_people(arrays: Mapping[str, StoredArray]) -> bool:
    """Return whether each array is named after a person and holds that person's face or faces."""
    if len(arrays) < 2 or any(_is_no_person(name) for name in arrays):
        return False
    shapes = {array.shape for array in arrays.values()}
    one_face = all(len(shape) == 1 for shape in shapes)
    return one_face or all(
        shape == (FACEID_WIDTH,) or (len(shape) == 2 and shape[1] == FACEID_WIDTH)
        for shape in shapes
    )


def _is_no_person(name: str) -> bool:
    known = name in (*EMBEDDING_NAMES, *SPLIT_NAMES) or names_people(name, files=True)
    return known or _NO_PERSON.search(name) is not None


def _of_people(arrays: Mapping[str, StoredArray], where: str, about: StoreAbout | None) -> RawStore:
    widths = {array.shape[-1] for array in arrays.values()}
    if len(widths) > 1:
        raise StoreError(
            f"{where} maps people to embeddings of {min(widths)} to {max(widths)} numbers; each "
            f"must have {FACEID_WIDTH}"
        )
    faces = {name: np.atleast_2d(array.load()) for name, array in arrays.items()}
    return RawStore(
        values=np.concatenate(list(faces.values())),
        ids=[name for name, rows in faces.items() for _ in rows],
        about=about,
    )


def _of_pictures(
    arrays: Mapping[str, StoredArray], naming: Naming, where: str, about: StoreAbout | None
) -> RawStore:
    """Return the faces of arrays that are named after pictures, not after people."""
    raw = _of_people(arrays, where, about)
    names = {"filename": list(raw.ids or ())}
    return replace(raw, ids=people_of(names, len(raw.values), naming, where))


def _read_npy(path: Path, column: str | None, naming: Naming) -> RawStore:
    values = look_at_npy(path).load()
    if naming.people is not None:
        people_of({}, len(np.atleast_1d(values)), naming, str(path))
    return RawStore(values)


def _refuse_list_beside(path: Path, rows: int) -> None:
    for name, values in _lists_beside(path, rows):
        many = "as many values as it has rows" if values == rows else f"{values}, for {rows} rows"
        raise StoreError(
            f"{path} does not say who is who, and {excerpt(name)!r} beside it holds {many}; "
            f"make a store of both (synthgen faces import --people {excerpt(name, 60)}), or say "
            "that each row shows another person (--one-face-each, or identities.one_face_each: "
            "true)"
        )


def _lists_beside(path: Path, rows: int) -> Iterator[tuple[str, int]]:
    """Yield the lists beside a file that may say who is who: `names.txt`, `faces_labels.npy`.

    With each comes the number of its values: one that is called after people counts, too, where
    that is not the number of rows.
    """
    for file in sorted(path.parent.iterdir()):
        own = file.stem.removeprefix(path.stem)
        if file == path or file.suffix not in _LISTS or not file.is_file():
            continue
        if names_people(own, files=True) or (not own and file.suffix == ".txt"):
            values = _LISTS[file.suffix](file)
            if len(values) == rows or (len(values) and names_people(own)):
                yield file.name, len(values)


def _lines(file: Path) -> list[str]:
    regular_file(file, "the list", StoreError, _LARGEST_LIST)
    with reading(file, StoreError):
        return file.read_text(encoding="utf-8").splitlines()


def _numbers(file: Path) -> Sequence[object] | np.ndarray:
    array = look_at_npy(file)
    return array.load() if len(array.shape) == 1 else ()


_LISTS: dict[str, Callable[[Path], Sequence[object] | np.ndarray]] = {
    ".txt": _lines,
    ".npy": _numbers,
}


def _read_npz(path: Path, column: str | None, naming: Naming) -> RawStore:
    return from_arrays(read_npz(path), column, str(path), naming)


def _read_safetensors(path: Path, column: str | None, naming: Naming) -> RawStore:
    from safetensors import safe_open

    with reading(path, StoreError), safe_open(path, framework="np") as file:
        arrays = {}
        for name in file.keys():  # noqa: SIM118
            part = file.get_slice(name)
            load = partial(file.get_tensor, name)
            arrays[name] = StoredArray(tuple(part.get_shape()), load)
        metadata = (file.metadata() or {}).get(ABOUT_KEY)
        return from_arrays(arrays, column, str(path), naming, metadata)


_READERS: dict[str, Callable[[Path, str | None, Naming], RawStore]] = {
    ".parquet": read_parquet,
    ".safetensors": _read_safetensors,
    ".npy": _read_npy,
    ".npz": _read_npz,
}


def _text_list(lists: Mapping[str, object], key: str, where: str) -> list[str] | None:
    values = _list(lists, key, where)
    return None if values is None else [str(value) for value in values]


def _list(lists: Mapping[str, object], key: str, where: str) -> list[object] | None:
    values = lists.get(key)
    if values is not None and not isinstance(values, list):
        raise StoreError(f"{where}: {key} in its metadata {ABOUT_KEY!r} must be a list")
    return values
