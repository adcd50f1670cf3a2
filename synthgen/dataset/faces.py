"""How well a dataset's images show the people asked for, and keep them apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from synthgen.schema import (
    FACEID_MEASURED,
    FORBIDDEN_SIMILARITY,
    IDENTITY_SIMILARITY,
    DatasetSchema,
)

COMPARED = 4096
"""Images that are compared with one another, at most: the first ones of the dataset."""

_BLOCK = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceStatistics:
    """Similarities are cosines of embeddings; NaN where there is nothing to compare.

    Attributes:
        without_face: rows without a face that were passed over while those were collected.
        similarity: mean similarity of image and person asked for.
        least_similarity: the smallest of them.
        forbidden: largest similarity to anybody who must not appear.
        compared: images that were compared with one another.
        consistency: mean similarity of two images of one identity.
        others: mean similarity of two images of two identities.
        rank1: share of images whose nearest other image shows the same identity, among those whose
            identity another image shows.
    """

    without_face: int
    similarity: float
    least_similarity: float
    forbidden: float
    compared: int
    consistency: float
    others: float
    rank1: float


class Comparison(NamedTuple):
    """Faces compared with one another; NaN where there is nothing to compare.

    Attributes:
        consistency: mean similarity of two faces of one identity.
        others: mean similarity of two faces of two identities.
        rank1: share of faces whose nearest other face is of the same identity, among those whose
            identity has another face.
    """

    consistency: float
    others: float
    rank1: float


class FaceSums:
    """Adds up what rows say about faces, batch by batch.

    Args:
        schema: the columns of the dataset.
    """

    def __init__(self, schema: DatasetSchema) -> None:
        self._there = set(schema.faces)
        self._similarities = _Extremes()
        self._forbidden = _Extremes()
        self._without = 0
        self._embeddings: list[np.ndarray] = []
        self._people: list[str] = []

    @property
    def columns(self) -> list[str]:
        """Columns that the next batch needs, beside `identity_id`."""
        wanted = [IDENTITY_SIMILARITY, FORBIDDEN_SIMILARITY]
        if len(self._people) < COMPARED:
            wanted.append(FACEID_MEASURED)
        return [name for name in wanted if name in self._there]

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in rows."""
        names = batch.schema.names
        if IDENTITY_SIMILARITY in names:
            self._similarities.add(_floats(batch.column(IDENTITY_SIMILARITY)))
        if FORBIDDEN_SIMILARITY in names:
            self._forbidden.add(_floats(batch.column(FORBIDDEN_SIMILARITY)))
        if FACEID_MEASURED in names:
            self._keep(batch)

    def statistics(self) -> FaceStatistics | None:
        """Return what was added up; None where no image's face was embedded."""
        if FACEID_MEASURED not in self._there:
            return None
        embeddings = np.array(self._embeddings, np.float32).reshape(len(self._people), -1)
        between = compare_faces(embeddings, self._people)
        return FaceStatistics(
            without_face=self._without,
            similarity=self._similarities.mean,
            least_similarity=self._similarities.least,
            forbidden=self._forbidden.most,
            compared=len(self._people),
            consistency=between.consistency,
            others=between.others,
            rank1=between.rank1,
        )

    def _keep(self, batch: pa.RecordBatch) -> None:
        people = batch.column("identity_id").to_pylist()
        rows = _floats(batch.column(FACEID_MEASURED).flatten()).reshape(len(people), -1)
        for person, row in zip(people, rows, strict=True):
            if np.isnan(row[0]):
                self._without += 1
            elif len(self._people) < COMPARED:
                self._people.append(person)
                self._embeddings.append(row.astype(np.float32))


class _Extremes:
    """Mean, least and largest of numbers; NaN where there are none."""

    def __init__(self) -> None:
        self._count, self._sum = 0, 0.0
        self.least = self.most = float("nan")

    @property
    def mean(self) -> float:
        return self._sum / self._count if self._count else float("nan")

    def add(self, values: np.ndarray) -> None:
        there = values[~np.isnan(values)]
        if there.size:
            self._count += there.size
            self._sum += float(there.sum())
            self.least = float(np.fmin(self.least, there.min()))
            self.most = float(np.fmax(self.most, there.max()))


def compare_faces(embeddings: np.ndarray, people: Sequence[str]) -> Comparison:
    """Compare each face with every other one.

    Args:
        embeddings: L2-normalised, [faces, width].
        people: the identity of each face.
    """
    codes = np.unique(people, return_inverse=True)[1] if len(people) else np.zeros(0, int)
    mates = np.bincount(codes)[codes] > 1 if len(people) else np.zeros(0, bool)
    same, other = np.zeros(2), np.zeros(2)  # count and sum
    hits = 0
    for start in range(0, len(codes), _BLOCK):
        cosines = (embeddings[start : start + _BLOCK] @ embeddings.T).astype(np.float64)
        rows = np.arange(len(cosines))
        alike = codes[start : start + _BLOCK, None] == codes
        other += (~alike).sum(), cosines[~alike].sum()
        alike[rows, start + rows] = False  # an image says nothing about itself
        same += alike.sum(), cosines[alike].sum()
        cosines[rows, start + rows] = -np.inf
        nearest = cosines.argmax(axis=1)
        hits += int((mates[start : start + _BLOCK] & (codes[nearest] == codes[start + rows])).sum())
    return Comparison(
        consistency=_ratio(same[1], same[0]),
        others=_ratio(other[1], other[0]),
        rank1=_ratio(hits, int(mates.sum())),
    )


def _ratio(total: float, count: float) -> float:
    return float(total / count) if count else float("nan")


def _floats(column: pa.Array) -> np.ndarray:
    return column.to_numpy(zero_copy_only=False).astype(np.float64)
