"""What is asked of face embeddings before anything is made from them."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Float, Float32

from samplers.identities.face_identity import FACEID_WIDTH
from synthgen.errors import StoreError

SAME = 1e-5
"""Distance of two normalised embeddings below which they are the same one, rounded apart."""

RowName = Callable[[int], str]
"""How a row of the file is called in a sentence."""


def plain_row(row: int) -> str:
    """Call a row by its number."""
    return f"row {row}"


def checked_embeddings(
    values: np.ndarray, where: str, name: RowName = plain_row
) -> Float32[np.ndarray, "rows 512"]:
    """Refuse what is no set of embeddings; return them L2-normalised.

    Args:
        values: one embedding a row, of any length above 0.
        where: the file, for the sentence.
        name: how rows are called; they are counted from 0.

    Raises:
        StoreError: if there is no row, or a row is not 512 finite numbers, is all zeros, or is the
            same as another one.
    """
    _refuse_shape(values, where)
    numbers = values.astype(np.float64)
    _refuse_not_finite(numbers, where, name)
    lengths = np.linalg.norm(numbers, axis=1)
    for row in np.flatnonzero(lengths == 0)[:1].tolist():
        raise StoreError(
            f"{where}: {name(row)} (from 0) is all zeros; an embedding needs a direction"
        )
    normalised = numbers / lengths[:, None]
    for first, second in same_rows(normalised):
        raise StoreError(
            f"{where}: {name(first)} and {name(second)} (from 0) hold the same embedding; "
            "keep one of them"
        )
    return normalised.astype(np.float32)


def same_rows(rows: Float[np.ndarray, "rows width"]) -> Iterator[tuple[int, int]]:
    """Yield pairs of rows that are nearer than `SAME`, the smaller number first.

    Rows that are near have near projections on any unit direction, so only neighbours among the
    sorted projections are compared.
    """
    direction = np.sin(np.arange(1, rows.shape[1] + 1) ** 2.0)
    places = rows @ (direction / np.linalg.norm(direction))
    order = np.argsort(places, kind="stable")
    for shift in range(1, len(order)):
        left, right = order[:-shift], order[shift:]
        near = np.flatnonzero(places[right] - places[left] < SAME)
        if not near.size:
            return
        apart = np.linalg.norm(rows[left[near]] - rows[right[near]], axis=1)
        found = near[apart < SAME]
        yield from sorted(
            (min(pair), max(pair))
            for pair in zip(left[found].tolist(), right[found].tolist(), strict=True)
        )


def refuse_repeated(ids: Sequence[str], splits: Sequence[str] | None, where: str) -> None:
    """Refuse an empty name, and a person in two splits.

    Raises:
        StoreError: with the row.
    """
    home: dict[str, str] = {}
    for row, identity in enumerate(ids):
        if not identity:
            raise StoreError(f"{where}: row {row} (from 0) has an empty identity_id")
        split = splits[row] if splits else ""
        if home.setdefault(identity, split) != split:
            raise StoreError(
                f"{where}: row {row} (from 0) puts {identity!r} into the split {split!r}, an "
                f"earlier row into {home[identity]!r}; a person belongs to one split"
            )


def _refuse_shape(values: np.ndarray, where: str) -> None:
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise StoreError(
            f"{where} holds an array of shape {list(values.shape)} and type {values.dtype}; "
            f"it must be numbers of shape [people, {FACEID_WIDTH}] or [people, faces, "
            f"{FACEID_WIDTH}]"
        )
    if not len(values):
        raise StoreError(f"{where} holds no embedding")
    if values.shape[1] != FACEID_WIDTH:
        refuse_width(0, values.shape[1], where)


def refuse_width(row: int, width: int, where: str) -> None:
    """Refuse a row by its width.

    Raises:
        StoreError: always.
    """
    raise StoreError(
        f"{where}: row {row} (from 0) has {width} numbers; a FaceID embedding has {FACEID_WIDTH}"
    )


def _refuse_not_finite(numbers: np.ndarray, where: str, name: RowName) -> None:
    for row, place in np.argwhere(~np.isfinite(numbers))[:1].tolist():
        raise StoreError(
            f"{where}: {name(row)} (from 0) holds {numbers[row, place]} at place {place}; "
            "every number must be finite"
        )
