"""Statistics of a dataset from its markers and columns, faces included."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from synthgen.dataset import layout
from synthgen.dataset.by_slot import SlotFindings, SlotSums
from synthgen.dataset.damage import telling_damage
from synthgen.dataset.markers import ShardMarker, ShortStratum, read_markers
from synthgen.dataset.parquet import read_columns
from synthgen.dataset.run_record import RunRecord, read_record
from synthgen.dataset.schema import (
    AUS_MEASURED,
    FACEID_EMBEDDING,
    FACEID_MEASURED,
    FORBIDDEN_SIMILARITY,
    IDENTITY_SIMILARITY,
    DatasetSchema,
)
from synthgen.dataset.storage import Storage
from synthgen.dataset.strata import StrataSums, Stratum, total_short

COMPARED = 4096
"""Images that are compared with one another, at most: the first ones of the dataset."""

_BLOCK = 512

_OF_REJECTS = ["sample_id", "identity_id", "attempt", "replacement"]
"""Columns of rejects that tell whose first attempts were rejected."""


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
        neutral: whether images were compared with the neutral image of their identity: they show
            no person of a store.
    """

    without_face: int
    similarity: float
    least_similarity: float
    forbidden: float
    compared: int
    consistency: float
    others: float
    rank1: float
    neutral: bool = False


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
        self._there = {column.name for column in schema.columns}
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
        between = compare_faces(np.array(self._embeddings, np.float32), self._people)
        return FaceStatistics(
            without_face=self._without,
            similarity=self._similarities.mean,
            least_similarity=self._similarities.least,
            forbidden=self._forbidden.most,
            compared=len(self._people),
            consistency=between.consistency,
            others=between.others,
            rank1=between.rank1,
            neutral=FACEID_EMBEDDING not in self._there,
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


@dataclass(frozen=True, slots=True)
class AUStatistics:
    """Statistics of one AU, asked for and found.

    Attributes:
        name: name of the AU.
        requested: rows that ask for it.
        mean_requested: mean requested intensity in these rows; NaN where there are none.
        mean_measured: mean measured intensity in these rows; NaN where none is measured.
        mean_elsewhere: mean measured intensity in the other rows; NaN where none is measured.
    """

    name: str
    requested: int
    mean_requested: float
    mean_measured: float
    mean_elsewhere: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Counts over a dataset.

    Attributes:
        rows: split → rows.
        rejects: split → rejected attempts, errors included.
        categories: category → split → rows, in the order of the labels, of those that the run
            shows; empty where the prior has no categories.
        category_aus: category → AU → share of its rows that ask for the AU, of categories that
            have rows.
        identities: split → identities.
        aus: one for each AU, in order.
        strata: one for each quota cell, or else each category.
        slots: slot with a quota → value → rows.
        by_slot: what became of the values of all slots.
        attempts: images that were asked for.
        accepted: rows that keep the policy, or that no check has looked at.
        rejected: reason → attempts that missed the policy.
        errors: attempts that ended in an error.
        missing: ids of the samples that have no row.
        unjudged: rows that no check has looked at, whose `accepted` is null.
        faces: how images show the people asked for; None where no faces were embedded.
        hardware: kinds of accelerator that made the shards, in order of their names.
        last_shards: split → number of its last shard.
        short: name of a stratum → what it lacks, for each that lacks accepted samples.
        checksum: first digits of a SHA-256 of the checksums of all shards.
        reject_images: pictures of rejected attempts that are kept.
    """

    rows: Mapping[str, int]
    rejects: Mapping[str, int]
    categories: Mapping[str, Mapping[str, int]]
    identities: Mapping[str, int]
    aus: tuple[AUStatistics, ...]
    strata: tuple[Stratum, ...]
    slots: Mapping[str, Mapping[str, int]]
    attempts: int
    accepted: int
    rejected: Mapping[str, int]
    errors: int
    missing: tuple[str, ...]
    unjudged: int = 0
    by_slot: SlotFindings = SlotFindings()  # noqa: RUF009 - immutable
    faces: FaceStatistics | None = None
    hardware: tuple[str, ...] = ()
    last_shards: Mapping[str, int] = field(default_factory=dict)
    short: Mapping[str, ShortStratum] = field(default_factory=dict)
    checksum: str = ""
    category_aus: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    reject_images: int = 0

    @property
    def total(self) -> int:
        """Rows of all splits."""
        return sum(self.rows.values())

    @property
    def lacking(self) -> int:
        """Samples without an accepted image, whether they have a row or not."""
        return self.total - self.accepted + len(self.missing)

    @property
    def acceptance(self) -> float:
        """Share of the attempts that gave an accepted row; NaN without attempts."""
        return self.accepted / self.attempts if self.attempts else float("nan")


def read_statistics(storage: Storage) -> Statistics:
    """Count what a dataset holds.

    Raises:
        DatasetError: if there is no dataset, or a marker or data file is corrupt.
    """
    return count(storage, read_record(storage), read_markers(storage).values())


def count(storage: Storage, record: RunRecord, markers: Iterable[ShardMarker]) -> Statistics:
    """Count what some shards hold, with the splits in the order of the configuration.

    Raises:
        DatasetError: if a data file is missing or corrupt; it is a `DamagedShardError` where the
            file is not what its marker says.
    """
    markers = in_order_of_splits(record, markers)
    categories, asked = record.schema.categories, record.schema.asked_categories
    quotas = record.configuration.get("identities", {}).get("quotas") or {}
    sums, strata, faces = _AUSums(record.schema), StrataSums(record), FaceSums(record.schema)
    by_slot = SlotSums(record.schema, attempts=not record.sources)
    labels: dict[str, Counter[int]] = {marker.split: Counter() for marker in markers}
    identities: dict[str, set[str]] = {marker.split: set() for marker in markers}
    slots: dict[str, Counter[str]] = {slot: Counter() for slot in quotas}
    wanted = [*strata.row_columns, *sums.columns, *by_slot.columns, "identity_id"]
    columns = list(dict.fromkeys([*wanted, *(["identity"] * bool(quotas))]))
    unjudged = 0
    of_rejects = list(dict.fromkeys([*strata.reject_columns, *by_slot.reject_columns]))
    for marker in markers:
        by_slot.begin_shard()
        with telling_damage(storage, marker):
            file = layout.data_file(*marker.key)
            for batch in read_columns(storage, file, [*columns, *faces.columns]):
                sums.add(batch)
                by_slot.add(batch)
                unjudged += batch.column("accepted").null_count
                faces.add(batch)
                strata.add_rows(batch)
                identities[marker.split].update(batch.column("identity_id").to_pylist())
                for slot, found in slots.items():
                    found.update(batch.column("identity").field(slot).to_pylist())
                if categories:
                    labels[marker.split].update(batch.column("emotion").to_pylist())
                    sums.add_categories(batch)
            for batch in _reject_columns(storage, marker, of_rejects):
                strata.add_rejects(batch)
                by_slot.add_rejects(batch)
    if by_slot.columns and not record.sources:
        by_slot.add_missing(*_missing_people(storage, markers))
    return Statistics(
        rows=_total({marker.split: marker.rows} for marker in markers),
        rejects=_total({marker.split: marker.rejects} for marker in markers),
        categories={
            name: {split: found[label] for split, found in labels.items()}
            for label, name in enumerate(categories)
            if name in asked or any(found[label] for found in labels.values())
        },
        identities={split: len(found) for split, found in identities.items()},
        aus=sums.statistics(),
        strata=strata.strata(),
        slots=slots,
        by_slot=by_slot.findings(),
        attempts=sum(marker.attempts for marker in markers),
        accepted=sum(marker.accepted for marker in markers),
        rejected=dict(sorted(_total(marker.rejected for marker in markers).items())),
        errors=sum(marker.errors for marker in markers),
        missing=tuple(sample for marker in markers for sample in marker.missing),
        unjudged=unjudged,
        faces=faces.statistics(),
        hardware=tuple(sorted({marker.hardware for marker in markers if marker.hardware})),
        last_shards={marker.split: marker.number for marker in markers},
        short=total_short(markers),
        checksum=data_checksum(markers),
        category_aus=sums.category_aus(),
        reject_images=sum(marker.reject_images for marker in markers),
    )


def data_checksum(markers: Iterable[ShardMarker]) -> str:
    """Return the first digits of a SHA-256 of the checksums of all shards."""
    files = {name: stamp.sha256 for marker in markers for name, stamp in marker.files.items()}
    return sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:16]


def _reject_columns(
    storage: Storage, marker: ShardMarker, columns: list[str]
) -> Iterator[pa.RecordBatch]:
    if marker.rejects:
        yield from read_columns(storage, layout.reject_file(*marker.key), columns)


def _missing_people(
    storage: Storage, markers: Iterable[ShardMarker]
) -> tuple[Counter[str], dict[str, dict[str, str]]]:
    """Return identity → its samples that have no row, and the slots that other rows tell of it."""
    lacking = [marker for marker in markers if marker.missing]
    people: Counter[str] = Counter()
    for marker in lacking:
        missing = frozenset(marker.missing)
        for batch in _reject_columns(storage, marker, _OF_REJECTS):
            people.update(
                row["identity_id"]
                for row in batch.to_pylist()
                if row["sample_id"] in missing and row["attempt"] == row["replacement"] == 0
            )
    slots: dict[str, dict[str, str]] = {}
    splits = {marker.split for marker in lacking}
    for marker in markers if people else ():
        if marker.split in splits:
            file = layout.data_file(*marker.key)
            for batch in read_columns(storage, file, ["identity_id", "identity"]):
                for row in batch.to_pylist():
                    if row["identity_id"] in people:
                        slots[row["identity_id"]] = row["identity"]
    return people, slots


class _AUSums:
    """Sums over rows, for each AU: rows, intensities asked for, and intensities found."""

    def __init__(self, schema: DatasetSchema) -> None:
        self.columns = [AUS_MEASURED] if schema.has(AUS_MEASURED) else []
        self._names = schema.aus
        self._requested = np.zeros((2, len(self._names)))
        self._measured = np.zeros_like(self._requested)
        self._elsewhere = np.zeros_like(self._requested)
        self._categories = schema.categories
        self._by_category = np.zeros((len(schema.categories), 1 + len(self._names)))

    def add(self, batch: pa.RecordBatch) -> None:
        requested = _matrix(batch.column("aus"), len(self._names))
        measured = np.full_like(requested, np.nan)
        if self.columns:
            measured = _matrix(batch.column(AUS_MEASURED), len(self._names))
        active, seen = requested != 0, ~np.isnan(measured)
        self._requested += _count_and_sum(requested, active)
        self._measured += _count_and_sum(measured, active & seen)
        self._elsewhere += _count_and_sum(measured, ~active & seen)

    def add_categories(self, batch: pa.RecordBatch) -> None:
        """Count rows, and AUs asked for, by category."""
        active = _matrix(batch.column("aus"), len(self._names)) != 0
        labels = _floats(batch.column("emotion"))
        known = ~np.isnan(labels)
        counted = np.column_stack([np.ones(len(active)), active])[known]
        np.add.at(self._by_category, labels[known].astype(np.int64), counted)

    def category_aus(self) -> dict[str, dict[str, float]]:
        rows = zip(self._categories, self._by_category.tolist(), strict=True)
        return {
            name: dict(zip(self._names, (found / n for found in active), strict=True))
            for name, (n, *active) in rows
            if n
        }

    def statistics(self) -> tuple[AUStatistics, ...]:
        means = [_mean(sums) for sums in (self._requested, self._measured, self._elsewhere)]
        return tuple(
            AUStatistics(name, int(self._requested[0, i]), *(float(mean[i]) for mean in means))
            for i, name in enumerate(self._names)
        )


def _matrix(column: pa.Array, aus: int) -> np.ndarray:
    """Return [rows, aus] float64, NaN where there is null."""
    values = column.flatten().to_numpy(zero_copy_only=False)
    return values.astype(np.float64).reshape(-1, aus)


def _count_and_sum(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.stack([mask.sum(axis=0), np.where(mask, values, 0.0).sum(axis=0)])


def _mean(sums: np.ndarray) -> np.ndarray:
    numbers, totals = sums
    return np.divide(totals, numbers, out=np.full(len(totals), np.nan), where=numbers > 0)


def in_order_of_splits(record: RunRecord, markers: Iterable[ShardMarker]) -> list[ShardMarker]:
    """Return markers split by split, in the order of the configuration."""
    order = list(record.configuration.get("output", {}).get("splits", ()))
    known = {split: position for position, split in enumerate(order)}
    return sorted(markers, key=lambda marker: (known.get(marker.split, len(known)), marker.key))


def _total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(total)
