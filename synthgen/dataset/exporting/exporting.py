"""Export a dataset: beside its place until it is whole, shard by shard, to be continued."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from synthgen.choices import ExportFormat
from synthgen.dataset import layout
from synthgen.dataset.beside import (
    WORK,
    appear,
    drop_work,
    local_target,
    read_record,
    refuse_occupied,
    refuse_others_work,
)
from synthgen.dataset.exporting.about import describe, page
from synthgen.dataset.exporting.form import Form, Shard
from synthgen.dataset.exporting.source import check_ids, fingerprint, open_source, verify
from synthgen.dataset.exporting.to_coco import Coco
from synthgen.dataset.exporting.to_csv import Csv
from synthgen.dataset.exporting.to_imagefolder import ImageFolder
from synthgen.dataset.exporting.to_lance import Lance
from synthgen.dataset.exporting.to_webdataset import WebDataset
from synthgen.dataset.lease import Lease
from synthgen.dataset.markers import read_markers
from synthgen.dataset.merging.sources import Source
from synthgen.dataset.storage import Storage
from synthgen.errors import DatasetError, OutputError
from synthgen.foreign import counted, excerpt

RECORD = "export.json"
"""File of an export that says what it is of; written last."""

_LEDGER = f"{WORK}/{RECORD}"

_VERSION = 1
"""Number of how this version lays out an export: another one begins anew."""

_BESIDE_PICTURES = 2048
"""Bytes of a row that are not its pictures, at most, where space is foreseen."""

_FORMS: Mapping[ExportFormat, type[Form]] = {
    "webdataset": WebDataset,
    "imagefolder": ImageFolder,
    "csv": Csv,
    "coco": Coco,
    "lance": Lance,
}

Tell = Callable[[int, int], None]
"""Takes the rows that are written, and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporting:
    """An export that is asked for.

    Attributes:
        dataset: folder or URL of a dataset.
        to: a new or empty folder, or one that the same export has begun or written.
        form: the format.
        partial: take what an unfinished run has finished.
    """

    dataset: str
    to: str
    form: ExportFormat
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """The outcome of an export.

    Attributes:
        folder: where it lies.
        rows: split → rows.
        written: rows that this call has written; the others were there.
        notes: what the user should know, a sentence each.
    """

    folder: Path
    rows: Mapping[str, int]
    written: int
    notes: tuple[str, ...]


def export(asked: Exporting, tell: Tell = lambda done, rows: None) -> Exported:
    """Write a dataset in another form; what is refused is refused before anything is written.

    Pictures are copied as their encoded bytes. The folder appears when all is written; until then
    `.<name>.exporting` beside it holds what is there, and the same call goes on.

    Args:
        asked: the export.
        tell: is called for each row group that is written.

    Raises:
        DatasetError: if the dataset is unfinished, damaged, being written, holds nothing, or holds
            what the form cannot hold, or changes meanwhile.
        OutputError: if the folder holds something else, or cannot be written.
        MissingDependencyError: if the form's library is not installed.
    """
    folder = local_target(asked.to, "export")
    source = open_source(asked.dataset, asked.partial)
    _refuse_inside(folder, source)
    identity = {
        "format": asked.form,
        "version": _VERSION,
        "fingerprint": fingerprint(source.markers),
    }
    beside = folder.with_name(f".{folder.name}.exporting")
    form = _FORMS[asked.form](source, beside)
    record = describe(form, identity)
    if (folder / RECORD).exists():
        _refuse_other(folder / RECORD, identity, f"{excerpt(folder)} holds an")
        return Exported(folder, record["rows"], 0, ())
    refuse_occupied(folder, "export")
    begun = beside / _LEDGER
    if begun.exists():
        _refuse_other(begun, identity, f"{excerpt(beside)} holds the unfinished")
    else:
        refuse_others_work(beside, "export")
    shards = list(_shards(source))
    _refuse_full(folder, source, shards, beside)
    check_ids(source)
    try:
        with Lease(Storage(str(beside)), otherwise="choose another --to"):
            written, notes = _write(form, identity, record, shards, tell)
        drop_work(beside)
        appear(beside, folder)
    except OSError as error:
        raise OutputError(
            f"cannot write {excerpt(error.filename or beside)}: {error.strerror or error}; the "
            "same command goes on"
        ) from error
    return Exported(folder, record["rows"], written, notes)


def _write(
    form: Form,
    identity: Mapping[str, Any],
    record: Mapping[str, Any],
    shards: Sequence[Shard],
    tell: Tell,
) -> tuple[int, tuple[str, ...]]:
    """Write the shards that are not there, and what joins them; return the rows, and notes."""
    source, ledger = form.source, Storage(str(form.folder))
    ledger.write(_LEDGER, layout.to_json(identity))
    rows = sum(shard.rows for shard in shards)
    there = {shard: _written(ledger, shard) for shard in shards}
    done = before = sum(shard.rows for shard, kept in there.items() if kept is not None)
    tell(done, rows)
    for shard, marker in zip(shards, source.markers, strict=True):
        if there[shard] is not None:
            continue
        verify(source, marker)
        form.json.undefined.clear()
        tables = _told(source.rows(marker, form.features), done, rows, tell)
        kept = {"form": form.write(shard, tables), "undefined": dict(form.json.undefined)}
        ledger.write(layout.marker_file(shard.split, shard.number), layout.to_json(kept))
        there[shard] = kept
        done += shard.rows
    _refuse_changed(source, identity["fingerprint"])
    kept_all = [(shard, there[shard] or {}) for shard in shards]
    form.finish([(shard, kept["form"]) for shard, kept in kept_all])
    ledger.write("README.md", page(form, dict(record)).encode())
    ledger.write(RECORD, layout.to_json(record))
    undefined: Counter[str] = Counter()
    for _, kept in kept_all:
        undefined.update(kept["undefined"])
    return rows - before, tuple(
        f"{column}: {counted(number, 'value')} that JSON has not (NaN or infinite) "
        f"{'is' if number == 1 else 'are'} null; lance and imagefolder keep them"
        for column, number in undefined.items()
    )


def _told(tables: Iterator[pa.Table], done: int, rows: int, tell: Tell) -> Iterator[pa.Table]:
    for table in tables:
        yield table
        done += table.num_rows
        tell(done, rows)


def _shards(source: Source) -> Iterator[Shard]:
    first: Counter[str] = Counter()
    for marker in source.markers:
        yield Shard(marker.split, marker.number, first[marker.split], marker.rows)
        first[marker.split] += marker.rows


def _written(ledger: Storage, shard: Shard) -> dict[str, Any] | None:
    """Return what the ledger keeps of a shard; None where it is still to be written."""
    name = layout.marker_file(shard.split, shard.number)
    if not ledger.exists(name):
        return None
    kept = layout.from_json(ledger.read(name))
    return kept if {"form", "undefined"} <= kept.keys() else None


def _refuse_other(file: Path, identity: Mapping[str, Any], what: str) -> None:
    """Refuse to go on where another export lies."""
    found = read_record(file)
    same = all(found.get(key) == value for key, value in identity.items())
    form = str(found.get("format"))
    if not same:
        other = "another dataset, or of this one before it changed"
        if form != identity["format"]:
            other = f"another format ({excerpt(form, 30)})"
        raise OutputError(f"{what} export of {other}; choose another --to, or delete that folder")


def _refuse_inside(folder: Path, source: Source) -> None:
    if not source.storage.is_local:
        return
    dataset = Path(source.storage.root).resolve()
    if folder == dataset or dataset in folder.parents:
        raise OutputError(
            f"{excerpt(folder)} lies inside {source.url}, which is exported; choose another --to"
        )


def _refuse_full(folder: Path, source: Source, shards: Sequence[Shard], beside: Path) -> None:
    """Refuse a disk that has no room for the shards that are still to be written."""
    ledger = Storage(str(beside))
    due = [
        marker
        for shard, marker in zip(shards, source.markers, strict=True)
        if _written(ledger, shard) is None
    ]
    need = sum(
        marker.files[layout.data_file(*marker.key)].bytes + _BESIDE_PICTURES * marker.rows
        for marker in due
    )
    place = next(path for path in folder.parents if path.exists())
    if (free := shutil.disk_usage(place).free) < need:
        raise OutputError(
            f"the export takes about {need / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free in "
            f"{excerpt(place)}; make room, or choose another --to"
        )


def _refuse_changed(source: Source, before: str) -> None:
    there = read_markers(source.storage)
    now = [there[marker.key] for marker in source.markers if marker.key in there]
    if fingerprint(now) != before:
        raise DatasetError(
            f"{source.url} changed while it was exported, by another run or merge; delete the "
            "unfinished folder beside --to, and export again"
        )
