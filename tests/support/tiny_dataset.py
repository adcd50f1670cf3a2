"""Rows of tiny pictures, and a plan and record to go with them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from synthgen.dataset import RunRecord, ShardResult, Storage, commit_shard, open_run, write_card
from synthgen.dataset.schema import DatasetSchema, Reject, Row, columns_of_earlier_versions

COLUMNS = columns_of_earlier_versions(())
SCHEMA = DatasetSchema(("neutral", "happy", "sad"), ("age", "hair"), "png", COLUMNS)
CONFIG = "name: tiny\nseed: 7\n"
HAPPY = (0.0,) * 6 + (4.0,) + (0.0,) * 3 + (2.5, 0.0)


@dataclass(frozen=True)
class Range:
    """A shard of a plan."""

    split: str
    number: int
    start: int
    stop: int


PLAN = (Range("train", 0, 0, 4), Range("train", 1, 4, 6), Range("test", 0, 0, 2))


def png(shade: int) -> bytes:
    """Return a picture of 8×8 pixels of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (shade % 256, shade // 256 + 60, 120)).save(buffer, "PNG")
    return buffer.getvalue()


def make_row(index: int, **changes: Any) -> Row:
    """Return an accepted happy face."""
    row = Row(
        sample_id=f"sample-{index:08d}",
        image=png(index),
        aus=HAPPY,
        accepted=True,
        attempt=0,
        replacement=0,
        emotion="happy",
        identity_id=f"identity-{index:06d}",
        identity={"age": "old", "hair": "red"},
        prompt="an old person with red hair",
        negative_prompt="",
        seed=2**63 - 1 - index,
        pipeline="procedural",
        verifier="libreface",
        columns={
            "aus_measured": tuple(value / 2 for value in HAPPY),
            "active_error": 1.625,
            "inactive_max": 0.0,
        },
    )
    return _changed(row, changes)


def make_reject(index: int, **changes: Any) -> Reject:
    """Return an attempt in which no face was found."""
    reject = Reject(
        sample_id=f"sample-{index:08d}",
        reason="no_face",
        detail="no face was found",
        aus=HAPPY,
        attempt=0,
        replacement=0,
        emotion="happy",
        identity_id=f"identity-{index:06d}",
        prompt="an old person with red hair",
        negative_prompt="",
        seed=index,
        pipeline="procedural",
        verifier="libreface",
    )
    return _changed(reject, changes)


def _changed(row: Any, changes: dict[str, Any]) -> Any:
    """Change fields of a row, and declared columns by their names."""
    own = {name: value for name, value in changes.items() if name in row.__slots__}
    columns = {name: value for name, value in changes.items() if name not in own}
    return replace(row, **own, columns={**row.columns, **columns})


def make_result(
    shard: Range, *, rejects: Sequence[Reject] | None = None, missing: int = 0, **changes: Any
) -> ShardResult:
    """Return the result of a shard: a row for each sample, and one reject."""
    first = shard.start + (1000 if shard.split == "test" else 0)
    indices = range(first, first + shard.stop - shard.start)
    kept = indices[: len(indices) - missing]
    rejects = [make_reject(first)] if rejects is None else rejects
    values: dict[str, Any] = {
        "split": shard.split,
        "number": shard.number,
        "start": shard.start,
        "stop": shard.stop,
        "rows": [make_row(index) for index in kept],
        "rejects": rejects,
        "attempts": len(kept) + len(rejects),
        "missing": tuple(f"sample-{index:08d}" for index in indices[len(kept) :]),
        "seconds": {"paint": 0.25},
    }
    return ShardResult(**{**values, **changes})


def make_record(samples: int = 8, **configuration: Any) -> RunRecord:
    """Return the record of a run whose configuration is as given."""
    base = {
        "name": "tiny",
        "seed": 7,
        "output": {"splits": {"train": 0.8, "validation": 0.1, "test": 0.1}},
        "pipeline": {"name": "procedural", "batch_size": 16},
        "verify": {"verifier": "libreface"},
    }
    return RunRecord(
        identity={
            "configuration": {**base, **configuration},
            "weights": {"au_net.safetensors": "a" * 64},
            "versions": {"numpy": "1.26.4"},
        },
        samples=samples,
        schema=SCHEMA,
        synthgen_version="0.1.0",
        git_revision="0123abc",
        licences={"au_net": "Apache-2.0"},
        created="2026-11-20T12:00:00+00:00",
    )


def make_dataset(url: str, plan: Sequence[Range] = PLAN) -> Storage:
    """Write a whole dataset."""
    storage = Storage(url)
    samples = sum(shard.stop - shard.start for shard in plan)
    open_run(storage, make_record(samples), CONFIG, plan)
    for shard in plan:
        commit_shard(storage, SCHEMA, make_result(shard))
    write_card(storage)
    return storage
