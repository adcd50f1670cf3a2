"""Slots of identities in a dataset: shown or not, kept or rejected, and tied to which expressions.

Questions answered from the data alone. *Right*: where a check has read what an image shows, how
often is it what the slot says? *Kept*: are first attempts of one value rejected more often than
those of the slot's other values? *Raised*: are AUs measured in faces of one value more often where
nobody asked for them? Model and verifier may both be why. *Tied*: does a value, asked for or read,
stand with an AU more or less often than by chance? A recogniser learns such a cue.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from synthgen.dataset.proportions import Proportion, chance_phi, clustered, phi
from synthgen.dataset.schema import AUS_MEASURED, DatasetSchema, slot_read, slot_right

MOST_VALUES = 100
"""Values of a slot that are followed; a slot with more, such as one of names, is left out."""

TIED = 0.1
"""Smallest |φ| of a value and an AU that is told."""

_SEEN = 0.5
"""From this intensity on, a measured AU counts as there."""

RAISED = 1.0
"""Above this intensity an AU that was not asked for counts as raised: the usual `max_inactive`."""

LEAST_RAISED = 0.05
"""Difference of two shares of raised AUs that is told."""

_NUMBERS = ["attempt", "replacement", "accepted"]


@dataclass(frozen=True, slots=True)
class SlotValue:
    """One value of a slot.

    Attributes:
        slot: the slot.
        value: its value; empty where the slot is left open.
        rows: rows that ask for it.
        first: first attempts, of which the kept ones count.
        others: the same of the slot's other values.
        right: rows in which a check has read the slot, of which those count that show the value.
    """

    slot: str
    value: str
    rows: int
    first: Proportion
    others: Proportion
    right: Proportion

    @property
    def name(self) -> str:
        """Slot and value in words."""
        return f"{self.slot} {self.value!r}"


class RaisedAU(NamedTuple):
    """An AU that is measured in first attempts of a value more or less often, unasked.

    Attributes:
        name: slot and value in words.
        au: the AU.
        mine: first attempts that did not ask for it, of which those above `RAISED` count.
        others: the same of the slot's other values.
    """

    name: str
    au: str
    mine: Proportion
    others: Proportion

    @property
    def change(self) -> float:
        """Share of the value less that of the others."""
        return self.mine.share - self.others.share


class Tie(NamedTuple):
    """Correlation of a slot's value with an AU over rows.

    Attributes:
        name: slot and value in words.
        read: whether the value is that which a check has read, or that which was asked for.
        au: the AU.
        measured: whether the AU was measured at 0.5 or more, or was asked for.
        phi: the correlation [-1, 1].
        rows: rows in which both are known.
    """

    name: str
    read: bool
    au: str
    measured: bool
    phi: float
    rows: int


@dataclass(frozen=True, slots=True)
class SlotFindings:
    """Findings on all slots.

    Attributes:
        values: one for each value of each slot.
        ties: all pairs of a value and an AU that both vary, the strongest first.
        raised: AUs that are measured more or less often than in faces of the slot's other values,
            where nobody asked for them, by intervals without anything in common and by 5 % at
            least; the largest difference first.
        slots: slot that a check has read → its rows, of which those count that show what is asked.
        unknown: samples without a row of whose identity no row tells the slots.
        left_out: slots of too many values.
    """

    values: tuple[SlotValue, ...] = ()
    ties: tuple[Tie, ...] = ()
    raised: tuple[RaisedAU, ...] = ()
    slots: Mapping[str, Proportion] = field(default_factory=dict)
    unknown: int = 0
    left_out: tuple[str, ...] = ()

    @property
    def unequal(self) -> list[SlotValue]:
        """The values whose first attempts are kept more or less often than the others'."""
        return [each for each in self.values if each.first.differs_from(each.others)]

    def beyond_chance(self, tie: Tie) -> bool:
        """Return whether the largest of all pairs would seldom be as strong by chance."""
        return abs(tie.phi) >= chance_phi(tie.rows, len(self.ties))


class SlotSums:
    """Counts slots, batch by batch.

    Args:
        schema: the columns of the dataset.
        attempts: whether attempts are of one run, so that first ones can be told.
    """

    def __init__(self, schema: DatasetSchema, *, attempts: bool = True) -> None:
        self._slots = schema.slots
        self._aus = schema.aus
        self._attempts = attempts
        self._measured = schema.has(AUS_MEASURED)
        self._readings = [slot for slot in schema.slots if schema.has(slot_read(slot))]
        self._asked = {slot: _Values(len(schema.aus)) for slot in schema.slots}
        self._read = {slot: _Values(len(schema.aus)) for slot in self._readings}
        self._unknown = 0
        self._of_shard: dict[str, Mapping[str, str]] = {}

    @property
    def columns(self) -> list[str]:
        """Columns of the rows that are needed; none without slots."""
        if not self._slots:
            return []
        found = [name for slot in self._readings for name in (slot_read(slot), slot_right(slot))]
        measured = [AUS_MEASURED] * self._measured
        return ["identity_id", "identity", "aus", *measured, *_NUMBERS, *found]

    @property
    def reject_columns(self) -> list[str]:
        """Columns of the rejects that are needed."""
        if not (self._slots and self._measured and self._attempts):
            return []
        return ["identity_id", "aus", AUS_MEASURED, "attempt", "replacement"]

    def begin_shard(self) -> None:
        """Forget the people of the last shard; rejects are those of people of the same one."""
        self._of_shard = {}

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in rows."""
        if not self._slots:
            return
        self._remember(batch)
        asked = _matrix(batch, "aus", len(self._aus)) > 0
        measured = np.full(asked.shape, np.nan)
        if self._measured:
            measured = _matrix(batch, AUS_MEASURED, len(self._aus))
        first = _first_attempts(batch) if self._attempts else np.full(len(asked), np.nan)
        identity = batch.column("identity")
        people = batch.column("identity_id").dictionary_encode().indices.to_numpy()
        for slot in self._slots:
            right = np.full(len(asked), np.nan)
            if slot in self._readings:
                right = _floats(batch.column(slot_right(slot)))
                self._read[slot].add(batch.column(slot_read(slot)), asked, measured)
            self._asked[slot].add(identity.field(slot), asked, measured, people, first, right)
            self._asked[slot].add_unasked(
                identity.field(slot).filter(pa.array(first == 1)).to_pylist(),
                asked[first == 1],
                measured[first == 1],
            )

    def add_rejects(self, batch: pa.RecordBatch) -> None:
        """Take in rejected attempts of the shard whose rows came last; first ones count."""
        if not self.reject_columns:
            return
        people = batch.column("identity_id").to_pylist()
        numbers = [batch.column(name).to_numpy() for name in ("attempt", "replacement")]
        known = np.array([person in self._of_shard for person in people], bool)
        there = known & (numbers[0] == 0) & (numbers[1] == 0)
        asked = _matrix(batch, "aus", len(self._aus))[there] > 0
        measured = _matrix(batch, AUS_MEASURED, len(self._aus))[there]
        slots = [self._of_shard[people[place]] for place in np.flatnonzero(there)]
        for slot in self._slots:
            self._asked[slot].add_unasked([each[slot] for each in slots], asked, measured)

    def _remember(self, batch: pa.RecordBatch) -> None:
        """Keep the slots of each person of the batch."""
        people = batch.column("identity_id").to_pylist()
        places = {person: place for place, person in enumerate(people)}
        rows = batch.column("identity").take(pa.array(list(places.values()))).to_pylist()
        self._of_shard |= dict(zip(places, rows, strict=True))

    def add_missing(self, people: Counter[str], slots_of: Mapping[str, Mapping[str, str]]) -> None:
        """Take in samples without a row, whose first attempts were all rejected.

        Args:
            people: identity → its samples.
            slots_of: identity → slot → value, of those that rows tell.
        """
        for person, samples in people.items():
            if person in slots_of:
                for slot, value in slots_of[person].items():
                    self._asked[slot].reject_first(value, samples)
            else:
                self._unknown += samples

    def findings(self) -> SlotFindings:
        """Return what was counted."""
        values: list[SlotValue] = []
        raised: list[RaisedAU] = []
        ties: list[Tie] = []
        for slot, asked in self._asked.items():
            values += asked.values(slot)
            raised += asked.raised(slot, self._aus)
            ties += asked.ties(slot, self._aus)
        for slot, read in self._read.items():
            ties += read.ties(slot, self._aus, read=True)
        return SlotFindings(
            values=tuple(values),
            raised=tuple(sorted(raised, key=lambda each: -abs(each.change))),
            ties=tuple(sorted(ties, key=lambda tie: -abs(tie.phi))),
            slots={slot: self._asked[slot].all_right() for slot in self._readings},
            unknown=self._unknown,
            left_out=tuple(slot for slot in self._slots if self._asked[slot].too_many),
        )


_ROWS, _MEASURED = range(2)
_FIRST, _RIGHT = range(2)


class _Values:
    """Counts of the values of one slot, asked for or read; nothing once there are too many."""

    def __init__(self, aus: int) -> None:
        self._places: dict[str, int] = {}
        self._counts = np.zeros((MOST_VALUES, 2), np.int64)
        # Of first attempts, and of readings: sums over people, as `clustered` takes them.
        self._sums = np.zeros((2, MOST_VALUES, 6), np.int64)
        # Rows in which each AU is asked for, and those in which it is measured.
        self._asked = np.zeros((MOST_VALUES, aus), np.int64)
        self._measured = np.zeros_like(self._asked)
        # First attempts in which each AU was measured unasked, and those in which it was high.
        self._unasked = np.zeros_like(self._asked)
        self._raised = np.zeros_like(self._asked)
        self.too_many = False

    def add(
        self,
        column: pa.Array,
        asked: np.ndarray,
        measured: np.ndarray,
        people: np.ndarray | None = None,
        first: np.ndarray | None = None,
        right: np.ndarray | None = None,
    ) -> None:
        """Take in rows; null is no value.

        Args:
            column: the value of each row.
            asked: whether each AU is asked for, [rows, aus].
            measured: intensities found, [rows, aus]; NaN where there are none.
            people: number of the person of each row.
            first: 1 where the first attempt was kept, 0 where not, NaN where that is not known.
            right: 1 where the value is shown, 0 where not, NaN where that is not known.
        """
        coded = column.dictionary_encode()
        names = coded.dictionary.to_pylist()
        for name in names:
            self._places.setdefault(name, len(self._places))
        if self.too_many or len(self._places) > MOST_VALUES:
            self.too_many, self._places = True, {}
            return
        places = np.array([self._places[name] for name in names], np.int64)
        codes = coded.indices.to_numpy(zero_copy_only=False)
        there = ~np.isnan(codes.astype(np.float64))
        rows = places[codes[there].astype(np.int64)]
        seen = ~np.isnan(measured[there]).any(axis=1)
        np.add.at(self._counts[:, _ROWS], rows, 1)
        np.add.at(self._counts[:, _MEASURED], rows[seen], 1)
        np.add.at(self._asked, rows, asked[there])
        np.add.at(self._measured, rows[seen], measured[there][seen] >= _SEEN)
        for known, sums in ((first, self._sums[_FIRST]), (right, self._sums[_RIGHT])):
            if known is not None and people is not None:
                told = ~np.isnan(known[there])
                _add_people(sums, rows[told], people[there][told], known[there][told])

    def add_unasked(self, names: Sequence[str], asked: np.ndarray, measured: np.ndarray) -> None:
        """Take in first attempts of known values; of an unknown value, or without a face, none."""
        places = np.array([self._places.get(name, -1) for name in names], np.int64)
        there = (places >= 0) & ~np.isnan(measured).any(axis=1)
        np.add.at(self._unasked, places[there], ~asked[there])
        np.add.at(self._raised, places[there], ~asked[there] & (measured[there] > RAISED))

    def reject_first(self, value: str, samples: int) -> None:
        """Take in first attempts that were rejected."""
        if value in self._places:
            sums = self._sums[_FIRST, self._places[value]]
            sums += np.array([samples, 0, 1, samples**2, 0, 0])

    def all_right(self) -> Proportion:
        """Return the rows of all values that were read, of which the right ones count."""
        return clustered(*self._sums[_RIGHT].sum(axis=0).tolist())

    def values(self, slot: str) -> list[SlotValue]:
        """Return the values, by name."""
        total = self._sums.sum(axis=1)
        found = []
        for value, place in sorted(self._places.items()):
            mine, others = self._sums[:, place], total - self._sums[:, place]
            found.append(
                SlotValue(
                    slot=slot,
                    value=value,
                    rows=int(self._counts[place, _ROWS]),
                    first=clustered(*mine[_FIRST].tolist()),
                    others=clustered(*others[_FIRST].tolist()),
                    right=clustered(*mine[_RIGHT].tolist()),
                )
            )
        return found

    def raised(self, slot: str, aus: Sequence[str]) -> list[RaisedAU]:
        """Return the AUs of which a value's share differs from that of the others."""
        hits, total = self._raised.sum(axis=0), self._unasked.sum(axis=0)
        found = []
        for value, place in sorted(self._places.items()):
            for au, name in enumerate(aus):
                mine = Proportion(int(self._raised[place, au]), int(self._unasked[place, au]))
                others = Proportion(int(hits[au]) - mine.hits, int(total[au]) - mine.total)
                each = RaisedAU(f"{slot} {value!r}", name, mine, others)
                if mine.differs_from(others) and abs(each.change) >= LEAST_RAISED:
                    found.append(each)
        return found

    def ties(self, slot: str, aus: Sequence[str], read: bool = False) -> list[Tie]:
        """Return the correlation of each value with each AU, where both vary."""
        found = []
        for measured, of_aus, rows in (
            (False, self._asked, self._counts[:, _ROWS]),
            (True, self._measured, self._counts[:, _MEASURED]),
        ):
            total, active = int(rows.sum()), of_aus.sum(axis=0)
            for value, place in sorted(self._places.items()):
                for au, name in enumerate(aus):
                    both, mine = int(of_aus[place, au]), int(rows[place])
                    strength = phi(both, mine, int(active[au]), total)
                    if not np.isnan(strength):
                        found.append(
                            Tie(f"{slot} {value!r}", bool(read), name, measured, strength, total)
                        )
        return found


def _add_people(sums: np.ndarray, rows: np.ndarray, people: np.ndarray, hits: np.ndarray) -> None:
    """Add what `clustered` takes, of people whose rows stand in one batch.

    Args:
        sums: cases, hits, people, and sums of squares and products, [values, 6].
        rows: value of each row.
        people: person of each row; a person has one value.
        hits: 1 or 0 of each row.
    """
    _, firsts, numbers = np.unique(people, return_index=True, return_inverse=True)
    cases = np.bincount(numbers, minlength=len(firsts)).astype(np.int64)
    found = np.bincount(numbers, hits, minlength=len(firsts)).astype(np.int64)
    each = [cases, found, np.ones_like(cases), cases**2, cases * found, found**2]
    np.add.at(sums, rows[firsts], np.stack(each, axis=1))


def _first_attempts(batch: pa.RecordBatch) -> np.ndarray:
    """Return 1 where the row is a first attempt that was kept, 0 where not, NaN where unjudged."""
    accepted = _floats(batch.column("accepted"))
    attempt, replacement = (batch.column(name).to_numpy() for name in ("attempt", "replacement"))
    kept = (attempt == 0) & (replacement == 0) & (accepted == 1)
    return np.where(np.isnan(accepted), np.nan, kept.astype(np.float64))


def _matrix(batch: pa.RecordBatch, name: str, aus: int) -> np.ndarray:
    """Return [rows, aus] float64, NaN where there is null."""
    values = batch.column(name).flatten().to_numpy(zero_copy_only=False)
    return values.astype(np.float64).reshape(-1, aus)


def _floats(column: pa.Array) -> np.ndarray:
    """Return bools as float64, NaN where there is null."""
    return column.cast(pa.int8()).to_numpy(zero_copy_only=False).astype(np.float64)
