"""Inspection of a dataset: its content, whether it is whole, the rows of one sample."""

import fnmatch
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synthgen.config.yaml_text import read_yaml_bytes
from synthgen.dataset import layout
from synthgen.dataset.card.findings import faces_line
from synthgen.dataset.layout import ShardKey
from synthgen.dataset.loading import card_files
from synthgen.dataset.markers import ShardMarker, parse_marker
from synthgen.dataset.marks.containers import without_marks
from synthgen.dataset.opening import obstacles, reached, strays
from synthgen.dataset.parquet import read_columns
from synthgen.dataset.run_record import RunRecord, read_record
from synthgen.dataset.shards import verify_shard
from synthgen.dataset.statistics import Statistics, count
from synthgen.dataset.storage import Storage
from synthgen.dataset.strata import describe_short
from synthgen.errors import ConfigError, DatasetError, MissingFileError
from synthgen.foreign import counted, first_few, first_line


def sample_rows(storage: Storage, name: str, sample_id: str) -> list[dict[str, Any]]:
    """Return the rows of a sample as Python values; `image` is `{"bytes": …, "path": …}`.

    Args:
        storage: the dataset.
        name: its file of samples or of rejected attempts.
        sample_id: name of the sample.

    Raises:
        DatasetError: if the file is missing or corrupt.
    """
    places, start = [], 0
    for batch in read_columns(storage, name, ["sample_id"]):
        equal = pc.equal(batch.column(0), sample_id)  # pyright: ignore[reportAttributeAccessIssue]
        places += [start + int(place) for place in np.flatnonzero(equal)]
        start += batch.num_rows
    rows, start = [], 0
    for batch in read_columns(storage, name, batch_rows=100) if places else ():
        here = [place - start for place in places if 0 <= place - start < batch.num_rows]
        rows += [batch.slice(place, 1).to_pylist()[0] for place in here]
        start += batch.num_rows
    return rows


_SHOWN = 5

_IMAGES = 500
"""Images that are held in memory at a time."""

_UNCOUNTED = (DatasetError, pa.ArrowException, ValueError, LookupError, TypeError, AttributeError)
"""Errors of counting the columns of a file that is none of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Findings in a dataset.

    Attributes:
        url: where it lies.
        name: its name in the configuration.
        samples: samples that its run asks for.
        shards: finished shards.
        statistics: counts over the shards that are whole.
        problems: one sentence for each thing that is wrong; empty for a whole dataset.
    """

    url: str
    name: str
    samples: int
    shards: int
    statistics: Statistics
    problems: tuple[str, ...]


def inspect_dataset(url: str) -> Inspection:
    """Verify the checksums of a dataset, look for what is missing, twice or foreign, and count.

    Raises:
        DatasetError: if there is no dataset, or its record is corrupt or fits none.
    """
    storage = reached(url)
    record = read_record(storage)
    markers, problems = _readable_markers(storage)
    if storage.exists(layout.MERGING):
        again = "run the same `synthgen merge` again, which begins anew"
        problems.append(f"a merge was cut off here; {again}")
    problems += [f"{name} is {kind}" for name, kind in obstacles(storage).items()]
    problems += _half_shards(storage, set(markers))
    problems += _gaps(record, list(markers.values()))
    whole = []
    for marker in markers.values():
        found = verify_shard(storage, marker)
        problems += found
        whole += [] if found else [marker]
    statistics, whole, uncounted = _count(storage, record, whole)
    problems += uncounted
    ids = _column(storage, whole, "sample_id")
    problems += _duplicates(ids)
    problems += _equal_images(storage, whole, ids)
    problems += _shared_identities(storage, whole)
    problems += _strays(storage, ids)
    problems += [] if record.sources else _configuration(storage)
    return Inspection(
        url=url,
        name=str(record.configuration.get("name", "")),
        samples=record.samples,
        shards=len(markers),
        statistics=statistics,
        problems=tuple(problems),
    )


def _count(
    storage: Storage, record: RunRecord, markers: Sequence[ShardMarker]
) -> tuple[Statistics, list[ShardMarker], list[str]]:
    """Count what can be counted, and name the shards that cannot.

    A checksum says that a file is as it was written, not that it is ours: markers can be edited.
    """
    try:
        return count(storage, record, markers), list(markers), []
    except _UNCOUNTED:
        whole, problems = [], []
    for marker in markers:
        try:
            count(storage, record, [marker])
            whole.append(marker)
        except _UNCOUNTED as error:
            name = layout.data_file(*marker.key)
            problems.append(f"the shard of {name} cannot be counted: {first_line(error)}")
    try:
        return count(storage, record, whole), whole, problems
    except _UNCOUNTED as error:  # without a shard to blame
        raise DatasetError(
            f"{layout.RUN} in {storage.url} fits no rows: {first_line(error)}; put it back from "
            "a copy"
        ) from error


def _readable_markers(storage: Storage) -> tuple[dict[ShardKey, ShardMarker], list[str]]:
    markers, problems = {}, []
    for name in storage.names(layout.MARKERS):
        if layout.shard_of(name):
            try:
                marker = parse_marker(name, storage.read(name))
                markers[marker.key] = marker
            except DatasetError as error:
                problems.append(str(error))
    return dict(sorted(markers.items())), problems


def _half_shards(storage: Storage, finished: set[ShardKey]) -> list[str]:
    problems = []
    for folder in layout.FOLDERS:
        for name in storage.names(folder):
            if layout.is_temporary(name):
                problems.append(f"{name} is what was left of an interrupted write")
            elif folder in layout.OF_SHARDS:
                key = layout.shard_of(name)
                if key is not None and key not in finished:
                    problems.append(f"{name} belongs to a shard that is not finished: no marker")
    return problems


def _gaps(record: RunRecord, markers: Sequence[ShardMarker]) -> list[str]:
    problems = []
    for split, shards in groupby(markers, key=lambda marker: marker.split):
        number, stop = 0, 0
        for marker in shards:
            if marker.number != number:
                missing = ", ".join(f"{split}-{i:05d}" for i in range(number, marker.number))
                problems.append(f"shards missing before {marker.name}: {missing}")
            elif marker.start != stop:
                problems.append(
                    f"{marker.name} starts at {marker.start}; the shard before it stops at {stop}"
                )
            number, stop = marker.number + 1, marker.stop
    covered = sum(marker.stop - marker.start for marker in markers)
    if covered != record.samples:
        problems.append(
            f"the run asks for {record.samples} samples; finished shards cover {covered}"
        )
    return problems


def _duplicates(ids: pa.ChunkedArray) -> list[str]:
    counted = pc.value_counts(ids)  # pyright: ignore[reportAttributeAccessIssue]
    more_than_once = pc.greater(counted.field("counts"), 1)  # pyright: ignore
    twice = counted.field("values").filter(more_than_once).to_pylist()
    return [f"sample ids that stand more than once: {first_few(twice, _SHOWN)}"] if twice else []


def _equal_images(
    storage: Storage, markers: Sequence[ShardMarker], ids: pa.ChunkedArray
) -> list[str]:
    """Find images of different samples that are equal, byte by byte, but for their marks."""
    digests = np.fromiter(_image_digests(storage, markers), np.uint64)
    order = np.argsort(digests, kind="stable")
    starts = np.flatnonzero(np.diff(digests[order], prepend=~digests[order[:1]]))
    groups = sorted(tuple(group) for group in np.split(order, starts)[1:] if len(group) > 1)
    samples = [list(dict.fromkeys(ids.take(group).to_pylist())) for group in groups]
    equal = [" = ".join(names[:_SHOWN]) for names in samples if len(names) > 1]
    return [f"images that are equal, byte by byte: {first_few(equal, _SHOWN)}"] if equal else []


def _image_digests(storage: Storage, markers: Sequence[ShardMarker]) -> Iterator[int]:
    for marker in markers:
        name = layout.data_file(*marker.key)
        for batch in read_columns(storage, name, ["image"], batch_rows=_IMAGES):
            for image in batch.column("image").field("bytes"):
                # Marks name their samples, so that equal pictures have other bytes in them.
                digest = hashlib.blake2b(without_marks(image.as_py()), digest_size=8).digest()
                yield int.from_bytes(digest, "little")


def _strays(storage: Storage, ids: pa.ChunkedArray) -> list[str]:
    """Name the files beside the shards: what the card loads of them, and what they repeat."""
    loaded: list[str] = []
    problems = []
    try:
        loaded = [pattern for patterns in card_files(storage).values() for pattern in patterns]
    except MissingFileError:
        if len(ids):
            problems.append(
                f"{layout.CARD} is missing: load_dataset would take every file for data"
            )
    except DatasetError as error:
        problems.append(str(error))
    for name in strays(storage):
        seen = any(fnmatch.fnmatchcase(name, pattern) for pattern in loaded)
        and_loaded = ", and the card has it loaded" if seen else ""
        problems.append(
            f"{name} is no file of this dataset{and_loaded}{_repeated(storage, name, ids)}"
        )
    return problems


def _repeated(storage: Storage, name: str, ids: pa.ChunkedArray) -> str:
    """Tell how many samples of the dataset a foreign file repeats, if it has samples."""
    if not name.endswith(".parquet"):
        return ""
    try:
        chunks = [batch.column(0) for batch in read_columns(storage, name, ["sample_id"])]
        twice = pc.is_in(pa.chunked_array(chunks, pa.string()), value_set=ids)  # pyright: ignore
    except (DatasetError, pa.ArrowException, TypeError):
        return ""  # it holds no samples of anybody
    number = pc.sum(twice).as_py() or 0  # pyright: ignore[reportAttributeAccessIssue]
    return f"; {number} of its {len(twice)} sample ids are in the dataset" if number else ""


def _configuration(storage: Storage) -> list[str]:
    """Tell whether the configuration that a sample is reproduced from is there and readable."""
    repair = f"`{layout.repair_command(storage.url)}` writes it again"
    try:
        read_yaml_bytes(storage.read(layout.CONFIG), layout.CONFIG)
    except MissingFileError:
        return [f"{layout.CONFIG} is missing; {repair}"]
    except ConfigError as error:
        return [f"{first_line(error)}; {repair}"]
    return []


def _shared_identities(storage: Storage, markers: Sequence[ShardMarker]) -> list[str]:
    home: dict[str, str] = {}
    shared: set[str] = set()
    for split, shards in groupby(markers, key=lambda marker: marker.split):
        identities = _column(storage, list(shards), "identity_id").unique().to_pylist()
        shared.update(name for name in identities if home.setdefault(name, split) != split)
    named = first_few(sorted(shared), _SHOWN)
    return [f"identities in more than one split: {named}"] if shared else []


def _column(storage: Storage, markers: Sequence[ShardMarker], name: str) -> pa.ChunkedArray:
    chunks = [
        batch.column(name)
        for marker in markers
        for batch in read_columns(storage, layout.data_file(*marker.key), [name])
    ]
    return pa.chunked_array(chunks, pa.string())


def describe_inspection(inspection: Inspection) -> str:
    """Write what an inspection found, a fact a line; problems come last."""
    statistics = inspection.statistics
    lines = [
        f"{inspection.name or 'dataset'} in {inspection.url}",
        f"samples: {statistics.total} of {inspection.samples} in {inspection.shards} shards",
        *_splits(statistics),
        f"acceptance: {_acceptance(statistics)}",
    ]
    if statistics.rejected or statistics.errors:
        lines.append(f"rejected attempts: {_reasons(statistics)}")
    lines += _lacking(statistics)
    if statistics.categories:
        lines.append(f"emotions: {_categories(statistics)}")
    lines += faces_line(statistics.faces)
    if not inspection.problems:
        return "\n".join([*lines, _verdict(statistics)])
    return "\n".join([*lines, "problems:", *(f"  {problem}" for problem in inspection.problems)])


def _verdict(statistics: Statistics) -> str:
    if statistics.missing:
        return "less than asked, but what is there is whole: all checksums agree"
    return "no problems: all checksums agree"


def _lacking(statistics: Statistics) -> list[str]:
    lines = []
    if statistics.missing:
        lines.append(f"missing samples: {len(statistics.missing)}")
    if kept := statistics.total - statistics.accepted:
        lines.append(f"unaccepted samples (accepted=false): {kept}")
    return lines + [f"  {line}" for line in describe_short(statistics.short, statistics.lacking)]


def _splits(statistics: Statistics) -> list[str]:
    return [
        f"  {split}: {counted(rows, 'sample')} of "
        f"{counted(statistics.identities[split], 'identity', 'identities')}"
        for split, rows in statistics.rows.items()
    ]


def _acceptance(statistics: Statistics) -> str:
    share = statistics.acceptance
    percent = "–" if math.isnan(share) else f"{100 * share:.1f} %"
    if unjudged := statistics.unjudged:
        unlooked = f"no check has looked at {unjudged} samples (accepted is null)"
        return f"{unlooked}, {statistics.attempts} attempts"
    return f"{percent} ({statistics.accepted} accepted of {statistics.attempts} attempts)"


def _reasons(statistics: Statistics) -> str:
    reasons = dict(statistics.rejected)
    if statistics.errors:
        reasons["error"] = statistics.errors
    return ", ".join(f"{reason} {number}" for reason, number in reasons.items())


def _categories(statistics: Statistics) -> str:
    return ", ".join(
        f"{name} {sum(counts.values())}" for name, counts in statistics.categories.items()
    )
