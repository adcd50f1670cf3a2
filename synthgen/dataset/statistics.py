"""What a dataset holds, counted from its markers and from its columns other than the images."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from synthgen.action_units import AU_COUNT, AUS
from synthgen.dataset import layout
from synthgen.dataset.damage import telling_damage
from synthgen.dataset.faces import FaceStatistics, FaceSums
from synthgen.dataset.marker_reader import read_markers
from synthgen.dataset.markers import ShardMarker, ShortStratum
from synthgen.dataset.parquet import read_columns
from synthgen.dataset.run_record import RunRecord, read_record
from synthgen.dataset.shortfall import total_short
from synthgen.dataset.storage import Storage
from synthgen.dataset.strata import StrataSums, Stratum


@dataclass(frozen=True, slots=True)
class AUStatistics:
    """How one AU was asked for and found.

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
        categories: category → split → rows; empty where the prior has no categories.
        identities: split → identities.
        aus: one for each AU, in order.
        strata: one for each quota cell, or else each category.
        slots: slot with a quota → value → rows.
        attempts: images that were asked for.
        accepted: rows that keep the policy.
        rejected: reason → attempts that missed the policy.
        errors: attempts that ended in an error.
        missing: ids of the samples that have no row.
        faces: how images show the people asked for; None where no faces were embedded.
        hardware: kinds of accelerator that made the shards, in order of their names.
        last_shards: split → number of its last shard.
        short: name of a stratum → what it lacks, for each that lacks accepted samples.
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
    faces: FaceStatistics | None = None
    hardware: tuple[str, ...] = ()
    last_shards: Mapping[str, int] = field(default_factory=dict)
    short: Mapping[str, ShortStratum] = field(default_factory=dict)

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
    markers = _in_order_of_splits(record, markers)
    categories = record.schema.categories
    quotas = record.configuration.get("identities", {}).get("quotas") or {}
    sums, strata, faces = _AUSums(), StrataSums(record), FaceSums(record.schema)
    labels: dict[str, Counter[int]] = {marker.split: Counter() for marker in markers}
    identities: dict[str, set[str]] = {marker.split: set() for marker in markers}
    slots: dict[str, Counter[str]] = {slot: Counter() for slot in quotas}
    columns = [*strata.row_columns, "aus_measured", "identity_id", *(["identity"] * bool(quotas))]
    for marker in markers:
        with telling_damage(storage, marker):
            file = layout.data_file(*marker.key)
            for batch in read_columns(storage, file, [*columns, *faces.columns]):
                sums.add(batch)
                faces.add(batch)
                strata.add_rows(batch)
                identities[marker.split].update(batch.column("identity_id").to_pylist())
                for slot, found in slots.items():
                    found.update(batch.column("identity").field(slot).to_pylist())
                if categories:
                    labels[marker.split].update(batch.column("emotion").to_pylist())
            for batch in _reject_columns(storage, marker, strata.reject_columns):
                strata.add_rejects(batch)
    return Statistics(
        rows=_total({marker.split: marker.rows} for marker in markers),
        rejects=_total({marker.split: marker.rejects} for marker in markers),
        categories={
            name: {split: found[label] for split, found in labels.items()}
            for label, name in enumerate(categories)
        },
        identities={split: len(found) for split, found in identities.items()},
        aus=sums.statistics(),
        strata=strata.strata(),
        slots=slots,
        attempts=sum(marker.attempts for marker in markers),
        accepted=sum(marker.accepted for marker in markers),
        rejected=dict(sorted(_total(marker.rejected for marker in markers).items())),
        errors=sum(marker.errors for marker in markers),
        missing=tuple(sample for marker in markers for sample in marker.missing),
        faces=faces.statistics(),
        hardware=tuple(sorted({marker.hardware for marker in markers if marker.hardware})),
        last_shards={marker.split: marker.number for marker in markers},
        short=total_short(markers),
    )


def _reject_columns(
    storage: Storage, marker: ShardMarker, columns: list[str]
) -> Iterator[pa.RecordBatch]:
    if marker.rejects:
        yield from read_columns(storage, layout.reject_file(*marker.key), columns)


class _AUSums:
    """Sums over rows, for each AU: rows, intensities asked for, and intensities found."""

    def __init__(self) -> None:
        self._requested = np.zeros((2, AU_COUNT))
        self._measured = np.zeros((2, AU_COUNT))
        self._elsewhere = np.zeros((2, AU_COUNT))

    def add(self, batch: pa.RecordBatch) -> None:
        requested, measured = _matrix(batch.column("aus")), _matrix(batch.column("aus_measured"))
        active, seen = requested != 0, ~np.isnan(measured)
        self._requested += _count_and_sum(requested, active)
        self._measured += _count_and_sum(measured, active & seen)
        self._elsewhere += _count_and_sum(measured, ~active & seen)

    def statistics(self) -> tuple[AUStatistics, ...]:
        means = [_mean(sums) for sums in (self._requested, self._measured, self._elsewhere)]
        return tuple(
            AUStatistics(name, int(self._requested[0, i]), *(float(mean[i]) for mean in means))
            for i, name in enumerate(AUS)
        )


def _matrix(column: pa.Array) -> np.ndarray:
    """Return [rows, aus] float64, NaN where there is null."""
    values = column.flatten().to_numpy(zero_copy_only=False)
    return values.astype(np.float64).reshape(-1, AU_COUNT)


def _count_and_sum(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.stack([mask.sum(axis=0), np.where(mask, values, 0.0).sum(axis=0)])


def _mean(sums: np.ndarray) -> np.ndarray:
    numbers, totals = sums
    return np.divide(totals, numbers, out=np.full(AU_COUNT, np.nan), where=numbers > 0)


def _in_order_of_splits(record: RunRecord, markers: Iterable[ShardMarker]) -> list[ShardMarker]:
    order = list(record.configuration.get("output", {}).get("splits", ()))
    known = {split: position for position, split in enumerate(order)}
    return sorted(markers, key=lambda marker: (known.get(marker.split, len(known)), marker.key))


def _total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(total)
