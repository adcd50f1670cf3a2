"""The files of a dataset that go to the Hub, whole and in the order in which they go."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial as with_arguments
from pathlib import PurePosixPath

from synthgen.config.run import run_id_of
from synthgen.dataset import layout
from synthgen.dataset.card.croissant import render_croissant
from synthgen.dataset.card.picture import sample_sheet
from synthgen.dataset.card.sections import ANY_FOLDER
from synthgen.dataset.card.writing import card_problems, render_card
from synthgen.dataset.damage import changed_files, find_damage, shortened
from synthgen.dataset.exporting.source import refuse_unfinished, refuse_written
from synthgen.dataset.markers import ShardMarker, read_markers
from synthgen.dataset.merging.sources import PATIENCE
from synthgen.dataset.opening import reached
from synthgen.dataset.retry import RetryPolicy
from synthgen.dataset.run_record import RunRecord, read_record
from synthgen.dataset.statistics import count, in_order_of_splits
from synthgen.dataset.storage import Storage
from synthgen.errors import DatasetError
from synthgen.redaction import without_secrets

Tell = Callable[[int, int], None]
"""Takes the bytes that are done, and how many there are."""

_READERS = 4
"""Shards whose checksums are compared at a time."""


@dataclass(frozen=True, slots=True)
class File:
    """A file that is pushed.

    Attributes:
        name: its name, below the dataset's folder and in the repository.
        size: its size [bytes].
        sha256: hexadecimal SHA-256 of what it holds.
        data: what it holds; None for a shard's file, which is read when it is sent.
    """

    name: str
    size: int
    sha256: str
    data: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """A dataset as it is pushed.

    Attributes:
        storage: where it lies.
        name: its name in the configuration.
        run: short name of its run.
        sources: short names of the runs that a merged dataset was merged from.
        markers: its finished shards, in the order of the splits.
        files: what goes up, in this order: shards, their signatures, picture, markers, record,
            the card last.
        left: files and folders beside them that stay here.
    """

    storage: Storage
    name: str
    run: str
    sources: tuple[str, ...]
    markers: tuple[ShardMarker, ...]
    files: tuple[File, ...]
    left: tuple[str, ...]

    @property
    def size(self) -> int:
        """Size of all files [bytes]."""
        return sum(file.size for file in self.files)

    @property
    def rows(self) -> dict[str, int]:
        """Split → rows."""
        rows: dict[str, int] = {}
        for marker in self.markers:
            rows[marker.split] = rows.get(marker.split, 0) + marker.rows
        return rows


def gather(url: str, repo: str, partial: bool = False, tell: Tell = lambda *_: None) -> Contents:
    """Open a dataset that is to be pushed, and compare it with its checksums.

    Behind a URL sizes are compared here, and checksums when a file is fetched to be sent.

    Args:
        url: folder or URL.
        repo: repository, which the card names in its `load_dataset`.
        partial: take what an unfinished run has finished, with a card of that.
        tell: is called for each shard that was compared.

    Raises:
        DatasetError: if it is no dataset of ours, is unfinished, damaged or cut off in a merge,
            has no row, or its card is of other data.
        OutputError: if a run is writing it, or the store does not answer.
    """
    storage = reached(url, RetryPolicy(PATIENCE))
    record = read_record(storage)
    refuse_written(storage)
    shown = without_secrets(url)
    if storage.exists(layout.MERGING):
        raise DatasetError(
            f"{shown} is what a merge that was cut off has left; run the same `synthgen merge` "
            "again, which begins anew"
        )
    markers = in_order_of_splits(record, read_markers(storage).values())
    whole = sum(marker.stop - marker.start for marker in markers) == record.samples
    if not partial:
        refuse_unfinished(storage, record, markers, ", or --partial pushes what is there")
    if not any(marker.rows for marker in markers):
        raise DatasetError(f"{shown} holds no finished sample; nothing to push")
    _verify(storage, markers, tell)
    if whole and (problems := card_problems(storage, record, markers)):
        raise DatasetError(
            f"{shortened(problems)}; `{layout.repair_command(url)}` writes both again"
        )
    beside = _stored_card(storage) if whole else _card_of(storage, record, markers)
    card = beside.pop(layout.CARD).decode().replace(ANY_FOLDER, repo).encode()
    small = {
        **_manifests(storage, markers),
        **{name: data for name, data in beside.items() if name == layout.PICTURE},
        **{marker.name: storage.read(marker.name) for marker in markers},
        **{name: storage.read(name) for name in (layout.CONFIG,) if storage.exists(name)},
        layout.RUN: storage.read(layout.RUN),
        layout.CROISSANT: beside[layout.CROISSANT],
        layout.CARD: card,
    }
    files = [*_of_shards(markers), *(_held(name, data) for name, data in small.items())]
    return Contents(
        storage=storage,
        name=str(record.configuration.get("name") or PurePosixPath(storage.root).name),
        run=run_id_of(record.configuration),
        sources=source_runs(record),
        markers=tuple(markers),
        files=tuple(files),
        left=tuple(_left(storage, {file.name for file in files})),
    )


def source_runs(record: RunRecord) -> tuple[str, ...]:
    """Return the short names of the runs that a merged dataset was merged from, in order."""
    return tuple(sorted(str(source.get("run", "")) for source in record.sources))


def refuse_changed(contents: Contents) -> None:
    """Refuse a dataset that is no more what was gathered.

    Raises:
        DatasetError: if its markers have changed.
    """
    there = read_markers(contents.storage)
    if any(there.get(marker.key) != marker for marker in contents.markers):
        raise DatasetError(
            f"{without_secrets(contents.storage.url)} changed while it was pushed, by another run "
            "or merge; the repository is as it was, push again"
        )


def _verify(storage: Storage, markers: Sequence[ShardMarker], tell: Tell) -> None:
    if not storage.is_local:
        problems = [text for found in find_damage(storage, markers).values() for text in found]
    else:
        problems = []
        sizes = [sum(stamp.bytes for stamp in marker.files.values()) for marker in markers]
        done = 0
        with ThreadPoolExecutor(_READERS, "checksums") as readers:
            compared = readers.map(with_arguments(changed_files, storage), markers)
            for found, size in zip(compared, sizes, strict=True):
                problems += found
                done += size
                tell(done, sum(sizes))
    if problems:
        raise DatasetError(
            f"{without_secrets(storage.url)} is not whole: {shortened(problems)}; `synthgen "
            "generate` with its configuration makes the shards again"
        )


def _stored_card(storage: Storage) -> dict[str, bytes]:
    names = (layout.PICTURE, layout.CROISSANT, layout.CARD)
    return {name: storage.read(name) for name in names if storage.exists(name)}


def _card_of(
    storage: Storage, record: RunRecord, markers: Sequence[ShardMarker]
) -> dict[str, bytes]:
    """Write the card of what is there, as a run does at its end; the dataset keeps its own."""
    statistics = count(storage, record, markers)
    picture = sample_sheet(storage, record, list(markers))
    card = render_card(record, statistics, picture=picture is not None)
    croissant = render_croissant(record, statistics, markers)
    drawn = {} if picture is None else {layout.PICTURE: picture}
    return {**drawn, layout.CROISSANT: croissant, layout.CARD: card.encode()}


def _of_shards(markers: Sequence[ShardMarker]) -> Iterator[File]:
    for folder in layout.OF_SHARDS:
        for marker in markers:
            for name, stamp in marker.files.items():
                if name.startswith(f"{folder}/"):
                    yield File(name, stamp.bytes, stamp.sha256)


def _manifests(storage: Storage, markers: Sequence[ShardMarker]) -> dict[str, bytes]:
    """Return what signers say of files that are pushed."""
    pushed = {name for marker in markers for name in marker.files}
    return {
        name: storage.read(name)
        for folder in layout.OF_SHARDS
        for name in storage.names(folder)
        if layout.is_manifest(name) and layout.vouched_for(name) in pushed
    }


def _held(name: str, data: bytes) -> File:
    return File(name, len(data), hashlib.sha256(data).hexdigest(), data)


def _left(storage: Storage, pushed: set[str]) -> Iterator[str]:
    for folder in layout.FOLDERS:
        for name, kind in storage.kinds(folder).items():
            if kind == "directory" and name not in layout.FOLDERS:
                yield f"{name}/"
            elif kind != "directory" and name not in pushed:
                yield name
