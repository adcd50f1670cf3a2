"""Choice of the rows of a merged dataset and of their splits, made before any writing.

A row takes about 50 bytes here, whatever its image weighs: hashes of its id and of its image, and
numbers of its split, its identity and the value that is balanced.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa

from synthgen.action_units import AUS
from synthgen.choices import OnConflict, OnDuplicate
from synthgen.dataset.markers import ShardMarker
from synthgen.dataset.marks.containers import without_marks
from synthgen.dataset.merging.conditions import Column, Condition, find_column, holds
from synthgen.dataset.merging.sources import Source
from synthgen.dataset.schema import Feature
from synthgen.dataset.shards import verify_shard
from synthgen.errors import ConfigError, DatasetError
from synthgen.foreign import counted, excerpt

_LEFT_OUT = -1
_HASH = np.dtype([("high", "<u8"), ("low", "<u8")])
_SHOWN = 3


@dataclass(slots=True)
class _Scan:
    """The facts read of the rows, in the order of sources, shards and rows."""

    places: list[tuple[int, int]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    ids: list[np.ndarray] = field(default_factory=list)
    images: list[np.ndarray] = field(default_factory=list)
    people: list[np.ndarray] = field(default_factory=list)
    values: list[np.ndarray] = field(default_factory=list)
    kept: list[np.ndarray] = field(default_factory=list)
    splits: list[np.ndarray] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The place of each row in the merged dataset.

    Attributes:
        splits: the splits of the merged dataset, in order.
        left_out: reason → rows that are left out for it.
        moved: rows that go to another split, since their identity is there.
        notes: what the user should know, a sentence each.
    """

    splits: tuple[str, ...]
    left_out: Mapping[str, int]
    moved: int
    notes: tuple[str, ...]
    _targets: Mapping[tuple[int, int], np.ndarray]
    _samples: Mapping[int, tuple[np.ndarray, np.ndarray]]
    _homes: Mapping[str, int]
    _sources: Sequence[Source]
    _selected: bool

    @property
    def rows(self) -> int:
        """Rows that are kept."""
        return sum(int((targets >= 0).sum()) for targets in self._targets.values())

    def rows_of(self, source: int) -> int:
        """Return how many rows of a source are kept."""
        found = (targets for place, targets in self._targets.items() if place[0] == source)
        return sum(int((targets >= 0).sum()) for targets in found)

    def in_split(self, source: int, shard: int, split: str) -> np.ndarray:
        """Return for each row of a source's shard whether it goes into a split."""
        return self._targets[source, shard] == self.splits.index(split)

    def rejects_in_split(self, source: int, table: pa.Table, split: str, own: str) -> np.ndarray:
        """Return for each rejected attempt whether it goes into a split: where its sample goes.

        An attempt whose sample has no row stays with its identity, but is left out where rows were
        selected.

        Args:
            source: number of the source.
            table: rejects, under the joint schema.
            split: the split.
            own: the split that the rejects are in.
        """
        ids, targets = self._samples[source]
        asked = _hashes(table["sample_id"].to_pylist())["high"]
        places = np.minimum(np.searchsorted(ids, asked), max(len(ids) - 1, 0))
        known = ids[places] == asked
        lost = _LEFT_OUT if self._selected else self.splits.index(own)
        homes = [self._homes.get(person, lost) for person in _people(self._sources[source], table)]
        without = np.full(len(asked), lost) if self._selected else np.array(homes, np.int64)
        return np.where(known, targets[places], without) == self.splits.index(split)


def choose(
    sources: Sequence[Source],
    splits: tuple[str, ...],
    features: Mapping[str, Feature],
    aus: Sequence[str] = AUS,
    *,
    condition: Condition | None = None,
    balance: str | None = None,
    on_conflict: OnConflict = "refuse",
    on_duplicate: OnDuplicate = "refuse",
) -> Choice:
    """Read all rows once, verify the files, and decide.

    Args:
        sources: the datasets.
        splits: the splits of the merged dataset.
        features: its columns.
        aus: the AUs of its vectors.
        condition: what rows must be; None: all are kept.
        balance: column of whose values each split is to have equally many rows.
        on_conflict: what becomes of an identity that is in two splits: an error, `move` all its
            rows to the split in which the first source has it, or `drop` those of other splits.
        on_duplicate: what becomes of rows with the same id or the same image: an error, or `drop`
            all but the first.

    Raises:
        ConfigError: if the column cannot be balanced.
        DatasetError: if a source is corrupt, rows are doubled, identities lie in two splits, or no
            row is left.
    """
    column = None if balance is None else _balanced_column(balance, features, aus)
    scan, people, values = _read(sources, splits, features, condition, column)
    joined = _Joined(scan)
    left_out: dict[str, int] = {}
    if condition is not None:
        left_out["--where"] = int((joined.targets < 0).sum())
    _settle_duplicates(joined, sources, on_duplicate, left_out)
    moved = _settle_conflicts(joined, splits, sources, on_conflict, left_out)
    notes: list[str] = []
    if column is not None:
        left_out["--balance"] = _balance(joined, column, list(values), splits, notes)
    if not (joined.targets >= 0).any():
        reasons = ", ".join(f"{number} by {reason}" for reason, number in left_out.items())
        raise DatasetError(
            f"no row is left of {len(joined.targets)} (left out: {reasons}); nothing was written"
        )
    return Choice(
        splits=splits,
        left_out={reason: number for reason, number in left_out.items() if number},
        moved=moved,
        notes=tuple(notes),
        _targets=joined.by_place(),
        _samples=joined.by_source(),
        _homes={person: int(joined.homes[code]) for person, code in people.items()},
        _sources=sources,
        _selected=condition is not None or column is not None,
    )


class _Joined:
    """The scan as flat arrays, and where each row goes so far."""

    def __init__(self, scan: _Scan) -> None:
        self._scan = scan
        self.ids = np.concatenate(scan.ids)
        self.images = np.concatenate(scan.images)
        self.people = np.concatenate(scan.people)
        self.values = np.concatenate(scan.values)
        self.splits = np.concatenate(scan.splits)
        self.targets = np.where(np.concatenate(scan.kept), self.splits, _LEFT_OUT).astype(np.int16)
        self.homes = np.full(int(self.people.max(initial=-1)) + 1, _LEFT_OUT, np.int16)

    def place(self, row: int) -> tuple[int, int, int]:
        """Return source, shard and row in the shard."""
        starts = np.cumsum([0, *self._scan.sizes])
        shard = int(np.searchsorted(starts, row, side="right")) - 1
        return (*self._scan.places[shard], row - int(starts[shard]))

    def by_place(self) -> dict[tuple[int, int], np.ndarray]:
        stops = np.cumsum(self._scan.sizes)[:-1]
        return dict(zip(self._scan.places, np.split(self.targets, stops), strict=True))

    def by_source(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Return each source's ids, sorted, with the targets of their rows."""
        owners = np.repeat([source for source, _ in self._scan.places], self._scan.sizes)
        found = {}
        for source in np.unique(owners).tolist():
            ids, targets = self.ids["high"][owners == source], self.targets[owners == source]
            order = np.argsort(ids)
            found[source] = ids[order], targets[order]
        return found


def _read(
    sources: Sequence[Source],
    splits: tuple[str, ...],
    features: Mapping[str, Feature],
    condition: Condition | None,
    balanced: Column | None,
) -> tuple[_Scan, dict[str, int], dict[Any, int]]:
    needs = {"sample_id", "image", "identity_id", "prompt"}
    needs |= condition.needs if condition else set()
    needs |= {balanced.needs} if balanced else set()
    read = {name: feature for name, feature in features.items() if name in needs}
    scan, people, values = _Scan(), {}, {}
    for number, shard, source, marker in shards_of(sources):
        _verify(source, marker)
        scan.places.append((number, shard))
        rows = 0
        for table in source.rows(marker, read):
            rows += table.num_rows
            scan.ids.append(_hashes(table["sample_id"].to_pylist()))
            pictures = table["image"].combine_chunks().field("bytes").to_pylist()
            # Marks name their samples, so that equal pictures have other bytes in them.
            scan.images.append(_digests(list(map(without_marks, pictures))))
            scan.people.append(_codes(_people(source, table), people))
            scan.values.append(_codes(_values(table, balanced), values))
            scan.kept.append(_kept(table, condition))
            scan.splits.append(np.full(table.num_rows, splits.index(marker.split), np.int16))
        scan.sizes.append(rows)
    return scan, people, values


def shards_of(sources: Sequence[Source]) -> Iterator[tuple[int, int, Source, ShardMarker]]:
    """Yield number of the source, number of its shard, source and shard, in order."""
    for number, source in enumerate(sources):
        for shard, marker in enumerate(source.markers):
            yield number, shard, source, marker


def _verify(source: Source, marker: ShardMarker) -> None:
    for problem in verify_shard(source.storage, marker):
        raise DatasetError(
            f"{source.url} is not whole: {problem}; see `synthgen inspect {source.url}`"
        )


def _settle_duplicates(
    rows: _Joined, sources: Sequence[Source], wish: OnDuplicate, left_out: dict[str, int]
) -> None:
    again = [_again(rows, hashes) for hashes in (rows.ids, rows.images)]
    counts = [len(extra) for extra, _ in again]
    if not any(counts):
        return
    if wish == "refuse":
        raise DatasetError(_doubled(rows, sources, again))
    extra = np.union1d(again[0][0], again[1][0])
    rows.targets[extra] = _LEFT_OUT
    left_out["--on-duplicate drop"] = len(extra)


def _again(rows: _Joined, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the kept rows that repeat an earlier one, and for each the first of its kind."""
    kept = np.flatnonzero(rows.targets >= 0)
    if not kept.size:
        return kept, kept
    _, first, kind = np.unique(hashes[kept], return_index=True, return_inverse=True)
    extra = np.flatnonzero(first[kind] != np.arange(len(kept)))
    return kept[extra], kept[first[kind[extra]]]


def _doubled(
    rows: _Joined, sources: Sequence[Source], again: Sequence[tuple[np.ndarray, np.ndarray]]
) -> str:
    said = []
    for (extra, first), what in zip(again, ("the sample id", "the image"), strict=True):
        if len(extra):
            pair = (int(first[0]), int(extra[0]))
            one, other = (
                f"{_cell(rows, sources, row, 'sample_id')} of {sources[rows.place(row)[0]].name}"
                for row in pair
            )
            have = counted(len(extra), "row has", "rows have")
            said.append(f"{have} {what} of an earlier one (such as {other}: {one})")
    plain = any(source.has_plain_ids for source in sources)
    rename = "tell ids that do not name their run apart with --rename, or " if plain else ""
    return (
        f"cannot merge: {' and '.join(said)}; {rename}keep the first of each with --on-duplicate "
        "drop"
    )


def _cell(rows: _Joined, sources: Sequence[Source], row: int, column: str) -> str:
    """Read one value of a row again, for a sentence."""
    number, shard, place = rows.place(row)
    source = sources[number]
    for table in source.rows(source.markers[shard], {column: source.features[column]}):
        if place < table.num_rows:
            return excerpt(table[column][place].as_py(), 60)
        place -= table.num_rows
    raise DatasetError(f"{source.markers[shard].name} says more rows than its file has")


def _settle_conflicts(
    rows: _Joined,
    splits: tuple[str, ...],
    sources: Sequence[Source],
    wish: OnConflict,
    left_out: dict[str, int],
) -> int:
    """Let each identity have one split, that of its first kept row; return the rows moved."""
    kept = np.flatnonzero(rows.targets >= 0)
    people, first = np.unique(rows.people[kept], return_index=True)
    rows.homes[people] = rows.targets[kept[first]]
    strays = kept[rows.targets[kept] != rows.homes[rows.people[kept]]]
    if not strays.size:
        return 0
    if wish == "refuse":
        codes = np.unique(rows.people[strays])
        shown = []
        for code in codes[:_SHOWN].tolist():
            row = int(strays[rows.people[strays] == code][0])
            at_home = int(kept[rows.people[kept] == code][0])
            one, other = (_cell(rows, sources, r, "identity_id") for r in (at_home, row))
            alias = "" if one == other else f", as {other},"
            away = f"{splits[rows.targets[row]]} of {sources[rows.place(row)[0]].name}"
            shown.append(f"{one} in {splits[rows.homes[code]]} and{alias} in {away}")
        more = f" and {len(codes) - _SHOWN} more" if len(codes) > _SHOWN else ""
        are = counted(len(codes), "identity is", "identities are")
        raise DatasetError(
            f"cannot merge: {are} in more than one split ({'; '.join(shown)}{more}); choose "
            "--on-conflict move (all rows of an identity go where the first dataset has it) or "
            "--on-conflict drop (its rows elsewhere are left out)"
        )
    if wish == "drop":
        rows.targets[strays] = _LEFT_OUT
        left_out["--on-conflict drop"] = len(strays)
        return 0
    rows.targets[strays] = rows.homes[rows.people[strays]]
    return len(strays)


def _balanced_column(path: str, features: Mapping[str, Feature], aus: Sequence[str]) -> Column:
    column = find_column(path, features, "--balance", aus)
    if column.kind == "number":
        raise ConfigError(
            f"--balance: {column.name} holds numbers; balance a column of categories or texts, "
            "such as emotion, identity.age or source"
        )
    return column


def _balance(
    rows: _Joined,
    column: Column,
    values: Sequence[Any],
    splits: tuple[str, ...],
    notes: list[str],
) -> int:
    """Leave as many rows of each value in a split as its rarest one there has.

    Those stay whose ids have the smallest hashes: which rows they are depends neither on the order
    of the sources nor, but for the number, on what else is merged.
    """
    before = int((rows.targets >= 0).sum())
    nothing = np.array([value is None for value in values], bool)[rows.values]
    if unknown := int((nothing & (rows.targets >= 0)).sum()):
        notes.append(f"{unknown} rows have no {column.name}; --balance left them out")
    rows.targets[nothing] = _LEFT_OUT
    there = np.unique(rows.values[rows.targets >= 0])
    for code, split in enumerate(splits):
        inside = np.flatnonzero(rows.targets == code)
        counts = np.bincount(rows.values[inside], minlength=len(values))[there]
        if not inside.size:
            continue
        if absent := [_word(column, values[v]) for v in there[counts == 0].tolist()]:
            notes.append(f"{split} has no row with {column.name} {', '.join(absent)}")
        fewest = int(counts[counts > 0].min())
        order = inside[np.lexsort((rows.ids["low"][inside], rows.ids["high"][inside]))]
        for value in there.tolist():
            rows.targets[order[rows.values[order] == value][fewest:]] = _LEFT_OUT
    return before - int((rows.targets >= 0).sum())


def _word(column: Column, value: Any) -> str:
    return excerpt(column.labels[value] if column.kind == "label" else value, 60)


def _values(table: pa.Table, column: Column | None) -> list[Any]:
    """Return the value of each row that is balanced."""
    if column is None:
        return [None] * table.num_rows
    _, _, part = column.name.partition(".")
    values = table[column.needs].combine_chunks()
    return (values.field(part) if part else values).to_pylist()


def _kept(table: pa.Table, condition: Condition | None) -> np.ndarray:
    if condition is None:
        return np.ones(table.num_rows, bool)
    return holds(condition, table)


def _people(source: Source, table: pa.Table) -> list[str]:
    names, prompts = (table[column].to_pylist() for column in ("identity_id", "prompt"))
    return [source.person(name, prompt) for name, prompt in zip(names, prompts, strict=True)]


def _codes(values: Sequence[Any], known: dict[Any, int]) -> np.ndarray:
    return np.array([known.setdefault(value, len(known)) for value in values], np.int64)


def _hashes(texts: Sequence[str]) -> np.ndarray:
    return _digests([text.encode() for text in texts])


def _digests(contents: Sequence[bytes]) -> np.ndarray:
    digests = (blake2b(content, digest_size=_HASH.itemsize).digest() for content in contents)
    return np.frombuffer(b"".join(digests), _HASH)
