"""Attempts of a dataset as arrays, without pictures: of these the page's figures are counted."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from synthgen.dataset import Storage, layout
from synthgen.dataset.damage import telling_damage
from synthgen.dataset.markers import ShardMarker
from synthgen.dataset.parquet import read_columns
from synthgen.dataset.proportions import Proportion, clustered
from synthgen.dataset.run_record import RunRecord
from synthgen.dataset.schema import AUS_MEASURED

SEEN = 0.5
"""Measured intensity from which an AU counts as there."""

_COMBINATIONS = 24
_COLUMNS = ["aus", "attempt", "replacement", "identity_id"]


@dataclass(frozen=True, slots=True, eq=False)
class Attempts:
    """All attempts of a dataset, rows first.

    Attributes:
        aus: names of the AUs.
        requested: intensities asked for [attempts, aus].
        measured: intensities found, NaN where there are none [attempts, aus].
        row: whether it is a row of the data [attempts].
        accepted: whether it was kept by the policy, or no check looked [attempts].
        number: number of the attempt [attempts].
        first: whether it is its sample's first one [attempts].
        person: number of the identity [attempts].
        shard: number of the marker [attempts].
        place: place in the file of its shard [attempts].
    """

    aus: tuple[str, ...]
    requested: np.ndarray
    measured: np.ndarray
    row: np.ndarray
    accepted: np.ndarray
    number: np.ndarray
    first: np.ndarray
    person: np.ndarray
    shard: np.ndarray
    place: np.ndarray

    @property
    def judged(self) -> np.ndarray:
        """Attempts of which each counts once: an unaccepted row is among the rejects, too."""
        return ~self.row | self.accepted

    @property
    def error(self) -> np.ndarray:
        """Mean |requested − measured| over all AUs; NaN without a measurement [attempts]."""
        return np.abs(np.clip(self.requested, 0, 5) - self.measured).mean(axis=1)


def read_attempts(storage: Storage, record: RunRecord, markers: Iterable[ShardMarker]) -> Attempts:
    """Read what the figures need of all rows and rejects.

    Raises:
        DatasetError: if a file is missing or corrupt.
    """
    schema, people = record.schema, {}
    measures = [AUS_MEASURED] if schema.has(AUS_MEASURED) else []
    parts: dict[bool, list[dict[str, np.ndarray]]] = {True: [], False: []}
    for number, marker in enumerate(markers):
        with telling_damage(storage, marker):
            files = {True: layout.data_file(*marker.key)}
            if marker.rejects:
                files[False] = layout.reject_file(*marker.key)
            for row, name in files.items():
                start = 0
                columns = [*_COLUMNS, *measures, *(["accepted"] if row else [])]
                for batch in read_columns(storage, name, columns):
                    part = _part(batch, len(schema.aus), people, row)
                    part["shard"] = np.full(batch.num_rows, number)
                    part["place"] = np.arange(start, start + batch.num_rows)
                    start += batch.num_rows
                    parts[row].append(part)
    every = [*parts[True], *parts[False]] or [_nothing(len(schema.aus))]
    return Attempts(schema.aus, **{k: np.concatenate([p[k] for p in every]) for k in every[0]})


def _part(batch: pa.RecordBatch, aus: int, people: dict[str, int], row: bool) -> dict:
    requested = _matrix(batch.column("aus"), aus)
    measured = np.full_like(requested, np.nan)
    if AUS_MEASURED in batch.schema.names:
        measured = _matrix(batch.column(AUS_MEASURED), aus)
    attempt, replacement = (batch.column(n).to_numpy() for n in ("attempt", "replacement"))
    accepted = np.zeros(batch.num_rows, bool)
    if row:
        accepted = batch.column("accepted").fill_null(True).to_numpy(zero_copy_only=False)
    codes = [people.setdefault(p, len(people)) for p in batch.column("identity_id").to_pylist()]
    return {
        "requested": requested,
        "measured": measured,
        "row": np.full(batch.num_rows, row),
        "accepted": accepted,
        "number": attempt,
        "first": (attempt == 0) & (replacement == 0),
        "person": np.array(codes, np.int64),
    }


def _nothing(aus: int) -> dict[str, np.ndarray]:
    empty = {"requested": np.zeros((0, aus)), "measured": np.zeros((0, aus))}
    flags = dict.fromkeys(("row", "accepted", "first"), np.zeros(0, bool))
    numbers = dict.fromkeys(("number", "person", "shard", "place"), np.zeros(0, np.int64))
    return {**empty, **flags, **numbers}


def _matrix(column: pa.Array, aus: int) -> np.ndarray:
    return column.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, aus)


def acceptance(found: Attempts, which: np.ndarray) -> Proportion:
    """Return how many of some attempts were accepted; those of one person may go together.

    Args:
        found: all attempts.
        which: those that are asked about [attempts], bool.
    """
    there = which & found.judged
    totals = np.bincount(found.person[there])
    hits = np.bincount(found.person[there & found.accepted], minlength=len(totals))
    return clustered(
        int(totals.sum()),
        int(hits.sum()),
        int((totals > 0).sum()),
        int((totals**2).sum()),
        int((totals * hits).sum()),
        int((hits**2).sum()),
    )


def by_au(found: Attempts) -> dict[str, Proportion]:
    """Return AU → acceptance of the attempts that ask for it."""
    return {
        au: acceptance(found, found.requested[:, place] > 0)
        for place, au in enumerate(found.aus)
        if (found.requested[:, place] > 0).any()
    }


def by_number(found: Attempts) -> dict[str, Proportion]:
    """Return number of the attempt, from 1 → acceptance."""
    return {
        f"{number + 1}": acceptance(found, found.number == number)
        for number in np.unique(found.number).tolist()
    }


def by_combination(found: Attempts) -> tuple[dict[str, Proportion], int]:
    """Return set of active AUs → acceptance, of those asked for most, and how many there are."""
    sets, codes, counts = np.unique(
        found.requested > 0, axis=0, return_inverse=True, return_counts=True
    )
    order = np.argsort(-counts, kind="stable")[:_COMBINATIONS].tolist()
    codes = codes.reshape(-1)
    named = {
        "+".join(au for au, on in zip(found.aus, sets[code], strict=True) if on) or "none": code
        for code in order
    }
    return {name: acceptance(found, codes == code) for name, code in named.items()}, len(sets)


def together(found: Attempts) -> Mapping[str, np.ndarray]:
    """Return `drawn`, `delivered` and `measured` → share in which two AUs are active [aus, aus].

    The diagonal holds the rates. Drawn are first attempts, delivered and measured are rows; AUs
    count as measured from `SEEN`. What has no case is left out.
    """
    seen = found.row & ~np.isnan(found.measured).any(axis=1)
    sets: dict[str, Callable[[], np.ndarray]] = {
        "drawn": lambda: found.requested[found.first & found.judged] > 0,
        "delivered": lambda: found.requested[found.row] > 0,
        "measured": lambda: found.measured[seen] >= SEEN,
    }
    active = {name: make().astype(np.float64) for name, make in sets.items()}
    return {name: a.T @ a / len(a) for name, a in active.items() if len(a)}


def response(found: Attempts) -> list[dict[str, object]]:
    """Return what was measured at each level asked for: a record for each AU, level and group.

    Levels are requests rounded to whole intensities. Groups are all attempts and rows; `low` and
    `high` are the 10th and the 90th percentile.
    """
    records = []
    seen = ~np.isnan(found.measured).any(axis=1)
    groups = {"all attempts": seen & found.judged, "in the data": seen & found.row}
    for group, there in groups.items():
        levels = np.rint(np.clip(found.requested[there], 0, 5)).astype(int)
        for place, au in enumerate(found.aus):
            values = found.measured[there][:, place]
            for level in np.unique(levels[:, place]).tolist():
                at = values[levels[:, place] == level].astype(np.float64)
                low, high = np.percentile(at, [10, 90])
                records.append(
                    {
                        "AU": au,
                        "asked": level,
                        "group": group,
                        "measured": round(float(at.mean()), 3),
                        "low": round(float(low), 3),
                        "high": round(float(high), 3),
                        "images": len(at),
                    }
                )
    return records


def intensities(found: Attempts) -> list[dict[str, object]]:
    """Return the share of images at each level above 0: of each AU, drawn, delivered, measured."""
    seen = found.row & ~np.isnan(found.measured).any(axis=1)
    sets = {
        "drawn": found.requested[found.first & found.judged],
        "delivered": found.requested[found.row],
        "measured": found.measured[seen],
    }
    return [
        {"AU": au, "level": level, "of": name, "share": round(float((at == level).mean()), 5)}
        for name, values in sets.items()
        if len(values)
        for place, au in enumerate(found.aus)
        for at in [np.rint(np.clip(values[:, place], 0, 5)).astype(int)]
        for level in range(1, 6)
    ]
