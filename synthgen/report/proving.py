"""A dataset proves itself: files, record, card, labels, measurements, and rows made again.

Whoever was given a dataset asks: is it what its card says? Checksums find what was changed by
accident; rows that are measured and made again find what was changed together with its checksum.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cluster.records import make_record
from cluster.worker import load_worker
from samplers.plan import build_plan
from synthgen.config import RunConfig
from synthgen.dataset import ShardMarker, Storage, layout, reached, read_record
from synthgen.dataset.card.croissant import croissant_problems
from synthgen.dataset.damage import find_damage
from synthgen.dataset.layout import ShardKey
from synthgen.dataset.loading import card_checksum
from synthgen.dataset.markers import readable_markers
from synthgen.dataset.parquet import read_columns
from synthgen.dataset.run_record import CONFIGURATION, RunRecord, differences, source_names
from synthgen.dataset.schema import pipeline_columns
from synthgen.dataset.statistics import data_checksum, in_order_of_splits
from synthgen.errors import ConfigError, DatasetError, SynthgenError, WeightsError
from synthgen.foreign import counted, first_few, first_line
from synthgen.report.comparison import stored_config
from synthgen.report.proving_rows import (
    Maker,
    Part,
    check_labels,
    check_marks,
    check_pipeline_labels,
    make_again,
    measure_again,
    stored_rows,
)
from synthgen.report.signing import read_signatures

MEASURED_FOR_EACH = 16
"""Rows that are measured again for each that is made again: measuring costs that much less."""

_SHOWN = 20
"""Sentences of a part that are printed at most."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof of a dataset, part by part.

    Attributes:
        url: where it lies.
        parts: one for each thing that was to be proved.
    """

    url: str
    parts: tuple[Part, ...]

    @property
    def wrong(self) -> list[str]:
        """Sentences on what is wrong."""
        return [sentence for part in self.parts for sentence in part.wrong]

    @property
    def open(self) -> list[str]:
        """Sentences on what could not be proved."""
        return [sentence for part in self.parts for sentence in part.open]

    @property
    def exit_code(self) -> int:
        """1 where something is wrong, 3 where something could not be proved, else 0."""
        return 1 if self.wrong else 3 if self.open or any(part.near for part in self.parts) else 0


def prove(
    url: str, samples: int = 16, seed: int = 0, say: Callable[[str], None] = lambda line: None
) -> Proof:
    """Prove what can be proved of a dataset; nothing is written.

    Args:
        url: folder or URL of the dataset.
        samples: rows that are made again, at least 0; `MEASURED_FOR_EACH` as many are measured.
        seed: of the choice of these rows.
        say: takes a line about what is done now.

    Raises:
        DatasetError: if there is no dataset, or its store fails.
    """
    storage = reached(url)
    record = read_record(storage)
    markers, corrupt = readable_markers(storage)
    say(f"comparing the checksums of {counted(len(markers), 'shard')}")
    damage = find_damage(storage, markers.values(), verify=True)
    files = _files(storage, record, markers, damage, [e.problem for e in corrupt.values()])
    card = _card(storage, record, list(markers.values()))
    parts = [files, card, *_manifests(storage, markers.values())]
    whole = [m for key, m in markers.items() if key not in damage or _is_readable(storage, m)]
    if why := _not_made_here(storage, record):
        parts.append(Part("rows", "rows", open=[why]))
        return Proof(url, tuple(parts))
    try:
        config = stored_config(storage)
    except DatasetError as error:
        parts.append(Part("configuration", "files", wrong=[first_line(error)]))
        return Proof(url, tuple(parts))
    parts += _rows(storage, config, record, whole, set(damage), samples, seed, say)
    return Proof(url, tuple(parts))


def _files(
    storage: Storage,
    record: RunRecord,
    markers: dict[ShardKey, ShardMarker],
    damage: dict[ShardKey, list[str]],
    corrupt: Sequence[str],
) -> Part:
    """Compare files with markers, and markers with the samples that the record asks for."""
    part = Part(
        "files", "files", wrong=[*corrupt, *(p for found in damage.values() for p in found)]
    )
    part.proved = sum(len(m.files) for m in markers.values()) - sum(map(len, damage.values()))
    covered = sum(marker.stop - marker.start for marker in markers.values())
    if covered != record.samples:
        part.wrong.append(
            f"the record asks for {record.samples} samples; the shards that have markers hold "
            f"{covered}"
        )
    known = {name for marker in markers.values() for name in marker.files}
    for folder in layout.OF_SHARDS:
        for name in storage.names(folder):
            if layout.shard_of(name) and name not in known:
                part.wrong.append(f"{name} has no marker")
    return part


def _card(storage: Storage, record: RunRecord, markers: list[ShardMarker]) -> Part:
    """Compare card and `croissant.json` with the markers."""
    part = Part("card, croissant.json", "files")
    found = croissant_problems(storage, markers)
    part.wrong += found
    part.proved += not found
    try:
        stated = card_checksum(storage)
    except DatasetError as error:
        part.wrong.append(first_line(error))
        return part
    if stated != data_checksum(in_order_of_splits(record, markers)):
        part.wrong.append(f"{layout.CARD} is of other data: its checksum is {stated or 'none'}")
    else:
        part.proved += 1
    return part


def _manifests(storage: Storage, markers: Iterable[ShardMarker]) -> list[Part]:
    """Compare signed manifests with the files that they vouch for; no part where there are none."""
    found = read_signatures(storage, markers)
    if found is None:
        return []
    part = Part("manifests", "files", proved=found.signed, wrong=list(found.broken))
    if found.unread is not None:
        part.open.append(f"signatures were not read: {found.unread}")
    if found.unsigned:
        part.open.append(f"no manifest vouches for {first_few(found.unsigned, 3)}")
    return [part]


def _is_readable(storage: Storage, marker: ShardMarker) -> bool:
    try:
        for _ in read_columns(storage, layout.data_file(*marker.key)):
            pass
    except SynthgenError:
        return False
    return True


def _not_made_here(storage: Storage, record: RunRecord) -> str | None:
    """Say why no row can be made again; None where rows can."""
    if record.sources:
        return (
            f"{storage.url} was merged, and its rows can be made again where they come from: prove "
            f"{source_names(record)}"
        )
    if record.outdated:
        return f"{storage.url} {record.outdated}; its rows can be made again with that one"
    return None


def _rows(
    storage: Storage,
    config: RunConfig,
    record: RunRecord,
    markers: Sequence[ShardMarker],
    damaged: set[ShardKey],
    samples: int,
    seed: int,
    say: Callable[[str], None],
) -> list[Part]:
    """Prove the record, the labels of all rows, and measurements and images of some."""
    written = Part("record", "facts")
    changed = differences({CONFIGURATION: record.configuration}, {CONFIGURATION: config.identity()})
    written.wrong += [f"{layout.RUN} and {layout.CONFIG} differ: {each}" for each in changed]
    written.proved += not changed
    if changed:
        return [written]
    plan = build_plan(config)
    say(f"comparing the labels of {counted(sum(m.rows for m in markers), 'row')} with the plan")
    labels, known = Part("labels", "rows"), {}
    for marker in markers:
        found, known[marker.key] = check_labels(storage, config, plan, record, marker)
        labels.proved += found.proved
        labels.wrong += found.wrong
    measured, made = Part("measured again", "rows"), Part("made again", "rows")
    parts = [written, labels, *_marks(storage, record, markers), measured, made]
    try:
        worker = load_worker(config, plan)
        fresh = make_record(config, plan, worker.fingerprint())
    except (ConfigError, WeightsError) as error:
        made.open.append(f"no row can be made again here: {first_line(error)}")
        return parts
    others = _others(record, fresh)
    maker = Maker(config, plan, record, worker, fresh.hardware[0], tuple(others))
    given = _pipeline_labels(storage, maker, fresh, markers, known)
    parts[2:2] = given
    _choose_and_prove(storage, maker, markers, known, damaged, samples, seed, measured, made, say)
    if any(part.near for part in (made, measured, *given)):
        kinds = ", ".join(record.hardware) or "unknown hardware"
        why = [*others] or [f"made on {kinds}, here is {maker.hardware}"]
        made.open.append(
            f"not to the bit, only nearly: {first_few(why, 3)}; prove it where these are the same"
        )
    _judge_record(written, record, fresh, others, [measured, *given], made)
    return parts


def _marks(storage: Storage, record: RunRecord, markers: Sequence[ShardMarker]) -> list[Part]:
    """Compare the marks of all images; no part where the run marks none, and none is there."""
    promised = bool(record.configuration.get("output", {}).get("mark"))
    part = Part("marks", "images")
    for marker in markers:
        found = check_marks(storage, marker, promised)
        part.proved += found.proved
        part.wrong += found.wrong
    return [part] if promised or part.proved or part.wrong else []


def _pipeline_labels(
    storage: Storage,
    maker: Maker,
    fresh: RunRecord,
    markers: Sequence[ShardMarker],
    known: dict[ShardKey, set[str]],
) -> list[Part]:
    """Compare the pipeline's labels of all rows; no part where it gives none, or other columns."""
    columns = pipeline_columns(maker.record.schema)
    if not columns or columns != pipeline_columns(fresh.schema):
        return []
    part = Part("pipeline's labels", "rows")
    for marker in markers:
        found = check_pipeline_labels(storage, maker, marker, known[marker.key])
        part.proved += found.proved
        part.near += found.near
        part.wrong += found.wrong
    return [part]


def _others(record: RunRecord, fresh: RunRecord) -> list[str]:
    """List what computes that is another than the record says."""
    parts = [name for name in (*record.identity, *fresh.identity) if name != CONFIGURATION]
    old, new = ({name: of.identity.get(name, {}) for name in parts} for of in (record, fresh))
    return differences(old, new)


def _choose_and_prove(
    storage: Storage,
    maker: Maker,
    markers: Sequence[ShardMarker],
    known: dict[ShardKey, set[str]],
    damaged: set[ShardKey],
    samples: int,
    seed: int,
    measured: Part,
    made: Part,
    say: Callable[[str], None],
) -> None:
    """Measure some rows again and make fewer again, those of damaged shards before all others."""
    random = np.random.default_rng(seed)
    names = [(m.key, name) for m in markers for name in sorted(known[m.key])]
    order = [names[i] for i in random.permutation(len(names))]
    again = set(order[:samples])
    lossless = maker.config.output.image_format == "png" and maker.config.verify.checks
    measure = set(order[: samples * MEASURED_FOR_EACH]) if lossless else set()
    measure |= {each for each in names if each[0] in damaged} if lossless else set()
    say(
        f"measuring {counted(len(measure), 'row')} again, making {counted(len(again), 'row')} again"
    )
    rows_again = []
    for marker in markers:
        wanted = {name for key, name in measure | again if key == marker.key}
        suspects: set[str] = set()
        if marker.key in damaged:  # its rows are made again, too: which of them was changed?
            spare = [name for key, name in order if key == marker.key and (key, name) not in again]
            suspects = set(spare[:samples])
        for rows in stored_rows(storage, maker.plan, marker, wanted | suspects):
            to_measure = [row for row in rows if (marker.key, row.name) in measure]
            wrong = measure_again(maker, to_measure, measured)
            suspects |= wrong
            rows_again += [
                row for row in rows if (marker.key, row.name) in again or row.name in suspects
            ]
    # A lossy format's images cannot be measured to the bit as they are stored, only made again.
    make_again(maker, rows_again, made, None if lossless else measured)


def _judge_record(
    part: Part,
    record: RunRecord,
    fresh: RunRecord,
    others: Sequence[str],
    told: Sequence[Part],
    made: Part,
) -> None:
    """Compare the record with one that is made now, as far as the rows made again allow."""
    weights = [each for each in others if not each.startswith("versions.")]
    if weights and made.wrong:
        made.open.append(f"rows cannot be made again with what is here: {first_few(weights, 3)}")
        made.wrong.clear()
        for part_told in told:
            part_told.wrong.clear()
    elif weights and made.proved:
        part.wrong += [
            f"{layout.RUN} says {each}, yet rows come out the same with what is here"
            for each in weights
        ]
    part.proved += not others
    schema = record.schema == fresh.schema
    if not schema:
        part.wrong.append(f"{layout.RUN} says other columns than the run has")
    part.proved += schema
    if weights:
        return
    licences = differences(dict(record.licences), dict(fresh.licences))
    part.wrong += [f"{layout.RUN} says another licence: {each}" for each in licences]
    part.proved += not licences


def describe_proof(proof: Proof) -> str:
    """Write a proof as a table, with what is wrong and what could not be proved below it."""
    head = ("part", "proved", "nearly", "wrong")
    rows = [
        (
            part.name,
            f"{part.proved} {part.of}",
            str(part.near or "–"),
            str(len(part.wrong) or "–"),
        )
        for part in proof.parts
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
    for title, sentences in (("wrong:", proof.wrong), ("not proved:", proof.open)):
        if sentences:
            lines += [title, *(f"  {sentence}" for sentence in _first(sentences))]
    return "\n".join([*lines, f"{proof.url}: {_verdict(proof)}"])


def _first(sentences: Sequence[str]) -> Iterable[str]:
    more = len(sentences) - _SHOWN
    return [*sentences[:_SHOWN], *([f"… and {more} more"] if more > 0 else [])]


def _verdict(proof: Proof) -> str:
    if proof.wrong:
        return "something is wrong with it"
    return "nothing wrong was found, but not all was proved" if proof.exit_code else "proved"
