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
_MOST_PAIRS = 100_000
_SHOWN = 3
_BLOCK = 256


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
        only: the first rows, where only they were compared; None: all were.
    """

    level: float
    own: bool
    pairs: int
    first: tuple[NearPair, ...]
    only: int | None

    def sentence(self, where: str) -> str | None:
        """Say it; None where there is no such pair.

        Args:
            where: the file.
        """
        if not self.pairs:
            return None
        shown = ", ".join(f"{one!r} and {other!r} ({c:.3f})" for one, other, c in self.first)
        what = "its own level of two faces of one person" if self.own else "hardly two people's"
        only = "" if self.only is None else f" among the first {self.only:,} rows"
        return (
            f"{where}: {self.pairs:,} {'pair' if self.pairs == 1 else 'pairs'} of faces under "
            f"different names{only} have a cosine of {self.level:.2f} or more ({what}): {shown}; "
            "one person may be in several splits: mend the names, or make one person of "
            f"those (synthgen faces import --merge-near {floor(100 * self.level + 0.01) / 100:.2f})"
        )


def find_alike(store: "FaceStore", most: int = _MOST_ROWS) -> Alike:
    """Count all pairs of near faces under different names.

    Args:
        store: the people.
        most: rows that are compared with each other, the first ones.
    """
    own = _own_level(store)
    level = _WITHOUT_PAIRS if own is None else own
    names = list(store.rows)
    number = {name: place for place, name in enumerate(names)}
    people = np.array([number[name] for name in store.identity_ids[:most]])
    rows = store.embeddings[:most]
    pairs, first = 0, []
    for start, cosines in _blocks(rows):
        row, place = np.nonzero(np.triu(cosines >= level, 1))
        others = people[start + row] != people[start + place]
        row, place = row[others], place[others]
        pairs += len(row)
        for near in np.argsort(-cosines[row, place], kind="stable")[:_SHOWN].tolist():
            one, two = (names[people[start + found[near]]] for found in (row, place))
            first.append(NearPair(one, two, float(cosines[row[near], place[near]])))
        first = sorted(first, key=lambda pair: -pair.cosine)[:_SHOWN]
    only = most if most < len(store.embeddings) else None
    return Alike(level, own is not None, pairs, tuple(first), only)


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
    one, other = np.array(pairs[:_MOST_PAIRS]).T
    cosines = (store.embeddings[one] * store.embeddings[other]).sum(axis=1)
    return float(np.clip(np.median(cosines), _LEAST, _MOST))


def _blocks(
    rows: Float32[np.ndarray, "rows 512"],
) -> Iterator[tuple[int, Float32[np.ndarray, "block others"]]]:
    """Yield the cosines of some rows with themselves and all that follow."""
    for start in range(0, len(rows), _BLOCK):
        yield start, rows[start : start + _BLOCK] @ rows[start:].T
