"""Checks of face embeddings, and the description that a store gives of itself."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import islice

import numpy as np
from jaxtyping import Float, Float32, Float64

from samplers.identities.identity import FACEID_WIDTH
from synthgen.errors import StoreError
from synthgen.foreign import excerpt, shown

ABOUT_KEY = "synthgen"
"""Key of a file's metadata."""

_LONGEST = 2_000


def is_storable(text: str, longest: int) -> bool:
    """Return whether every kind of file and table can hold a text of at most that length."""
    return (
        len(text) <= longest
        and "\0" not in text
        and not any("\ud800" <= character <= "\udfff" for character in text)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAbout:
    """Embedder, licence and origin of a store.

    Attributes:
        embedder: fingerprint of the recogniser.
        embedder_name: its name, for people to read.
        licence: licence that follows from the recogniser and the photos.
        synthetic: whether the people were made up.
        source: where the embeddings come from, for people to read.
    """

    embedder: str
    embedder_name: str
    licence: str = "unknown"
    synthetic: bool = False
    source: str = ""

    def to_json(self) -> str:
        """Write it for a file's metadata."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> "StoreAbout":
        """Read it from a file's metadata; keys of other purposes are left alone.

        Raises:
            StoreError: if the text is no JSON mapping, or a key is missing or of another type.
        """
        kinds = {field.name: bool if field.name == "synthetic" else str for field in fields(cls)}
        try:
            data = json.loads(text)
            known = {key: data[key] for key in kinds if key in data}
        except (ValueError, TypeError, RecursionError) as error:
            raise StoreError(f"{where}: its metadata {ABOUT_KEY!r} is no JSON mapping") from error
        for key, kind in kinds.items():
            if key in known and not isinstance(known[key], kind):
                raise StoreError(
                    f"{where}: {key} in its metadata {ABOUT_KEY!r} is {shown(known[key])}; it must "
                    f"be {'true or false' if kind is bool else 'text'}"
                )
        for key, value in known.items():
            if isinstance(value, str) and not is_storable(value, _LONGEST):
                raise StoreError(
                    f"{where}: {key} in its metadata {ABOUT_KEY!r} is {shown(value)}; it must be "
                    f"text of at most {_LONGEST:,} characters that UTF-8 can write"
                )
        for key in ("embedder", "embedder_name"):
            if not known.get(key):
                raise StoreError(f"{where}: its metadata {ABOUT_KEY!r} lacks {key}")
        return cls(**known)


SAME = 1e-5
"""Distance of two normalised embeddings below which they are the same one, rounded apart."""

_LONGEST_NAME = 300

_MOST_PAIRS = 100_000
"""Pairs of equal rows that are counted."""

RowName = Callable[[int], str]
"""Name of a row of the file in a sentence."""


def plain_row(row: int) -> str:
    """Call a row by its number."""
    return f"row {row}"


def checked_embeddings(
    values: np.ndarray, where: str, name: RowName = plain_row
) -> Float32[np.ndarray, "rows 512"]:
    """Refuse what is no set of embeddings, each another one; return them L2-normalised.

    Args:
        values: one embedding a row, of any length above 0.
        where: the file, for the sentence.
        name: how rows are called; they are counted from 0.

    Raises:
        StoreError: if there is no row, or a row is not 512 finite numbers, is all zeros, or is the
            same as another one.
    """
    numbers = normalised_rows(values, where, name)
    pairs = list(islice(same_rows(numbers), _MOST_PAIRS))
    for first, second in pairs[:1]:
        more = f", and {_more(len(pairs) - 1)}" if len(pairs) > 1 else ""
        raise StoreError(
            f"{where}: {name(first)} and {name(second)} (from 0) hold the same embedding{more}; "
            "keep one of them, or let synthgen faces import --merge-near 0.98 do so"
        )
    return numbers.astype(np.float32)


def normalised_rows(
    values: np.ndarray, where: str, name: RowName = plain_row
) -> Float64[np.ndarray, "rows 512"]:
    """Refuse what is no set of embeddings; return them L2-normalised.

    Args:
        values: one embedding a row, of any length above 0.
        where: the file, for the sentence.
        name: how rows are called; they are counted from 0.

    Raises:
        StoreError: if there is no row, or a row is not 512 finite numbers or is all zeros.
    """
    refuse_shape(values, where)
    with np.errstate(invalid="ignore"):  # a NaN may signal; it is named just below
        numbers = values.astype(np.float64)
    _refuse_not_finite(numbers, where, name)
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(numbers, axis=1)
    for row in np.flatnonzero((lengths == 0) | np.isinf(lengths))[:1].tolist():
        fault = "is too large to be scaled" if lengths[row] else "is all zeros"
        raise StoreError(f"{where}: {name(row)} (from 0) {fault}; an embedding needs a direction")
    return numbers / lengths[:, None]


def _more(pairs: int) -> str:
    least = "at least " if pairs + 1 == _MOST_PAIRS else ""
    return f"{least}{pairs:,} more {'pair' if pairs == 1 else 'pairs'} of rows"


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
    """Refuse an empty name, one that no file can hold, and a person in two splits.

    Raises:
        StoreError: with the row.
    """
    home: dict[str, str] = {}
    for row, identity in enumerate(ids):
        split = splits[row] if splits else ""
        for what, text in (("identity_id", identity), ("split", split if splits else "-")):
            if not text:
                raise StoreError(f"{where}: row {row} (from 0) has an empty {what}")
            if not is_storable(text, _LONGEST_NAME):
                raise StoreError(
                    f"{where}: row {row} (from 0) has the {what} {excerpt(text, 60)!r}; it must be "
                    f"text of at most {_LONGEST_NAME} characters that UTF-8 can write"
                )
        if home.setdefault(identity, split) != split:
            raise StoreError(
                f"{where}: row {row} (from 0) puts {identity!r} into the split {split!r}, an "
                f"earlier row into {home[identity]!r}; a person belongs to one split"
            )


def refuse_shape(values: np.ndarray, where: str) -> None:
    """Refuse what is no array of rows of 512 floating-point numbers.

    Raises:
        StoreError: with its shape and type.
    """
    if values.dtype.kind in "iub":
        raise StoreError(
            f"{where} holds whole numbers ({values.dtype}) where its embeddings should be; an "
            "embedding is floating-point numbers"
        )
    if values.ndim != 2 or values.dtype.kind != "f":
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
