"""Join datasets into one that `load_dataset` reads right, whole or not at all."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from pydantic import ValidationError

from synthgen import __version__
from synthgen.choices import OnConflict, OnDuplicate
from synthgen.config import OutputConfig
from synthgen.config.faults import first_fault
from synthgen.config.output import protocol_of
from synthgen.dataset import layout
from synthgen.dataset.card import write_card
from synthgen.dataset.lease import Lease
from synthgen.dataset.loading import refuse_unloadable
from synthgen.dataset.markers import FileStamp, ShardMarker, now
from synthgen.dataset.merging.choosing import Choice, choose, shards_of
from synthgen.dataset.merging.conditions import parse_condition
from synthgen.dataset.merging.sources import (
    PATIENCE,
    Source,
    describe_source,
    joint_facts,
    joint_schema,
    joint_splits,
    lacking,
    mixed_embedders,
    open_sources,
)
from synthgen.dataset.opening import check_place, clear, reached
from synthgen.dataset.parquet import BYTES_PER_GROUP, encode_tables
from synthgen.dataset.retry import RetryPolicy
from synthgen.dataset.run_record import CONFIGURATION, RunRecord
from synthgen.dataset.schema import (
    SPLIT,
    DatasetSchema,
    Feature,
    data_features,
    reject_features,
)
from synthgen.dataset.shards import ERROR
from synthgen.dataset.statistics import Statistics, read_statistics
from synthgen.dataset.storage import Storage
from synthgen.errors import OutputError
from synthgen.redaction import without_secrets
from synthgen.revision import git_revision

SHARD_ROWS = 2000
"""Rows of a shard, at most; and no more than `BYTES_PER_GROUP` bytes but for its last rows."""


def write_rows(
    storage: Storage,
    sources: Sequence[Source],
    choice: Choice,
    features: Mapping[str, Feature],
    reject_features: Mapping[str, Feature],
) -> None:
    """Write data, rejects and marker of every shard, split by split, source by source.

    Raises:
        OutputError: if a file cannot be written.
        DatasetError: if a source cannot be read.
    """
    for split in choice.splits:
        shard = _Shard(storage, split, features, reject_features)
        for number, place, source, marker in shards_of(sources):
            wanted = choice.in_split(number, place, split)
            start = 0
            for table in source.rows(marker, features) if wanted.any() else ():
                stop = start + table.num_rows
                shard.add(_in_split(table.filter(pa.array(wanted[start:stop])), split))
                start = stop
            for table in source.rejects(marker, reject_features):
                there = choice.rejects_in_split(number, table, split, marker.split)
                shard.add_rejects(_in_split(table.filter(pa.array(there)), split))
        shard.commit()


def _in_split(table: pa.Table, split: str) -> pa.Table:
    """Return rows that say the split to which they go, be it another one than they come from."""
    place = table.schema.get_field_index(SPLIT)
    return table.set_column(place, table.schema.field(place), [pa.repeat(split, len(table))])


class _Shard:
    """The shard of a split that is being filled."""

    def __init__(
        self,
        storage: Storage,
        split: str,
        features: Mapping[str, Feature],
        reject_features: Mapping[str, Feature],
    ) -> None:
        self._storage, self._split = storage, split
        self._features, self._reject_features = features, reject_features
        self._number = self._start = 0
        self._rows: list[pa.Table] = []
        self._rejects: list[pa.Table] = []

    def add(self, table: pa.Table) -> None:
        """Take in rows; commit the shard when it is full."""
        while table.num_rows:
            room = SHARD_ROWS - sum(part.num_rows for part in self._rows)
            self._rows.append(table.slice(0, room))
            table = table.slice(room)
            self._commit_if_full(self._rows)

    def add_rejects(self, table: pa.Table) -> None:
        """Take in rejected attempts; so many rejects, too, fill a shard."""
        if table.num_rows:
            self._rejects.append(table)
            self._commit_if_full(self._rejects, 10)

    def _commit_if_full(self, parts: Sequence[pa.Table], times: int = 1) -> None:
        rows = sum(part.num_rows for part in parts)
        if rows >= times * SHARD_ROWS or sum(part.nbytes for part in parts) >= BYTES_PER_GROUP:
            self.commit()

    def commit(self) -> None:
        """Write the shard, unless it is empty, and begin the next one."""
        if not (self._rows or self._rejects):
            return
        key = self._split, self._number
        contents = {
            layout.data_file(*key): encode_tables(self._features, self._rows),
            layout.reject_file(*key): encode_tables(self._reject_features, self._rejects),
        }
        for name, data in contents.items():
            self._storage.write(name, data)
        rows = sum(part.num_rows for part in self._rows)
        verdicts = [kept for part in self._rows for kept in part["accepted"].to_pylist()]
        accepted = sum(kept is not False for kept in verdicts)
        reasons = Counter(reason for part in self._rejects for reason in part["reason"].to_pylist())
        marker = ShardMarker(
            split=self._split,
            number=self._number,
            start=self._start,
            stop=self._start + rows,
            rows=rows,
            attempts=accepted + reasons.total(),
            accepted=accepted,
            rejected={reason: reasons[reason] for reason in sorted(reasons) if reason != ERROR},
            errors=reasons[ERROR],
            missing=(),
            seconds={},
            files={
                name: FileStamp(hashlib.sha256(data).hexdigest(), len(data))
                for name, data in contents.items()
            },
            finished=now(),
        )
        self._storage.write(marker.name, marker.to_json())
        self._number, self._start = self._number + 1, self._start + rows
        self._rows, self._rejects = [], []


@dataclass(frozen=True, slots=True, kw_only=True)
class Merging:
    """A merge that is asked for.

    Attributes:
        sources: folders or URLs of datasets.
        to: a new or empty folder, or such a URL.
        name: name of the merged dataset; None: that of its folder.
        where: a condition on rows, see `conditions`; None: all are kept.
        balance: column of whose values each split is to have equally many rows; None: none.
        on_conflict: what becomes of an identity in two splits, see `choosing.choose`.
        on_duplicate: what becomes of rows of one id or image, see `choosing.choose`.
        rename: give ids of earlier versions the short name of their run.
    """

    sources: Sequence[str]
    to: str
    name: str | None = None
    where: str | None = None
    balance: str | None = None
    on_conflict: OnConflict = "refuse"
    on_duplicate: OnDuplicate = "refuse"
    rename: bool = False


@dataclass(frozen=True, slots=True)
class Merged:
    """The outcome of a merge.

    Attributes:
        statistics: what the merged dataset holds.
        left_out: reason → rows that were left out for it.
        moved: rows that went to another split.
        notes: what the user should know, a sentence each.
    """

    statistics: Statistics
    left_out: Mapping[str, int]
    moved: int
    notes: tuple[str, ...]


def merge(asked: Merging) -> Merged:
    """Merge datasets; whatever is refused is refused before anything is written.

    Rows keep their ids and their images to the byte; labels are renumbered to one list of names,
    whatever version began their datasets, and each row names its source. Rejected attempts go
    where their samples go.

    Raises:
        ConfigError: if the condition or the column to balance cannot be.
        DatasetError: if a source is no whole dataset, rows are doubled, an identity is in two
            splits, or no row is left.
        OutputError: if the output holds something, or cannot be written.
    """
    target = _target(asked.to)
    _refuse_occupied(target)
    sources = open_sources(asked.sources, asked.rename)
    _refuse_inside(target, sources)
    schema = joint_schema(sources)
    features = data_features(schema)
    condition = (
        None if asked.where is None else parse_condition(asked.where, features, aus=schema.aus)
    )
    choice = choose(
        sources,
        joint_splits(sources),
        features,
        schema.aus,
        condition=condition,
        balance=asked.balance,
        on_conflict=asked.on_conflict,
        on_duplicate=asked.on_duplicate,
    )
    record = _record(asked, target, sources, choice, schema)
    with _appearing(target) as storage:
        write_rows(storage, sources, choice, features, reject_features(schema))
        storage.write(layout.RUN, record.to_json())
        write_card(storage)
    notes = [*_unfinished(sources), *lacking(sources, features), *mixed_embedders(sources)]
    return Merged(read_statistics(target), choice.left_out, choice.moved, (*notes, *choice.notes))


def _record(
    asked: Merging,
    target: Storage,
    sources: Sequence[Source],
    choice: Choice,
    schema: DatasetSchema,
) -> RunRecord:
    kinds = [kind for source in sources for kind in source.record.hardware]
    return RunRecord(
        identity={
            CONFIGURATION: {
                "name": asked.name or target.root.rpartition("/")[2] or "merged",
                "output": {"splits": dict.fromkeys(choice.splits)},
            },
            "weights": joint_facts(sources, "weights"),
            "versions": joint_facts(sources, "versions"),
        },
        samples=choice.rows,
        schema=schema,
        synthgen_version=__version__,
        git_revision=git_revision(),
        licences=joint_facts(sources, "licences"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        hardware=tuple(dict.fromkeys(kinds)),
        sources=tuple(
            describe_source(source, choice.rows_of(number)) for number, source in enumerate(sources)
        ),
    )


def _unfinished(sources: Sequence[Source]) -> list[str]:
    notes = []
    for source in sources:
        done = sum(marker.stop - marker.start for marker in source.markers)
        if done < source.record.samples:
            notes.append(f"the run of {source.name} has {done} of {source.record.samples} samples")
    return notes


def _target(url: str) -> Storage:
    """Open the target; it is allowed what `output.path` of a run is allowed."""
    if protocol_of(url) == "memory":  # gone with this process: for notebooks and tests
        return Storage(url)
    try:
        OutputConfig(path=url)
    except ValidationError as error:
        sentence = first_fault(error, {"path": url}).sentence.removeprefix("path: ")
        raise OutputError(f"--to: {sentence}") from error
    return reached(url, RetryPolicy(PATIENCE))


def _refuse_occupied(target: Storage) -> None:
    """Refuse a place that cannot be, or holds what no interrupted merge has left."""
    try:
        check_place(target)
        refuse_unloadable(target)
    except OutputError as error:
        raise OutputError(str(error).replace("output.path", "--to")) from error
    there = target.entries()
    if not target.is_local:  # some stores keep a folder when its files are gone
        there = [name for name in there if name not in layout.FOLDERS]
        inside = (name for folder in layout.FOLDERS[1:] for name in target.entries(folder))
        there += [name for name in inside if name not in (*layout.FOLDERS, layout.LEASE)]
    if there and not target.exists(layout.MERGING):
        raise OutputError(
            f"{without_secrets(target.url)} holds files (such as {there[0]}); a merged dataset "
            "goes into a new or empty folder, choose another --to"
        )


def _refuse_inside(target: Storage, sources: Sequence[Source]) -> None:
    for source in sources:
        if source.storage.is_local and f"{target.root}/".startswith(f"{source.storage.root}/"):
            raise OutputError(
                f"{without_secrets(target.url)} lies inside {source.url}, which is merged; choose "
                "another --to"
            )


@contextmanager
def _appearing(target: Storage) -> Iterator[Storage]:
    """Give a place to write to that becomes the target when all is written.

    A folder is filled beside its place and renamed at the end. Stores of objects cannot rename:
    there the files that make it a dataset come last, and a mark says until the end that it is none.
    What a crash leaves, in either place, is cleared by the next merge to the same target.
    """
    folder = Path(target.root).resolve()  # where a link leads
    beside = folder.with_name(f".{folder.name}.merging")
    storage = Storage(str(beside)) if target.is_local else target
    _refuse_foreign(storage)
    whole = False
    try:
        with Lease(storage):
            _clear(storage)
            storage.write(layout.MERGING, layout.to_json({"to": without_secrets(target.url)}))
            try:
                yield storage
                storage.delete(layout.MERGING)
                whole = True
            finally:
                if not whole:
                    _clear(storage)
        if target.is_local:
            if folder.exists():
                folder.rmdir()
            beside.rename(folder)
    finally:
        if target.is_local and beside.exists():
            shutil.rmtree(beside)


def _refuse_foreign(storage: Storage) -> None:
    """Refuse to work where somebody else's files lie."""
    for folder in layout.FOLDERS:
        for name in storage.entries(folder):
            if name not in layout.FOLDERS and not layout.is_ours(name):
                raise OutputError(
                    f"{without_secrets(storage.url)} holds {name}, which no merge has left there; "
                    "move it away, or choose another --to"
                )


def _clear(storage: Storage) -> None:
    """Delete our files but the lease; the mark goes last, since it says whose they are."""
    clear(storage, (layout.LEASE, layout.MERGING))
    storage.delete(layout.MERGING)
