"""Rows of a dataset against its plan, its checks and its pipeline.

Labels are compared in every row, since the plan tells them without any model. Images of png are
measured again as they lie there, and some rows are made again: on the hardware, weights and
packages of the run both must come out equal to the bit; on others only nearly.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from cluster.batches import make_row
from cluster.conditions import condition_columns
from cluster.rounds import Outcome
from cluster.worker import Worker
from samplers.plan import Plan
from samplers.spec import Attempt
from synthgen.config import RunConfig
from synthgen.dataset import ShardMarker, Storage, layout
from synthgen.dataset.marks.containers import read_mark
from synthgen.dataset.parquet import read_columns, stored_values
from synthgen.dataset.run_record import RunRecord
from synthgen.dataset.schema import AUS_MEASURED, au_columns, data_features, pipeline_columns
from synthgen.errors import SynthgenError
from synthgen.foreign import excerpt
from synthgen.report.reproduction import apart

NEAR_PIXELS = 4.0
"""Mean difference of pixel values [0–255] up to which an image that was made on other hardware or
with other packages counts as the same. Of quickstart rows bfloat16 changes 0.5 at most; two
different ones differ by 15 at least."""

NEAR_VALUES = 0.25
"""Difference of measured values up to which they count as the same there: half of the least
intensity that counts as seen."""

_NO_ATTEMPT = (SynthgenError, ValueError, TypeError, IndexError, OverflowError)
"""Errors of asking a plan for an attempt that cannot be: rows may say anything."""

_ROWS_AT_ONCE = 64
"""Rows with their images that are held at a time."""


@dataclass(slots=True)
class Part:
    """One thing that was to be proved.

    Attributes:
        name: what it is.
        of: what is counted, in the plural.
        proved: how many were proved.
        near: how many only nearly, since hardware, weights or packages are others.
        wrong: one sentence for each that is wrong.
        open: one sentence for each reason why something could not be proved.
    """

    name: str
    of: str
    proved: int = 0
    near: int = 0
    wrong: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Stored:
    """A row as it is stored, and the attempt that it says it is.

    Attributes:
        marker: its shard.
        values: column → value; without the image where only labels were read.
        attempt: the attempt.
    """

    marker: ShardMarker
    values: Mapping[str, Any]
    attempt: Attempt

    @property
    def name(self) -> str:
        """The sample's name."""
        return self.values["sample_id"]


@dataclass(frozen=True, slots=True)
class Maker:
    """The run of a dataset, loaded again.

    Attributes:
        config: its configuration.
        plan: its plan.
        record: its record.
        worker: what makes and measures.
        hardware: kind of the device that it does so on.
        others: packages of other versions, or weights, than the record names.
    """

    config: RunConfig
    plan: Plan
    record: RunRecord
    worker: Worker
    hardware: str
    others: tuple[str, ...]

    def exact(self, marker: ShardMarker) -> bool:
        """Return whether bits of a shard must come out the same."""
        return not self.others and marker.hardware in ("", self.hardware)


def check_marks(storage: Storage, marker: ShardMarker, promised: bool) -> Part:
    """Compare what every image of a shard says of itself with its row.

    Args:
        storage: the dataset.
        marker: the shard.
        promised: whether the run marks its images; else those without a mark are passed over.
    """
    part = Part("marks", "images")
    file = layout.data_file(*marker.key)
    for batch in read_columns(storage, file, ["sample_id", "image"], batch_rows=_ROWS_AT_ONCE):
        for row in batch.to_pylist():
            name = excerpt(row["sample_id"])
            mark = read_mark((row["image"] or {}).get("bytes") or b"")
            if mark is None:
                if promised:
                    part.wrong.append(f"{name}: its image has no mark; the run marks each")
            elif mark.sample_id != row["sample_id"]:
                shown = "none" if mark.sample_id is None else excerpt(mark.sample_id)
                part.wrong.append(f"{name}: its image says that it shows the sample {shown}")
            elif not mark.synthetic:
                part.wrong.append(f"{name}: its image says that it is {excerpt(mark.source)}")
            else:
                part.proved += 1
    return part


def check_labels(
    storage: Storage, config: RunConfig, plan: Plan, record: RunRecord, marker: ShardMarker
) -> tuple[Part, set[str]]:
    """Compare what the plan asks for with every row of a shard: columns that it alone fills.

    Returns:
        What was proved, and the samples whose attempts the plan knows.
    """
    part, known = Part("labels", "rows"), set()
    columns = _planned_columns(config, record)
    needed = list(dict.fromkeys([*columns, "sample_id", "attempt", "replacement"]))
    specs = {spec.sample_id: spec for spec in plan.specs(marker.split, marker.start, marker.stop)}
    found: set[str] = set()
    for batch in read_columns(storage, layout.data_file(*marker.key), needed):
        asked: list[tuple[Mapping[str, Any], Attempt]] = []
        for values in batch.to_pylist():
            name = values["sample_id"]
            if name in found or name not in specs:
                what = "stands twice" if name in found else "is not of this shard"
                part.wrong.append(f"{excerpt(name)}: {what}, {layout.data_file(*marker.key)}")
                continue
            found.add(name)
            try:
                asked.append((values, _attempt(plan, marker, values)))
            except _NO_ATTEMPT as error:
                part.wrong.append(f"{name}: no attempt of the run ({excerpt(error)})")
        attempts = [attempt for _, attempt in asked]
        expected = _expected(config, record, attempts, [{}] * len(attempts), marker.split)
        for (values, _), planned in zip(asked, expected, strict=True):
            name = values["sample_id"]
            different = [column for column in columns if values[column] != planned[column]]
            part.wrong += [
                f"{name}: {column} is {_short(values[column])}; the plan says "
                f"{_short(planned[column])}"
                for column in different
            ]
            part.proved += not different
            if not {"attempt", "replacement", "seed"} & set(different):
                known.add(name)
    for name in sorted(set(specs) - found - set(marker.missing)):
        part.wrong.append(f"{name}: has no row in {layout.data_file(*marker.key)}")
    return part, known


def _planned_columns(config: RunConfig, record: RunRecord) -> list[str]:
    """Return the columns that follow from the plan alone."""
    given = config.identities.given() | config.expressions.given()
    conditions = {column.name for column in condition_columns(given, config.output)}
    checked = {column.name for column in record.schema.columns} - conditions
    checked |= {name for name, (of, _) in au_columns(record.schema).items() if of == AUS_MEASURED}
    left_out = {*checked, "image", "accepted", "verifier"}
    return [name for name in data_features(record.schema) if name not in left_out]


def _expected(
    config: RunConfig,
    record: RunRecord,
    attempts: Sequence[Attempt],
    labels: Sequence[Mapping[str, Any]],
    split: str,
) -> list[dict[str, Any]]:
    """Return what rows of attempts hold, but for images and what is measured in them."""
    keep, made_by = config.output.keep_reference, (config.pipeline.name, None)
    rows = [
        make_row(attempt, b"", given, None, made_by, keep)
        for attempt, given in zip(attempts, labels, strict=True)
    ]
    return stored_values(record.schema, rows, split)


def check_pipeline_labels(
    storage: Storage, maker: Maker, marker: ShardMarker, known: set[str]
) -> Part:
    """Compare what the pipeline says of its images, asked again, with every row of a shard.

    Args:
        storage: the dataset.
        maker: the run.
        marker: the shard.
        known: samples whose attempts the plan knows; others are passed over.
    """
    part = Part("pipeline's labels", "rows")
    columns = [column.name for column in pipeline_columns(maker.record.schema)]
    needed = ["sample_id", "attempt", "replacement", *columns]
    file = layout.data_file(*marker.key)
    for batch in read_columns(storage, file, needed, batch_rows=_ROWS_AT_ONCE):
        rows = [values for values in batch.to_pylist() if values["sample_id"] in known]
        attempts = [_attempt(maker.plan, marker, values) for values in rows]
        given = maker.worker.labels(attempts)
        expected = _expected(maker.config, maker.record, attempts, given, marker.split)
        for values, now in zip(rows, expected, strict=True):
            differences = {name: apart(values[name], now[name]) for name in columns}
            bound = 0.0
            if any(differences.values()) and not maker.exact(marker):
                bound = NEAR_VALUES
            different = [name for name, by in differences.items() if by > bound]
            part.wrong += [
                f"{values['sample_id']}: {name} is {_short(values[name])}; the pipeline says "
                f"{_short(now[name])}"
                for name in different
            ]
            part.near += not different and bound > 0
            part.proved += not different and bound == 0
    return part


def stored_rows(
    storage: Storage, plan: Plan, marker: ShardMarker, wanted: set[str]
) -> Iterator[list[Stored]]:
    """Yield the wanted rows of a shard with their images, some at a time."""
    file = layout.data_file(*marker.key)
    for batch in read_columns(storage, file, batch_rows=_ROWS_AT_ONCE):
        places = [
            i for i, name in enumerate(batch.column("sample_id").to_pylist()) if name in wanted
        ]
        if places:
            rows = batch.take(places).to_pylist()
            yield [Stored(marker, values, _attempt(plan, marker, values)) for values in rows]


def _attempt(plan: Plan, marker: ShardMarker, values: Mapping[str, Any]) -> Attempt:
    position = plan.sample(plan.find(values["sample_id"])).position
    return plan.attempt(plan.spec(marker.split, position, values["replacement"]), values["attempt"])


def measure_again(maker: Maker, rows: Sequence[Stored], part: Part) -> set[str]:
    """Measure and judge stored images again, and compare what comes out with what is stored.

    Returns:
        The samples that are wrong.
    """
    wrong = set()
    for start in range(0, len(rows), maker.worker.batch_size):
        some = rows[start : start + maker.worker.batch_size]
        pictures = []
        for row in some:
            try:
                pictures.append(picture_of(row.values))
            except (OSError, ValueError, SyntaxError) as error:
                part.wrong.append(f"{row.name}: its image cannot be read ({excerpt(error)})")
                wrong.add(row.name)
        some = [row for row in some if row.name not in wrong]
        if not some:
            continue
        outcomes = maker.worker.judge([row.attempt for row in some], pictures)
        for row, outcome in zip(some, outcomes, strict=True):
            problems = _measured_otherwise(row, outcome, exact=True)
            part.proved += not problems
            if problems and not maker.exact(row.marker):
                problems = _measured_otherwise(row, outcome, exact=False)
                part.near += not problems
            if problems:
                wrong.add(row.name)
                part.wrong += [f"{row.name}: {problem}" for problem in problems]
    return wrong


def make_again(
    maker: Maker, rows: Sequence[Stored], part: Part, measured: Part | None = None
) -> None:
    """Make rows again, and compare their images with those that are stored.

    Several are made in one batch. What comes out otherwise is made once more alone, as
    `reproduce` does: on a CPU, bits may depend on the place in the batch.

    Args:
        maker: the run.
        rows: what is made again.
        part: is told what was proved of their images.
        measured: is told what was proved of their measurements, which are of images as they were
            before a lossy format; None: not compared.
    """
    for start in range(0, len(rows), maker.worker.batch_size):
        some = rows[start : start + maker.worker.batch_size]
        attempts = [row.attempt for row in some]
        pictures = maker.worker.generate(attempts)
        for row, picture, outcome in zip(
            some, pictures, maker.worker.judge(attempts, pictures), strict=True
        ):
            if not _is_same(row, outcome):
                (picture,) = maker.worker.generate([row.attempt])
                (outcome,) = maker.worker.judge([row.attempt], [picture])
            _judge_image(maker, row, picture, outcome, part)
            if measured is not None and _is_same(row, outcome):
                problems = _measured_otherwise(row, outcome, exact=True)
                measured.proved += not problems
                measured.wrong += [f"{row.name}: {problem}" for problem in problems]


def _judge_image(
    maker: Maker, row: Stored, picture: Image.Image, outcome: Outcome, part: Part
) -> None:
    if _is_same(row, outcome):
        part.proved += 1
        return
    try:
        stored = np.asarray(picture_of(row.values), np.int16)
    except (OSError, ValueError, SyntaxError) as error:
        part.wrong.append(f"{row.name}: its image cannot be read ({excerpt(error)})")
        return
    again = np.asarray(picture_of(_encoded(outcome, row, picture)), np.int16)
    if stored.shape != again.shape:
        part.wrong.append(f"{row.name}: its image is {stored.shape[1]}×{stored.shape[0]} pixels")
        return
    difference = np.abs(stored - again)
    how = (
        f"pixel values differ by {difference.mean():.3f} on average and by {difference.max()} at "
        "most (of 255)"
    )
    if maker.exact(row.marker):
        what = "another image comes out" if difference.any() else "its file is another one"
        part.wrong.append(f"{row.name}: {what}; {how}")
    elif difference.mean() > NEAR_PIXELS:
        part.wrong.append(f"{row.name}: another image comes out; {how}")
    else:
        part.near += 1


def _encoded(outcome: Outcome, row: Stored, picture: Image.Image) -> Mapping[str, Any]:
    """Return the image as its file; where the attempt is rejected now, without loss."""
    if outcome.row is not None:
        return {"image": {"bytes": outcome.row.image}}
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return {"image": {"bytes": buffer.getvalue()}}


def _is_same(row: Stored, outcome: Outcome) -> bool:
    return outcome.row is not None and outcome.row.image == row.values["image"]["bytes"]


def _measured_otherwise(row: Stored, outcome: Outcome, *, exact: bool) -> list[str]:
    """Say which measured values, and which verdict, are others than those stored."""
    found = []
    for column, value in outcome.measured.items():
        by = apart(row.values.get(column), value)
        if by > (0 if exact else NEAR_VALUES):
            found.append(f"{column} is {_short(row.values.get(column))}, measured {_short(value)}")
    accepted = row.values["accepted"]
    now = None if accepted is None else outcome.reject is None
    if accepted != now and (exact or found):
        reason = f" ({outcome.reject.detail})" if outcome.reject else ""
        found.append(f"accepted is {accepted}, judged {now}{reason}")
    elif exact and not found and outcome.row is not None and not _is_same(row, outcome):
        found.append(
            "its image's file is not as the run writes it, though its pixels measure alike"
        )
    if exact and outcome.row is not None:
        stored, now = row.values["verifier"], outcome.row.verifier
        found += [f"verifier is {stored!r}, measured by {now!r}"] if stored != now else []
    return found


def picture_of(values: Mapping[str, Any]) -> Image.Image:
    """Decode the image of a row.

    Raises:
        OSError: or another of Pillow's errors, if it is no image.
    """
    return Image.open(io.BytesIO(values["image"]["bytes"])).convert("RGB")


def _short(value: Any) -> str:
    """Write a value in one line; floats as they are stored, to two places."""
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_short, value[:12]))}{', …' if len(value) > 12 else ''}]"
    return excerpt(repr(value), 80)
