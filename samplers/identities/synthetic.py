"""New people from the statistics of a store, none of them near to anyone real."""

from collections.abc import Iterator
from dataclasses import replace
from math import ceil, floor
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64

from samplers.identities.identity import FACEID_WIDTH
from samplers.identities.store import FaceStore
from samplers.randomness import normals
from synthgen.errors import ConfigError

_BLOCK = 1024
"""Queries that are compared at once: with 10,000 rows, 40 MB of similarities."""


class Nearest(NamedTuple):
    """The nearest row of a store for each query.

    Attributes:
        rows: number of the row.
        similarity: cosine [−1, 1].
    """

    rows: Int64[np.ndarray, " queries"]
    similarity: Float32[np.ndarray, " queries"]


def nearest(
    queries: Float32[np.ndarray, "queries width"], rows: Float32[np.ndarray, "rows width"]
) -> Nearest:
    """Compare normalised queries with every normalised row, exactly.

    Args:
        queries: what to look for.
        rows: at least one row.
    """
    found, similarity = [], []
    for start in range(0, len(queries), _BLOCK):
        cosines = queries[start : start + _BLOCK] @ rows.T
        best = cosines.argmax(axis=1)
        found.append(best)
        similarity.append(cosines[np.arange(len(best)), best])
    if not found:
        return Nearest(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
    return Nearest(np.concatenate(found), np.concatenate(similarity))


MOST_PEOPLE = 1_000_000
"""People that are drawn at once: 2 GB of embeddings, each compared with all before it."""

TRIES = 2000
"""Draws in a row that may all be too near to somebody before the distance is given up."""

_MOST_TRIED = 2000
"""People for whom smaller distances are tried, to name one that would do: a second a try."""

_LEAST_DISTANCE, _MOST_DISTANCE = 0.01, 0.7
_MOST_COMPARED = 1000
"""People whose nearest ones are looked for: a second with 100,000 rows."""

_CHUNK = 500
_STAGE = "identities/synthetic"

_GRID = 2.0**24
"""Embeddings are rounded to multiples of 2^−24, so that libraries' last bits do not show."""


def new_people(
    store: FaceStore,
    count: int,
    seed: int,
    *,
    min_distance: float | None,
    shrinkage: float,
) -> FaceStore:
    """Draw people who are nobody in a store.

    Embeddings are normals with the store's mean and covariance, the latter drawn towards a round
    one, put back onto the sphere. Draw after draw, one that keeps the distance to everyone before
    it becomes a person: a larger count keeps the earlier people.

    Args:
        store: real people, two at least.
        count: how many to draw, at least 1.
        seed: seed of the draw [0, 2^63).
        min_distance: smallest cosine distance to all real and all new people; None: as it fits
            the store.
        shrinkage: share of the round covariance (0, 1].

    Raises:
        ConfigError: if the store is too small, too many are asked for, or the distance cannot be
            kept.
    """
    refuse_many_people(count)
    _refuse_small(store)
    min_distance = fitting_distance(store) if min_distance is None else min_distance
    made = _far_people(store, count, seed, min_distance, shrinkage)
    if len(made) < count:
        would_do = _would_do(store, count, seed, min_distance, shrinkage)
        raise ConfigError(_too_near(store, len(made), count, min_distance, would_do))
    return _as_store(store, made, seed, min_distance)


def _far_people(
    store: FaceStore,
    count: int,
    seed: int,
    min_distance: float,
    shrinkage: float,
    most_draws: int | None = None,
) -> Float32[np.ndarray, "people 512"]:
    """Draw people who keep a distance: fewer than `count` where `TRIES` in a row do not.

    Fewer, too, where `most_draws` (None: any number) were not enough; a begun chunk is ended.
    """
    kept = np.empty((count, FACEID_WIDTH), dtype=np.float32)
    found, refused, drawn = 0, 0, 0
    for chunk in _candidates(store, seed, shrinkage):
        if most_draws is not None and drawn >= most_draws:
            return kept[:found]
        drawn += len(chunk)
        free = _is_far(chunk, store.embeddings, min_distance) & _is_far(
            chunk, kept[:found], min_distance
        )
        first = found
        for row, far in zip(chunk, free.tolist(), strict=True):
            if far and _is_far(row[None], kept[first:found], min_distance)[0]:
                kept[found] = row
                found, refused = found + 1, 0
                if found == count:
                    return kept
            elif (refused := refused + 1) == TRIES:
                return kept[:found]
    raise AssertionError("candidates never end")


def _would_do(
    store: FaceStore, count: int, seed: int, min_distance: float, shrinkage: float
) -> float | None:
    """Return the largest distance in hundredths found to be kept by half of the draws, or None.

    None where no distance is, and where trying would take long.
    """
    if count > _MOST_TRIED:
        return None
    kept, refused = 0, ceil(min_distance * 100)
    while refused - kept > 1:
        middle = (kept + refused) // 2
        made = _far_people(store, count, seed, middle / 100, shrinkage, most_draws=2 * count)
        if len(made) == count:
            kept = middle
        else:
            refused = middle
    return kept / 100 if kept else None


def nearest_reached(store: FaceStore, made: FaceStore) -> float:
    """Return the largest cosine similarity of new people to those of the store and each other."""
    largest = float(nearest(made.embeddings, store.embeddings).similarity.max())
    for start in range(1, len(made), _BLOCK):
        rows = made.embeddings[start : start + _BLOCK]
        cosines = rows @ made.embeddings[: start + len(rows)].T
        before = np.tri(*cosines.shape, k=start - 1, dtype=bool)
        largest = max(largest, float(cosines[before].max()))
    return largest


def fitting_distance(store: FaceStore) -> float:
    """Return the distance at which half of a store's people have their nearest other one.

    New people who keep it are as far from everyone as real ones are from each other. Embeddings
    of drawn faces lie nearer to each other than those of photographs; 0.7, at which two
    photographs are commonly taken for two people (similarity 0.3), is the most that is asked for.

    Args:
        store: two people at least.

    Returns:
        A cosine distance [0.01, 0.7], rounded down to hundredths.
    """
    names = list(store.rows)[:_MOST_COMPARED]
    own = np.full(len(store.embeddings), -1)
    for number, name in enumerate(names):
        own[list(store.rows[name])] = number
    distances = []
    for number, name in enumerate(names):
        others = store.embeddings[own != number]
        distances.append(1 - float((store.embeddings[list(store.rows[name])] @ others.T).max()))
    return max(_LEAST_DISTANCE, min(_MOST_DISTANCE, floor(np.median(distances) * 100) / 100))


def refuse_many_people(count: int) -> None:
    """Refuse more people than can be drawn at once.

    Raises:
        ConfigError: with both numbers.
    """
    if count > MOST_PEOPLE:
        raise ConfigError(
            f"{count:,} people are to be drawn; at most {MOST_PEOPLE:,} are drawn at once"
        )


def _candidates(
    store: FaceStore, seed: int, shrinkage: float
) -> Iterator[Float32[np.ndarray, "chunk 512"]]:
    """Yield normalised draws from the store's statistics, without an end."""
    mean, factor = _statistics(store.embeddings.astype(np.float64), shrinkage)
    start = 0
    while True:
        numbers = normals(seed, _STAGE, start, start + _CHUNK, FACEID_WIDTH)
        drawn = mean + numbers @ factor.T
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        yield (np.round(drawn * _GRID) / _GRID).astype(np.float32)
        start += _CHUNK


def _statistics(
    rows: Float64[np.ndarray, "rows 512"], shrinkage: float
) -> tuple[Float64[np.ndarray, " 512"], Float64[np.ndarray, "512 512"]]:
    """Return the mean, and a factor L of the covariance L·Lᵀ."""
    mean = rows.mean(axis=0)
    covariance = np.cov(rows, rowvar=False)
    round_one = np.eye(FACEID_WIDTH) * np.trace(covariance) / FACEID_WIDTH
    return mean, np.linalg.cholesky((1 - shrinkage) * covariance + shrinkage * round_one)


def _is_far(
    rows: Float32[np.ndarray, "rows 512"],
    others: Float32[np.ndarray, "others 512"],
    min_distance: float,
) -> np.ndarray:
    if not len(others):
        return np.ones(len(rows), dtype=bool)
    return nearest(rows, others).similarity <= 1 - min_distance


def _as_store(
    store: FaceStore, rows: Float32[np.ndarray, "rows 512"], seed: int, min_distance: float
) -> FaceStore:
    return FaceStore(
        embeddings=rows,
        identity_ids=tuple(f"new-{number:08d}" for number in range(len(rows))),
        about=replace(
            store.about,
            synthetic=True,
            source=f"drawn with seed {seed} from the statistics of {len(store)} people, at a "
            f"cosine distance of {min_distance:g} or more from them and each other",
        ),
        where=f"new people from {store.where}",
    )


def _refuse_small(store: FaceStore) -> None:
    if len(store) < 2:
        raise ConfigError(
            f"{store.where} holds 1 person; new people are drawn from the statistics of 2 or more"
        )


def _too_near(
    store: FaceStore, found: int, count: int, min_distance: float, would_do: float | None
) -> str:
    smaller = "a smaller distance" if would_do is None else f"a distance of {would_do:g}"
    return (
        f"only {found:,} of {count:,} new people keep a cosine distance of {min_distance:g} to "
        f"each other and to the {len(store)} people of {store.where}: the next {TRIES} draws are "
        f"all nearer to somebody; ask for fewer people, or for {smaller}"
    )
