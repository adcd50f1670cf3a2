"""Faces under different names that are as near as two faces of one person."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import floor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float32, Int64

from samplers.identities.embeddings import SAME

if TYPE_CHECKING:
    from samplers.identities.store import FaceStore

NEAR_COPY = 0.98
"""Cosine from which two embeddings are of one picture, encoded twice."""

_WITHOUT_PAIRS = 0.9
_LEAST, _MOST = 0.3, NEAR_COPY
_ENOUGH = 5
_MOST_ROWS = 50_000
_SHOWN = 3
_BLOCK = 1024


class NearPair(NamedTuple):
    """Two people with faces that are near each other, and how near [cosine]."""

    one: str
    other: str
    cosine: float


@dataclass(frozen=True, slots=True)
class Alike:
    """Faces of a store under different names that are as near as two faces of one person.

    Attributes:
        level: cosine from which faces count as near: the median of the store's own pairs of faces
            of one person, where it has five or more.
        own: whether the level is the store's own.
        pairs: number of such pairs of faces.
        first: the nearest of them.
        rows: rows that were compared: all, up to 50,000.
    """

    level: float
    own: bool
    pairs: int
    first: tuple[NearPair, ...]
    rows: int

    def sentence(self, where: str) -> str | None:
        """Say it; None where there is no such pair.

        Args:
            where: the file.
        """
        if not self.pairs:
            return None
        shown = ", ".join(f"{one!r} and {other!r} ({c:.3f})" for one, other, c in self.first)
        what = "its own level of two faces of one person" if self.own else "hardly two people's"
        only = f" among the first {self.rows:,} rows" if self.rows == _MOST_ROWS else ""
        return (
            f"{where}: {self.pairs:,} {'pair' if self.pairs == 1 else 'pairs'} of faces under "
            f"different names{only} have a cosine of {self.level:.2f} or more ({what}): {shown}; "
            "one person may be in several splits: mend the names, or make one person of "
            f"those (synthgen faces import --merge-near {floor(100 * self.level + 0.01) / 100:.2f})"
        )


def find_alike(store: "FaceStore") -> Alike:
    """Count all pairs of near faces under different names."""
    own = _own_level(store)
    level = _WITHOUT_PAIRS if own is None else own
    names = list(store.rows)
    number = {name: place for place, name in enumerate(names)}
    people = np.array([number[name] for name in store.identity_ids[:_MOST_ROWS]])
    rows = store.embeddings[:_MOST_ROWS]
    pairs, first = 0, []
    for start, cosines in _blocks(rows):
        other = people[start : start + len(cosines), None] != people[start:]
        near = np.triu((cosines >= level) & other, 1)
        pairs += int(near.sum())
        for row, place in _nearest(cosines, near):
            one, two = people[start + row], people[start + place]
            first.append(NearPair(names[one], names[two], float(cosines[row, place])))
        first = sorted(first, key=lambda pair: -pair.cosine)[:_SHOWN]
    return Alike(level, own is not None, pairs, tuple(first), len(rows))


def merge_near(
    embeddings: Float32[np.ndarray, "rows 512"], identity_ids: Sequence[str], least: float
) -> tuple[Int64[np.ndarray, " kept"], list[str]]:
    """Make one person of all who have faces near each other, and drop equal faces.

    Args:
        embeddings: L2-normalised.
        identity_ids: the person of each row.
        least: cosine from which two faces are one person's.

    Returns:
        The rows that stay, and the person of each of them: of those merged, the first.
    """
    first: dict[str, int] = {}
    people = np.array([first.setdefault(name, row) for row, name in enumerate(identity_ids)])
    again = np.zeros(len(people), dtype=bool)
    for start, cosines in _blocks(embeddings):
        near = np.triu(cosines >= least, 1)
        for row in np.flatnonzero(near.any(axis=1)).tolist():
            places = start + np.flatnonzero(near[row])
            together = np.unique(people[[start + row, *places]])
            if len(together) > 1:
                people[np.isin(people, together)] = together[0]
            if not again[start + row]:
                apart = np.linalg.norm(embeddings[places] - embeddings[start + row], axis=1)
                again[places[apart < SAME]] = True
    kept = np.flatnonzero(~again)
    return kept, [identity_ids[int(person)] for person in people[kept]]


def _own_level(store: "FaceStore") -> float | None:
    """Return the median cosine of two faces of one person; None where there are too few."""
    pairs = [pair for rows in store.rows.values() for pair in pairwise(rows)]
    if len(pairs) < _ENOUGH:
        return None
    one, other = np.array(pairs[:_MOST_ROWS]).T
    cosines = (store.embeddings[one] * store.embeddings[other]).sum(axis=1)
    return float(np.clip(np.median(cosines), _LEAST, _MOST))


def _blocks(
    rows: Float32[np.ndarray, "rows 512"],
) -> Iterator[tuple[int, Float32[np.ndarray, "block others"]]]:
    """Yield the cosines of some rows with themselves and all that follow."""
    for start in range(0, len(rows), _BLOCK):
        yield start, rows[start : start + _BLOCK] @ rows[start:].T


def _nearest(cosines: np.ndarray, near: np.ndarray) -> list[tuple[int, int]]:
    """Return the nearest of some pairs."""
    found = np.argwhere(near)
    order = np.argsort(-cosines[near], kind="stable")[:_SHOWN]
    return [(row, place) for row, place in found[order].tolist()]
