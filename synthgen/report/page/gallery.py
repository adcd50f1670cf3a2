"""Pictures of the page: which are shown, and small copies of them."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from pipelines.pictures import open_picture
from synthgen.dataset import Storage, layout
from synthgen.dataset.damage import telling_damage
from synthgen.dataset.markers import ShardMarker
from synthgen.dataset.parquet import read_columns
from synthgen.dataset.run_record import RunRecord
from synthgen.dataset.schema import (
    ACTIVE_ERROR,
    AUS_MEASURED,
    IDENTITY_SIMILARITY,
    INACTIVE_MAX,
)
from synthgen.errors import DatasetError, PictureError
from synthgen.report.page.counting import Attempts

SIDE = 112
"""Longer side of a small copy [pixels]."""

_GROUPS = 48
"""Row groups that pictures are read from at most: a large dataset is not read whole."""

_QUALITY = 72
_NUMBERS = (ACTIVE_ERROR, INACTIVE_MAX, IDENTITY_SIMILARITY)


def choose(found: Attempts, most: int, group: int = 250) -> np.ndarray:
    """Return the places of the rows that are shown, in order; all where there are few.

    A fifth are those of the largest error, the others lie evenly over the rows. Both come from a
    bounded number of row groups.

    Args:
        found: all attempts.
        most: rows to show at most.
        group: rows of a row group.
    """
    rows = np.flatnonzero(found.row)
    if len(rows) <= most:
        return rows
    groups = found.shard[rows] * 2**32 + found.place[rows] // group
    error = np.nan_to_num(found.error[rows], nan=-1.0)
    worst: list[int] = []
    opened: set[int] = set()
    for place in np.argsort(-error, kind="stable").tolist():
        if len(worst) == most // 5:
            break
        if groups[place] in opened or len(opened) < _GROUPS // 2:
            opened.add(int(groups[place]))
            worst.append(place)
    names = np.unique(groups)
    spread = names[np.linspace(0, len(names) - 1, min(len(names), _GROUPS // 2)).astype(int)]
    others = np.setdiff1d(np.flatnonzero(np.isin(groups, spread)), worst)
    evenly = others[
        np.linspace(0, len(others) - 1, min(len(others), most - len(worst))).astype(int)
    ]
    return rows[np.unique([*worst, *evenly.tolist()])]


def row_cards(
    storage: Storage,
    record: RunRecord,
    markers: Sequence[ShardMarker],
    found: Attempts,
    chosen: np.ndarray,
) -> list[dict[str, Any]]:
    """Return what is shown of each chosen row.

    Raises:
        DatasetError: if a file is corrupt, or holds something that is no picture.
    """
    cards = []
    for number in np.unique(found.shard[chosen]).tolist():
        marker = markers[number]
        places = found.place[chosen[found.shard[chosen] == number]]
        name = layout.data_file(*marker.key)
        with telling_damage(storage, marker), storage.open(name) as file:
            parquet, start = pq.ParquetFile(file), 0
            for group in range(parquet.num_row_groups):
                size = parquet.metadata.row_group(group).num_rows
                here = places[(places >= start) & (places < start + size)] - start
                if len(here):
                    there = set(parquet.schema_arrow.names)
                    table = parquet.read_row_group(group, columns=_columns(record, there))
                    rows = table.take(here).to_pylist()
                    cards += [_card(row, record, marker.split, name) for row in rows]
                start += size
    return cards


def reject_cards(
    storage: Storage, record: RunRecord, markers: Sequence[ShardMarker], most: int
) -> list[dict[str, Any]]:
    """Return what is shown of kept pictures of rejects: of each shard and reason the worst first.

    Raises:
        DatasetError: if a file is corrupt, or holds something that is no picture.
    """
    keeping = [marker for marker in markers if marker.reject_images]
    cards: list[dict[str, Any]] = []
    for marker in keeping[:: max(1, -(-len(keeping) // 64))]:
        name = layout.reject_image_file(*marker.key)
        with telling_damage(storage, marker):
            for batch in read_columns(storage, name, batch_rows=200):
                for row in batch.to_pylist():
                    if len(cards) < most:
                        cards.append(_card(row, record, marker.split, name))
    return cards


def _columns(record: RunRecord, there: set[str]) -> list[str]:
    wanted = ["sample_id", "image", "aus", "accepted", "attempt", "replacement", "emotion"]
    wanted += ["identity_id", "identity", "prompt", AUS_MEASURED, *_NUMBERS]
    return [name for name in wanted if name in there]


def _card(row: Mapping[str, Any], record: RunRecord, split: str, file: str) -> dict[str, Any]:
    measured: list[float] = row.get(AUS_MEASURED) or []
    seen = bool(measured) and None not in measured
    label = row.get("emotion")
    error = None
    if seen:
        pairs = zip(row["aus"], measured, strict=True)
        error = sum(abs(min(max(a, 0), 5) - m) for a, m in pairs) / len(measured)
    numbers = {name: row[name] for name in _NUMBERS if row.get(name) is not None}
    return {
        "id": row["sample_id"],
        "split": split,
        "person": row["identity_id"],
        "slots": row.get("identity") or {},
        "category": None if label is None else record.schema.categories[label],
        "prompt": row["prompt"],
        "asked": [round(value, 2) for value in row["aus"]],
        "found": [round(value, 2) for value in measured] if seen else None,
        "error": None if error is None else round(error, 4),
        "numbers": {name: round(value, 3) for name, value in numbers.items()},
        "attempt": row["attempt"],
        "replacement": row["replacement"],
        "kept": row.get("accepted") if "reason" not in row else False,
        "reason": row.get("reason"),
        "detail": row.get("detail"),
        "image": _small(row["image"]["bytes"], f"{row['sample_id']} in {file}"),
    }


def _small(data: bytes, where: str) -> str:
    """Return a small copy as a data URI."""
    try:
        picture = open_picture(data)
    except PictureError as error:
        raise DatasetError(f"the image of {where} is not shown: {error}") from error
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=_QUALITY, method=2)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
