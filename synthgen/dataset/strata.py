"""Strata: samples asked for, drawn first and delivered, and the shortfall of a dataset.

A dataset is whole when each sample that was asked for has an accepted image.

A sample's first spec is in the row or the reject of its attempt 0 and replacement 0, so both sides
are counted from the data alone.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from synthgen.action_units import ActionUnitSet
from synthgen.config.quotas import NO_CATEGORY, QuotaCells, QuotasConfig
from synthgen.dataset.markers import ShardMarker, ShortStratum
from synthgen.dataset.run_record import RunRecord

_SHOWN = 12
"""Strata that are named at most."""


def total_short(markers: Iterable[ShardMarker]) -> dict[str, ShortStratum]:
    """Add up what shards lack, by stratum: the one that lacks most first.

    A stratum's sums are over the shards that lack samples of it, not over those that have all.
    """
    parts: dict[str, list[ShortStratum]] = {}
    for marker in markers:
        for name, lack in marker.short.items():
            parts.setdefault(name, []).append(lack)
    sums = {name: _sum(lacks) for name, lacks in parts.items()}
    return dict(sorted(sums.items(), key=lambda item: (-item[1].short, item[0])))


def describe_short(short: Mapping[str, ShortStratum], lacking: int) -> list[str]:
    """Say which strata fell short, of how many samples and why, a line each.

    Args:
        short: what `total_short` returns.
        lacking: samples without an accepted image; older markers do not tell their strata.
    """
    names = list(short)[:_SHOWN]
    lines = [f"{name}: {describe_stratum(short[name])}" for name in names]
    if more := len(short) - len(names):
        left = sum(lack.short for lack in list(short.values())[_SHOWN:])
        lines.append(f"… and {more} more strata: {left} short")
    if unknown := lacking - sum(lack.short for lack in short.values()):
        lines.append(f"strata not recorded: {unknown} short")
    return lines


def describe_stratum(lack: ShortStratum) -> str:
    """Say how many samples a stratum lacks, and what became of its images."""
    images = f"{lack.accepted} of {lack.images} images accepted"
    return f"{lack.short} short; {images} ({describe_rejected(lack.rejected)})"


def describe_rejected(rejected: Mapping[str, int]) -> str:
    """Say why images were rejected, the most frequent reason first."""
    reasons = sorted(rejected.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {reason}" for reason, count in reasons)


def _sum(lacks: Iterable[ShortStratum]) -> ShortStratum:
    asked = accepted = images = 0
    rejected: Counter[str] = Counter()
    for lack in lacks:
        asked, accepted, images = (
            asked + lack.asked,
            accepted + lack.accepted,
            images + lack.images,
        )
        rejected.update(lack.rejected)
    return ShortStratum(asked=asked, accepted=accepted, images=images, rejected=dict(rejected))


EVERYTHING = "all samples"
"""The one stratum of a run with neither quotas nor categories."""

DRIFT = 0.005
"""Smallest change of a rate that counts as a drift."""

_NUMBERS = ["aus", "attempt", "replacement"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """One stratum of a dataset.

    Attributes:
        name: quota cell, category, or `all samples`.
        asked: share that a quota asks for; None where there is no quota.
        drawn: samples whose first spec is in it.
        delivered: rows in it.
        drawn_rates: share of the drawn in which each AU is active; 0 where none is drawn.
        delivered_rates: the same of the rows.
    """

    name: str
    asked: float | None
    drawn: int
    delivered: int
    drawn_rates: tuple[float, ...]
    delivered_rates: tuple[float, ...]


class Drift(NamedTuple):
    """Change of an AU's rate inside a stratum by the policy.

    Attributes:
        stratum: name of the stratum.
        au: the AU.
        drawn: share of the drawn in which it is active.
        delivered: the same of the rows.
    """

    stratum: str
    au: str
    drawn: float
    delivered: float

    @property
    def change(self) -> float:
        """Delivered less drawn."""
        return self.delivered - self.drawn


def drifts(strata: Iterable[Stratum], aus: Sequence[str]) -> list[Drift]:
    """Return the changes of `DRIFT` or more, the largest first.

    A stratum of which nothing was drawn or delivered has none.

    Args:
        strata: the strata.
        aus: the AUs of their rates.
    """
    found = [
        Drift(stratum.name, *rates)
        for stratum in strata
        if stratum.drawn and stratum.delivered
        for rates in zip(aus, stratum.drawn_rates, stratum.delivered_rates, strict=True)
    ]
    seen = [drift for drift in found if abs(drift.change) >= DRIFT]
    return sorted(seen, key=lambda drift: -abs(drift.change))


class StrataSums:
    """Counts the strata of a dataset, batch by batch."""

    def __init__(self, record: RunRecord) -> None:
        self._labels = record.schema.categories
        self._categories = record.schema.asked_categories
        # Place of each label among the categories asked for; that of no category comes last.
        self._places = np.array(
            [
                self._categories.index(name) if name in self._categories else len(self._categories)
                for name in (*self._labels, NO_CATEGORY)
            ],
            np.int64,
        )
        self._aus = ActionUnitSet(record.schema.aus)
        self._cells = _cells(record.configuration, self._categories, self._aus)
        self._names = _names(self._cells, self._categories)
        # Samples and active AUs: the first column counts the samples.
        self._drawn = np.zeros((len(self._names), 1 + len(self._aus)), dtype=np.int64)
        self._delivered = np.zeros_like(self._drawn)

    @property
    def row_columns(self) -> list[str]:
        """Columns of the rows that are needed."""
        return [*self.reject_columns, "accepted"]

    @property
    def reject_columns(self) -> list[str]:
        """Columns of the rejects that are needed."""
        return [*_NUMBERS, *(["emotion"] if self._categories else [])]

    def add_rows(self, batch: pa.RecordBatch) -> None:
        """Take in rows of the data. A row that is not accepted is among the rejects too."""
        strata, active = self._read(batch)
        accepted = batch.column("accepted").fill_null(True).to_numpy(zero_copy_only=False)
        first = _is_first(batch) & accepted
        _add(self._delivered, strata, active)
        _add(self._drawn, strata[first], active[first])

    def add_rejects(self, batch: pa.RecordBatch) -> None:
        """Take in rejected attempts."""
        strata, active = self._read(batch)
        first = _is_first(batch)
        _add(self._drawn, strata[first], active[first])

    def strata(self) -> tuple[Stratum, ...]:
        """Return the strata so far; that of no category only if it has samples."""
        found = [
            Stratum(
                name=name,
                asked=self._cells.shares[number] if self._cells else None,
                drawn=int(self._drawn[number, 0]),
                delivered=int(self._delivered[number, 0]),
                drawn_rates=_rates(self._drawn[number]),
                delivered_rates=_rates(self._delivered[number]),
            )
            for number, name in enumerate(self._names)
        ]
        return tuple(s for s in found if s.name != NO_CATEGORY or s.drawn or s.delivered)

    def _read(self, batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
        """Return stratum [rows] and active AUs [rows, aus]."""
        values = batch.column("aus").flatten().to_numpy(zero_copy_only=False)
        aus = values.reshape(-1, len(self._aus))
        labels = None
        if self._categories:
            column = batch.column("emotion").fill_null(len(self._labels))
            labels = self._places[column.to_numpy(zero_copy_only=False).astype(np.int64)]
        if self._cells is not None:
            return self._cells.numbers(aus, labels), aus != 0
        return np.zeros(len(aus), dtype=np.int64) if labels is None else labels, aus != 0


def _cells(
    configuration: Mapping[str, Any], categories: tuple[str, ...], aus: ActionUnitSet
) -> QuotaCells | None:
    quotas = configuration.get("expressions", {}).get("quotas")
    return None if quotas is None else QuotasConfig.model_validate(quotas).cells(categories, aus)


def _names(cells: QuotaCells | None, categories: tuple[str, ...]) -> tuple[str, ...]:
    if cells is None:
        return (*categories, NO_CATEGORY) if categories else (EVERYTHING,)
    return cells.names


def _is_first(batch: pa.RecordBatch) -> np.ndarray:
    attempt, replacement = (batch.column(name).to_numpy() for name in ("attempt", "replacement"))
    return (attempt == 0) & (replacement == 0)


def _add(sums: np.ndarray, strata: np.ndarray, active: np.ndarray) -> None:
    np.add.at(sums[:, 0], strata, 1)
    np.add.at(sums[:, 1:], strata, active)


def _rates(sums: Sequence[int]) -> tuple[float, ...]:
    total = max(int(sums[0]), 1)
    return tuple(int(active) / total for active in sums[1:])
