"""Make one image of a dataset again, kept or rejected, from what is stored with it."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from cluster.batches import encode_sample
from cluster.conditions import condition_values
from cluster.records import make_record
from cluster.rounds import Outcome
from cluster.worker import Worker, load_worker
from samplers.plan import Plan, build_plan
from samplers.spec import Attempt, SampleSpec
from synthgen.config import RunConfig
from synthgen.dataset import (
    Storage,
    contact_sheet,
    layout,
    reached,
    read_markers,
    read_record,
    sample_rows,
)
from synthgen.dataset.damage import shortened
from synthgen.dataset.layout import ShardKey
from synthgen.dataset.marks.xmp import Mark, save_options
from synthgen.dataset.run_record import CONFIGURATION, differences
from synthgen.dataset.schema import SOURCE
from synthgen.dataset.shards import ERROR
from synthgen.errors import ConfigError, DatasetError, MissingFileError, OutputError, SynthgenError
from synthgen.report.comparison import stored_config
from synthgen.report.pictures import PREVIEW_SIDE, legend, mark_of_run


@dataclass(frozen=True, slots=True)
class Reproduction:
    """Comparison of a sample with the same one made again.

    Attributes:
        sample_id: name of the sample.
        same: whether the encoded images are equal, byte by byte.
        largest: largest difference of a pixel value [0–255].
        mean: mean difference of pixel values [0–255].
        changed: where it is another image, which weights, packages, label files, banks and stores
            are others than those that the record names.
    """

    sample_id: str
    same: bool
    largest: int
    mean: float
    changed: tuple[str, ...] = ()

    def text(self) -> str:
        """Say it in one line."""
        if self.same:
            return f"{self.sample_id}: the same image, byte by byte"
        return (
            f"{self.sample_id}: another image; pixel values differ by {self.mean:.3f} on average "
            f"and by {self.largest} at most (of 255){_because(self.changed)}"
        )


@dataclass(frozen=True, slots=True)
class ReproducedReject:
    """Comparison of a rejected attempt with the same one made again.

    Its image is stored only where `verify.keep_reject_images` kept it.

    Attributes:
        sample_id: name of the sample.
        attempt: number of the attempt.
        replacement: number of its spec among the sample's.
        reason: why it was rejected.
        detail: the same in words, as stored.
        now: why it is rejected this time; empty where it is accepted.
        largest: largest difference between a stored value and one of now: requested AUs,
            whatever checks measured, and labels of the pipeline; ∞ where only one of them is there.
        changed: as in `Reproduction`.
        picture: whether the image is the one that was kept, byte by byte; None where none was.
    """

    sample_id: str
    attempt: int
    replacement: int
    reason: str
    detail: str
    now: str
    largest: float
    changed: tuple[str, ...] = ()
    picture: bool | None = None

    @property
    def same(self) -> bool:
        """True where the reason, all values, and an image that was kept are the same."""
        return self.now == self.reason and self.largest == 0 and self.picture is not False

    def text(self) -> str:
        """Say it in one line."""
        head = f"{self.sample_id}, {_named(self.replacement, self.attempt)}"
        if self.now != self.reason:
            verdict = f"rejected for {self.now}" if self.now else "accepted"
            was = f"{head}: was rejected for {self.reason} ({self.detail}), now {verdict}"
            return f"{was}{_because(self.changed)}"
        again = f"{head}: rejected again for {self.reason} ({self.detail})"
        if self.same:
            image = ", and the kept image too" if self.picture else ""
            return f"{again}, all values the same{image}"
        if self.largest == 0:
            other = "all values the same, but the kept image is another one"
            return f"{again}, {other}{_because(self.changed)}"
        by = f"differ by {self.largest:.2g} at most" if self.largest < math.inf else "are others"
        return f"{again}, but measured values {by}{_because(self.changed)}"


_Found = TypeVar("_Found", Reproduction, ReproducedReject)


def reproduce(
    dataset: str,
    sample_id: str,
    to: Path | None = None,
    attempt: int | None = None,
    replacement: int | None = None,
) -> Reproduction | ReproducedReject:
    """Make one image again and compare it with what is stored of it.

    Only the sample's own shard is read.

    Args:
        dataset: folder or URL of the dataset.
        sample_id: as in column `sample_id`.
        to: PNG file: for a sample the stored image and the new one, side by side; for a rejected
            attempt the new image above what was asked, measured, and decided.
        attempt: number of the attempt; None: that of the row, or of a sample without one the last.
        replacement: number of its spec; None: where no other has such an attempt.

    Raises:
        DatasetError: if there is no such dataset, sample or attempt, the sample's shard is not
            there, or the dataset was merged or begun by an earlier version.
        OutputError: if the file cannot be written.
    """
    storage = reached(dataset)
    _refuse_merged(storage, sample_id)
    if storage.exists(layout.RUN) and (why := read_record(storage).outdated):
        raise DatasetError(f"{storage.url} {why}; reproduce its samples with that one")
    config = stored_config(storage)
    plan = build_plan(config)
    index = _index(storage, plan, sample_id)
    shard = _shard(storage, plan, index, sample_id)
    row = _stored(storage, shard, sample_id, attempt, replacement)
    made = plan.attempt(plan.sample(index, row["replacement"]), row["attempt"])
    worker = load_worker(config, plan)
    if "image" in row:
        compared = _compared(config, made.spec, row, worker.generate([made])[0], to)
        return _explained(compared, storage, config, plan, worker)
    picture, outcome, now = _rejected_again(worker, made, may_raise=row["reason"] == ERROR)
    if to is not None and picture is not None and outcome is not None:
        sheet = contact_sheet([picture], [legend(outcome)], columns=1, size=PREVIEW_SIDE)
        _write(sheet, to, mark_of_run(config, made.spec.conditions))
    again = ReproducedReject(
        sample_id,
        row["attempt"],
        row["replacement"],
        row["reason"],
        row["detail"],
        now,
        _largest(
            row,
            {
                "aus": made.spec.aus,
                **condition_values(made.spec, rejected=True),
                **({**worker.labels([made])[0], **outcome.measured} if outcome else {}),
            },
        ),
        picture=None
        if picture is None
        else _as_kept(storage, config, shard, row, picture, made.spec),
    )
    return _explained(again, storage, config, plan, worker)


def _as_kept(
    storage: Storage,
    config: RunConfig,
    shard: ShardKey,
    row: Mapping[str, Any],
    picture: Image.Image,
    spec: SampleSpec,
) -> bool | None:
    """Tell whether a rejected attempt's image is the kept one; None where none was kept."""
    name = layout.reject_image_file(*shard)
    if not storage.exists(name):
        return None
    place = (row["replacement"], row["attempt"])
    kept = [
        each["image"]["bytes"]
        for each in sample_rows(storage, name, row["sample_id"])
        if (each["replacement"], each["attempt"]) == place
    ]
    if not kept:
        return None
    return encode_sample(picture, config, spec) == kept[0]


def _explained(
    found: _Found, storage: Storage, config: RunConfig, plan: Plan, worker: Worker
) -> _Found:
    """Add what was changed since, where something else was made."""
    if found.same or not storage.exists(layout.RUN):
        return found
    before = read_record(storage).identity
    now = make_record(config, plan, worker.fingerprint()).identity
    parts = [name for name in (*before, *now) if name != CONFIGURATION]
    old, new = ({name: of.get(name, {}) for name in parts} for of in (before, now))
    return replace(found, changed=tuple(differences(old, new)))


def _because(changed: Sequence[str]) -> str:
    return f"; changed since: {shortened(changed)}" if changed else ""


def _refuse_merged(storage: Storage, sample_id: str) -> None:
    """Say which dataset makes a sample again, where several were merged."""
    if not storage.exists(layout.RUN) or not (record := read_record(storage)).sources:
        return
    name = _source(storage, sample_id)
    urls = [source["url"] for source in record.sources if source["name"] == name]
    at = f"; run: synthgen reproduce {urls[0]} {sample_id}" if urls else ""
    raise DatasetError(
        f"{storage.url} was merged, and {sample_id} comes from {name!r}, which can make it "
        f"again{at}"
    )


def _source(storage: Storage, sample_id: str) -> str:
    for key in read_markers(storage):
        for name in (layout.data_file(*key), layout.reject_file(*key)):
            for row in sample_rows(storage, name, sample_id):
                return row[SOURCE]
    raise DatasetError(f"{storage.url} has no sample {sample_id!r}")


def _index(storage: Storage, plan: Plan, sample_id: str) -> int:
    try:
        return plan.find(sample_id)
    except ConfigError as error:
        raise DatasetError(f"{storage.url} has no sample {sample_id!r}") from error


def _shard(storage: Storage, plan: Plan, index: int, sample_id: str) -> ShardKey:
    """Find the sample's shard, and see that it is finished."""
    spec = plan.sample(index)
    shard = plan.shard_of(spec.split, spec.position)
    if not storage.exists(layout.marker_file(shard.split, shard.number)):
        raise DatasetError(
            f"{storage.url} has no finished shard {shard.split}-{shard.number:05d}, which holds "
            f"{sample_id}"
        )
    return shard.split, shard.number


def _stored(
    storage: Storage,
    shard: ShardKey,
    sample_id: str,
    attempt: int | None,
    replacement: int | None,
) -> dict[str, Any]:
    """Return the stored row of an attempt: with its image, or with the reason of its rejection."""
    kept = _rows(storage, layout.data_file(*shard), sample_id)
    if kept and attempt is None and replacement in (None, kept[0]["replacement"]):
        return kept[0]
    rejected = _rows(storage, layout.reject_file(*shard), sample_id)
    # An image that was kept though no attempt keeps the policy stands in both.
    rows = {(row["replacement"], row["attempt"]): row for row in [*rejected, *kept]}
    found = [
        rows[number]
        for number in sorted(rows)
        if replacement in (None, number[0]) and attempt in (None, number[1])
    ]
    if not found:
        there = ", ".join(
            f"{_named(*number)} ({rows[number].get('reason', 'kept')})" for number in sorted(rows)
        )
        asked = f"attempt {attempt}" if attempt is not None else "attempt"
        of = f" of replacement {replacement}" if replacement is not None else ""
        raise DatasetError(f"{sample_id} has no {asked}{of}; it has {there or 'none'}")
    if attempt is not None and len(found) > 1:
        numbers = ", ".join(str(row["replacement"]) for row in found)
        raise DatasetError(
            f"{sample_id} has an attempt {attempt} of each of the replacements {numbers}; say "
            "which with --replacement"
        )
    return found[-1]


def _rows(storage: Storage, name: str, sample_id: str) -> list[dict[str, Any]]:
    try:
        return sample_rows(storage, name, sample_id)
    except MissingFileError as error:
        raise DatasetError(
            f"{storage.url} lacks {name}, which is wanted for {sample_id}; copy it from where the "
            "dataset is whole"
        ) from error


def _named(replacement: int, attempt: int) -> str:
    return f"attempt {attempt}" + (f" of replacement {replacement}" if replacement else "")


def _compared(
    config: RunConfig,
    spec: SampleSpec,
    row: Mapping[str, Any],
    picture: Image.Image,
    to: Path | None,
) -> Reproduction:
    stored = Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
    encoded = encode_sample(picture, config, spec)
    again = Image.open(io.BytesIO(encoded)).convert("RGB")
    if to is not None:
        _write(_pair(stored, again), to, mark_of_run(config, spec.conditions))
    difference = np.abs(np.asarray(stored, np.int16) - np.asarray(again, np.int16))
    same = encoded == row["image"]["bytes"]
    return Reproduction(row["sample_id"], same, int(difference.max()), float(difference.mean()))


def _rejected_again(
    worker: Worker, attempt: Attempt, *, may_raise: bool
) -> tuple[Image.Image | None, Outcome | None, str]:
    """Return picture, outcome, and why it is rejected; neither of the first two where it raised."""
    try:
        (picture,) = worker.generate([attempt])
        (outcome,) = worker.judge([attempt], [picture])
    except SynthgenError:
        raise
    except Exception:
        if not may_raise:
            raise
        return None, None, ERROR
    return picture, outcome, outcome.reject.reason if outcome.reject else ""


def _largest(stored: Mapping[str, Any], now: Mapping[str, Any]) -> float:
    """Return the largest difference between stored values and new ones of the same columns."""
    pairs = [(stored[name], value) for name, value in now.items() if name in stored]
    return max((apart(before, after) for before, after in pairs), default=0.0)


def apart(stored: Any, now: Any) -> float:
    """Return how far two values, or lists of them, are apart, in the precision that is stored."""
    if isinstance(stored, Sequence) and not isinstance(stored, str):
        parts = now if now is not None else [None] * len(stored)
        return max((apart(*pair) for pair in zip(stored, parts, strict=True)), default=0.0)
    if isinstance(stored, float) and now is not None:
        return abs(float(np.float32(stored)) - float(np.float32(now)))
    return 0.0 if stored == now else math.inf


def _pair(stored: Image.Image, again: Image.Image) -> Image.Image:
    pair = Image.new("RGB", (stored.width + again.width, max(stored.height, again.height)))
    pair.paste(stored, (0, 0))
    pair.paste(again, (stored.width, 0))
    return pair


def _write(picture: Image.Image, to: Path, mark: Mark | None) -> None:
    try:
        picture.save(to, format="PNG", **save_options(mark, "PNG"))
    except OSError as error:
        raise OutputError(f"cannot write {to}: {error.strerror}") from error
