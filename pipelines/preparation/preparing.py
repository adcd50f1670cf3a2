"""Prepare a dataset: pictures are looked at part by part, then corrected by what all of them show.

A part is a fixed range of a split's pictures and becomes one file of the dataset. Everything lies
in a hidden folder beside the dataset's place, with a ledger that names what is whole, until the
last file is there: after a kill the same command goes on behind the last whole part. Pictures are
read once: a part that was looked at keeps them until its labels are corrected.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipelines.preparation import rows
from pipelines.preparation.card import card
from pipelines.preparation.corrections import MIN_TOTAL, Correction, Extremes, correct
from pipelines.preparation.looking import STEPS, Looks, look
from pipelines.preparation.source import Drop, Item, Listing, PictureSource
from synthgen import __version__
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
from synthgen.dataset.lease import Lease
from synthgen.dataset.loading import refuse_unloadable
from synthgen.dataset.run_record import differences
from synthgen.dataset.schema import Feature
from synthgen.dataset.storage import Storage
from synthgen.errors import DatasetError, OutputError
from synthgen.foreign import counted, excerpt, first_few

RECORD = "preparation.json"
"""File of a prepared dataset that says what it was made of; written last but for the card."""

TOO_LITTLE = "too little expression"
"""Step that drops what shows too little after the corrections."""

TRAIN = "train"
_FIRST_SPLITS = (TRAIN, "validation", "test")

_LEDGER = f"{WORK}/{RECORD}"
_LISTED = f"{layout.REJECTS}/listed-00000.parquet"
_VERSION = 1
_PACKAGES = ("numpy", "pillow", "pyarrow")

Tell = Callable[[str, int, int], None]
"""Takes what is done, how many pictures are through, and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparing:
    """A preparation that is asked for.

    Attributes:
        source: whose pictures.
        to: a new or empty folder, or one that the same preparation has begun or written.
        looks: how pictures are looked at; models load when they are first asked.
        correction: how measured AUs are corrected; None: nothing is measured.
        models: what was loaded → its fingerprint, of what looks.
        licences: what was loaded → its licence.
        part: pictures of a part.
    """

    source: PictureSource
    to: str
    looks: Looks
    correction: Correction | None = None
    models: Mapping[str, Any] = field(default_factory=dict)
    licences: Mapping[str, str] = field(default_factory=dict)
    part: int = 500


@dataclass(frozen=True, slots=True)
class Prepared:
    """The outcome of a preparation.

    Attributes:
        folder: where it lies.
        rows: split → rows.
        steps: step → pictures that it dropped, in the order of the steps, none left out.
        what: what is counted.
        listed: pictures that there were.
        notes: what the user should know, a sentence each.
        written: whether this call wrote anything.
    """

    folder: Path
    rows: Mapping[str, int]
    steps: Mapping[str, int]
    what: str
    listed: int
    notes: Sequence[str]
    written: bool


@dataclass(frozen=True, slots=True)
class _Part:
    """A range of a split's items, which becomes one file."""

    split: str
    number: int
    items: Sequence[Item]

    @property
    def name(self) -> str:
        return f"{self.split}-{self.number:05d}"

    @property
    def seen(self) -> str:
        return f"{WORK}/seen/{self.name}.parquet"

    @property
    def looked(self) -> str:
        return f"{WORK}/seen/{self.name}.json"

    @property
    def done(self) -> str:
        return f"{WORK}/done/{self.name}.json"


def check_target(to: str, source: PictureSource) -> Path:
    """Refuse a place where nothing can appear, before any work is done; return the folder.

    Raises:
        OutputError: if it is no folder of this machine, cannot be written, lies inside the source,
            or holds something that is no prepared dataset.
    """
    folder = local_target(to, "prepare")
    try:
        refuse_unloadable(Storage(str(folder)))
    except OutputError as error:
        raise OutputError(str(error).replace("output.path", "--to")) from error
    _refuse_inside(folder, source)
    if not (folder / RECORD).exists():
        refuse_occupied(folder, "prepared dataset")
    return folder


def prepare(asked: Preparing, tell: Tell = lambda what, done, of: None) -> Prepared:
    """Prepare a dataset; what is refused is refused before anything is written.

    Args:
        asked: the preparation.
        tell: is called whenever a part is through.

    Raises:
        DatasetError: if the source has no picture that may become a row, or pictures and labels do
            not go together, or nothing is kept.
        LabelsError: if labels are malformed.
        OutputError: if the folder holds something else, or cannot be written.
    """
    folder = check_target(asked.to, asked.source)
    beside = folder.with_name(f".{folder.name}.preparing")
    listing = asked.source.listing()
    identity = _identity(asked, listing)
    for whole in (folder, beside):
        if (whole / RECORD).exists():
            _refuse_other(whole / RECORD, identity, f"{excerpt(whole)} holds a dataset that was")
            return _finished(whole, folder)
    if (begun := beside / _LEDGER).exists():
        _refuse_other(begun, identity, f"{excerpt(beside)} holds an unfinished one that was")
    else:
        refuse_others_work(beside, "preparation")
    parts = list(_parts(listing.items, asked.part))
    if not parts:
        raise DatasetError(
            f"{asked.source.title}: no picture is left to look at: "
            f"{_in_words(_counts(listing.drops), listing.what)}"
        )
    storage = Storage(str(beside))
    try:
        with Lease(storage, otherwise="choose another --to"):
            storage.write(_LEDGER, layout.to_json(identity))
            _work(storage, asked, listing, parts, identity, tell)
        return replace(_finished(beside, folder), written=True)
    except OSError as error:
        raise OutputError(
            f"cannot write {excerpt(error.filename or beside)}: {error.strerror or error}; the "
            "same command goes on"
        ) from error
    finally:
        asked.source.close()


def _work(
    storage: Storage,
    asked: Preparing,
    listing: Listing,
    parts: Sequence[_Part],
    identity: Mapping[str, Any],
    tell: Tell,
) -> None:
    """Do what is not done yet, and describe it."""
    features = _features(asked)
    total = len(listing.items)
    through = 0
    for part in parts:
        if not (storage.exists(part.done) or storage.exists(part.looked)):
            _look_at(storage, asked, part, features)
        through += len(part.items)
        tell("looked at", through, total)
    extremes = _extremes(storage, parts, asked.correction)
    through = 0
    for part in parts:
        if not storage.exists(part.done):
            _settle(storage, asked, part, extremes, features)
        through += len(part.items)
        tell("written", through, total)
    if listing.drops:
        storage.write(_LISTED, rows.encode_drops(listing.drops))
    done = [(part, layout.from_json(storage.read(part.done))) for part in parts]
    record = _record(asked, listing, identity, done, extremes)
    if not sum(record["rows"].values()):
        raise DatasetError(
            f"{asked.source.title}: nothing is kept of {record['listed']} {listing.what}: "
            f"{_in_words(record['dropped'], listing.what)}"
        )
    storage.write(layout.CARD, card(asked.source, record, features))
    storage.write(RECORD, layout.to_json(record))


def _look_at(
    storage: Storage, asked: Preparing, part: _Part, features: Mapping[str, Feature]
) -> None:
    found = look(part.items, asked.source.read(part.items), asked.looks)
    data = rows.encode_seen(found.seen, asked.source.name, asked.looks.measured_by, features)
    storage.write(part.seen, data)
    kept: dict[str, Any] = {
        "sha256": sha256(data).hexdigest(),
        "drops": [
            [drop.split, drop.file, drop.frame, drop.step, drop.reason] for drop in found.drops
        ],
    }
    if asked.correction is not None:
        vectors = rows.vectors(rows.read_table(data))
        kept["extremes"] = Extremes.of(vectors, asked.correction).to_json()
    storage.write(part.looked, layout.to_json(kept))


def _extremes(
    storage: Storage, parts: Sequence[_Part], correction: Correction | None
) -> Extremes | None:
    """Return the extremes of the training split, or of all where there is none."""
    if correction is None:
        return None
    counting = [part for part in parts if part.split == TRAIN] or parts
    looked = (layout.from_json(storage.read(part.looked)) for part in counting)
    return Extremes.joined([Extremes.from_json(one["extremes"]) for one in looked])


def _settle(
    storage: Storage,
    asked: Preparing,
    part: _Part,
    extremes: Extremes | None,
    features: Mapping[str, Feature],
) -> None:
    """Correct what was measured in a part, and write its files."""
    looked = layout.from_json(storage.read(part.looked))
    data = storage.read(part.seen)
    if sha256(data).hexdigest() != looked["sha256"]:
        raise OutputError(
            f"{excerpt(part.seen)} of {storage.url} is not what was written there; delete that "
            "folder, and prepare again"
        )
    drops = [Drop(*values) for values in looked["drops"]]
    table, clipped = rows.read_table(data), 0
    if extremes is not None and asked.correction is not None and table.num_rows:
        corrected = correct(rows.vectors(table), asked.correction, extremes)
        clipped = corrected.clipped
        sources = table.column("provenance").to_pylist()
        drops += [
            Drop(part.split, one["file"], one["frame"], TOO_LITTLE, _too_little(asked, total))
            for one, kept, total in zip(
                sources, corrected.kept.tolist(), corrected.totals.tolist(), strict=True
            )
            if not kept
        ]
        table = rows.with_corrected(table, corrected)
    written = rows.encode_tables(features, [table])
    storage.write(layout.data_file(part.split, part.number), written)
    if drops:
        storage.write(layout.reject_file(part.split, part.number), rows.encode_drops(drops))
    done = {
        "rows": table.num_rows,
        "dropped": _counts(drops),
        "clipped": clipped,
        "sha256": sha256(written).hexdigest(),
    }
    storage.write(part.done, layout.to_json(done))
    storage.delete(part.seen)


def _too_little(asked: Preparing, total: float) -> str:
    if asked.correction == "script":
        return f"the greatest AU is {total:.3f} of 1; more than {MIN_TOTAL:g} is asked for"
    return f"the AUs add up to {total:.3f}; {MIN_TOTAL:g} is asked for"


def _record(
    asked: Preparing,
    listing: Listing,
    identity: Mapping[str, Any],
    done: Sequence[tuple[_Part, Mapping[str, Any]]],
    extremes: Extremes | None,
) -> dict[str, Any]:
    """Return what the dataset says of itself."""
    kept: Counter[str] = Counter()
    dropped = Counter(_counts(listing.drops))
    for part, one in done:
        kept[part.split] += one["rows"]
        dropped.update(one["dropped"])
    steps = [*listing.steps, *STEPS, TOO_LITTLE]
    notes = [*listing.notes]
    if clipped := sum(one["clipped"] for _, one in done):
        notes.append(f"{counted(clipped, 'value')} beyond 5 became 5")
    if extremes is not None and asked.correction != "none" and extremes.flat:
        notes.append(
            f"{', '.join(extremes.flat)}: one value in the whole set, so there is no range"
        )
    digest = sha256()
    for part, one in done:
        digest.update(f"{part.name} {one['sha256']}\n".encode())
    return {
        **identity,
        "synthgen_version": __version__,
        "listed": len(listing.items) + len(listing.drops),
        "what": listing.what,
        "rows": dict(kept),
        "parts": dict(Counter(part.split for part, _ in done)),
        "dropped": {step: dropped[step] for step in steps if dropped[step]},
        "extremes": None if extremes is None else extremes.to_json(),
        "checksum": digest.hexdigest()[:16],
        "licences": {**listing.licences, **asked.licences},
        "notes": notes,
    }


def _finished(whole: Path, folder: Path) -> Prepared:
    """Let a whole dataset appear where it is asked for, and say what it holds."""
    record = read_record(whole / RECORD)
    if whole != folder:
        if (whole / WORK).exists():
            drop_work(whole)
        appear(whole, folder)
    return Prepared(
        folder=folder,
        rows=record["rows"],
        steps=record["dropped"],
        what=record["what"],
        listed=record["listed"],
        notes=record["notes"],
        written=False,
    )


def _identity(asked: Preparing, listing: Listing) -> dict[str, Any]:
    """Return what the files are a function of."""
    looks = asked.looks
    identity = {
        "version": _VERSION,
        "source": asked.source.name,
        "checksum_of_source": listing.checksum,
        "options": {
            **asked.source.options,
            "side": looks.side,
            "min_side": looks.min_side,
            "picture_format": looks.picture_format,
            "caption": looks.caption,
            "photo_from": looks.photo_from,
            "describe": looks.describe,
            "correction": asked.correction,
            "part": asked.part,
        },
        "models": dict(asked.models),
        "versions": {package: version(package) for package in (*_PACKAGES, *listing.packages)},
    }
    return layout.from_json(layout.to_json(identity))


def _features(asked: Preparing) -> dict[str, Feature]:
    return rows.row_features(
        asked.source.columns,
        photo=asked.looks.photo_from is not None,
        measured=asked.correction is not None,
    )


def _parts(items: Sequence[Item], size: int) -> Iterator[_Part]:
    by_split: dict[str, list[Item]] = {split: [] for split in _FIRST_SPLITS}
    for item in items:
        by_split.setdefault(item.split, []).append(item)
    for split, ones in by_split.items():
        if not re.fullmatch(r"\w+", split):
            raise DatasetError(
                f"split {excerpt(split, 60)!r} cannot name files; a split is a word of letters, "
                "digits and _"
            )
        for number, start in enumerate(range(0, len(ones), size)):
            yield _Part(split, number, ones[start : start + size])


def _counts(drops: Sequence[Drop]) -> dict[str, int]:
    return dict(Counter(drop.step for drop in drops))


def _in_words(dropped: Mapping[str, int], what: str) -> str:
    said = [f"{number} {step}" for step, number in dropped.items()]
    return first_few(said, len(said)) or f"there are no {what}"


def _refuse_other(file: Path, identity: Mapping[str, Any], what: str) -> None:
    """Refuse to go on where another preparation lies."""
    found = read_record(file)
    if changed := differences({key: found.get(key) for key in identity}, identity):
        shown = first_few(changed, 3, "; ")
        raise OutputError(
            f"{what} prepared otherwise ({excerpt(shown)}); choose another --to, or delete that "
            "folder"
        )


def _refuse_inside(folder: Path, source: PictureSource) -> None:
    for place in source.folders:
        root = place.resolve()
        if folder == root or root in folder.parents:
            raise OutputError(
                f"{excerpt(folder)} lies inside {excerpt(place)}, whose pictures are read; choose "
                "another --to"
            )
