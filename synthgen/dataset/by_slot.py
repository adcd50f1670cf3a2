"""Slots of identities in a dataset: shown or not, kept or rejected, and tied to which expressions.

Questions answered from the data alone. *Right*: where a check has read what an image shows, how
often is it what the slot says? *Kept*: are first attempts of one value rejected more often than
those of the slot's other values? *Raised*: are AUs measured in faces of one value more often where
nobody asked for them? Model and verifier may both be why. *Tied*: does a value, asked for or read,
stand with an AU more or less often than by chance? A recogniser learns such a cue.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from synthgen.dataset.markdown import percent, table
from synthgen.dataset.proportions import Proportion, chance_phi, phi, rows_for
from synthgen.dataset.schema import AUS_MEASURED, DatasetSchema, slot_read, slot_right
from synthgen.foreign import counted

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

_SHOWN = 20
"""Ties, and raised AUs, that are shown at most."""

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
        unknown: samples without a row of whose identity no row tells the slots.
        left_out: slots of too many values.
    """

    values: tuple[SlotValue, ...] = ()
    ties: tuple[Tie, ...] = ()
    raised: tuple[RaisedAU, ...] = ()
    unknown: int = 0
    left_out: tuple[str, ...] = ()

    @property
    def slots(self) -> dict[str, Proportion]:
        """Slot that a check has read → its rows, of which those count that show what is asked."""
        found: dict[str, Proportion] = {}
        for each in self.values:
            if each.right.total:
                before = found.get(each.slot, Proportion(0, 0))
                found[each.slot] = Proportion(
                    before.hits + each.right.hits, before.total + each.right.total
                )
        return found

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
        for slot in self._slots:
            right = np.full(len(asked), np.nan)
            if slot in self._readings:
                right = _floats(batch.column(slot_right(slot)))
                self._read[slot].add(batch.column(slot_read(slot)), asked, measured)
            self._asked[slot].add(identity.field(slot), asked, measured, first, right)
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
            unknown=self._unknown,
            left_out=tuple(slot for slot in self._slots if self._asked[slot].too_many),
        )


_ROWS, _FIRST, _KEPT, _READ, _RIGHT, _MEASURED = range(6)


class _Values:
    """Counts of the values of one slot, asked for or read; nothing once there are too many."""

    def __init__(self, aus: int) -> None:
        self._places: dict[str, int] = {}
        self._counts = np.zeros((MOST_VALUES, _MEASURED + 1), np.int64)
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
        first: np.ndarray | None = None,
        right: np.ndarray | None = None,
    ) -> None:
        """Take in rows; null is no value.

        Args:
            column: the value of each row.
            asked: whether each AU is asked for, [rows, aus].
            measured: intensities found, [rows, aus]; NaN where there are none.
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
        for known, total, hits in ((first, _FIRST, _KEPT), (right, _READ, _RIGHT)):
            if known is not None:
                told = ~np.isnan(known[there])
                np.add.at(self._counts[:, total], rows[told], 1)
                np.add.at(self._counts[:, hits], rows[told], known[there][told].astype(np.int64))

    def add_unasked(self, names: Sequence[str], asked: np.ndarray, measured: np.ndarray) -> None:
        """Take in first attempts of known values; of an unknown value, or without a face, none."""
        places = np.array([self._places.get(name, -1) for name in names], np.int64)
        there = (places >= 0) & ~np.isnan(measured).any(axis=1)
        np.add.at(self._unasked, places[there], ~asked[there])
        np.add.at(self._raised, places[there], ~asked[there] & (measured[there] > RAISED))

    def reject_first(self, value: str, samples: int) -> None:
        """Take in first attempts that were rejected."""
        if value in self._places:
            self._counts[self._places[value], _FIRST] += samples

    def values(self, slot: str) -> list[SlotValue]:
        """Return the values, by name."""
        total = self._counts.sum(axis=0)
        found = []
        for value, place in sorted(self._places.items()):
            mine, others = self._counts[place], total - self._counts[place]
            found.append(
                SlotValue(
                    slot=slot,
                    value=value,
                    rows=int(mine[_ROWS]),
                    first=Proportion(int(mine[_KEPT]), int(mine[_FIRST])),
                    others=Proportion(int(others[_KEPT]), int(others[_FIRST])),
                    right=Proportion(int(mine[_RIGHT]), int(mine[_READ])),
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


def slots_line(found: SlotFindings) -> list[str]:
    """Say in one line how often images show what slots name; nothing where nobody has looked."""
    shares = [f"{slot} {share.text()}" for slot, share in found.slots.items()]
    return [f"slots shown as asked: {', '.join(shares)}"] if shares else []


def slots_table(found: SlotFindings) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of a table of the values: kept, and right where somebody has read."""
    read, tried = bool(found.slots), any(each.first.total for each in found.values)
    head = ["identity slot", "value", "samples"]
    head += ["first attempts kept (95 %)"] * tried + ["shown as asked (95 %)"] * read
    rows = [
        [
            each.slot,
            repr(each.value),
            str(each.rows),
            *([each.first.text()] * tried),
            *([each.right.text()] * read),
        ]
        for each in found.values
    ]
    return head, rows if read or tried else []


def slot_sentences(found: SlotFindings) -> list[str]:
    """Say whose first attempts are kept unequally often, and which values are tied to AUs."""
    lines = []
    if any(each.first.total for each in found.values):
        lines += [
            f"{each.name} differs from the slot's other values: {each.first.text()} of its first "
            f"attempts were kept, {each.others.text()} of theirs"
            for each in found.unequal
        ] or ["no slot value's first attempts are kept more or less often than the others'"]
    lines += [
        f"{each.au} is measured above {RAISED:g} without being asked for in {each.mine.text()} of "
        f"the first attempts at {each.name}, in {each.others.text()} of the slot's other values"
        for each in found.raised[:_SHOWN]
    ]
    if found.unknown:
        lines.append(
            f"{counted(found.unknown, 'sample')} without a row have identities of whom no other "
            "row tells the slots; their first attempts are not counted"
        )
    if found.left_out:
        lines.append(f"more than {MOST_VALUES} values, not counted: {', '.join(found.left_out)}")
    return lines + _tie_sentences(found)


def _tie_sentences(found: SlotFindings) -> list[str]:
    if not found.ties:
        return []
    strong = [tie for tie in found.ties if abs(tie.phi) >= TIED]
    shown = [tie for tie in strong if found.beyond_chance(tie)][:_SHOWN]
    lines = [_describe(tie) for tie in shown]
    more = sum(found.beyond_chance(tie) for tie in strong) - len(shown)
    if more:
        lines.append(f"… and {more} more pairs of a slot value and an AU")
    rows = min(tie.rows for tie in found.ties)
    least = min(chance_phi(rows, len(found.ties)), 1.0)
    if not shown:
        lines.append(
            f"no slot value is tied to an AU (|φ| ≥ {max(TIED, least):.2f}, "
            f"{len(found.ties)} pairs); the strongest: {_describe(found.ties[0])}"
        )
    if least > TIED:
        lines.append(
            f"|φ| below {least:.2f} cannot be told from chance in so few rows; "
            f"{TIED:g} takes about {rows_for(TIED, len(found.ties))}"
        )
    return lines


def _describe(tie: Tie) -> str:
    value = f"{tie.name} {'as read' if tie.read else 'as asked'}"
    au = f"{tie.au} {'measured' if tie.measured else 'asked for'}"
    return f"{value} stands with {au} {'more' if tie.phi > 0 else 'less'} often: φ = {tie.phi:+.2f}"


def slots_section(found: SlotFindings) -> list[str]:
    """Write the section of a card; nothing without slots."""
    if not found.values:
        return []
    head, rows = slots_table(found)
    parts = []
    if shares := found.slots:
        said = ", ".join(f"`{slot}` {percent(share.share)}" for slot, share in shares.items())
        parts.append(
            f"Rows that show what the slot names, by what a check has read in the image: {said}."
        )
    if rows:
        parts.append(table(head, rows))
    if sentences := slot_sentences(found):
        parts.append("\n".join(f"- {line[0].upper()}{line[1:]}." for line in sentences))
    return ["\n\n".join(["## Identity slots", *parts])] if parts else []


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
