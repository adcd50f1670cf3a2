"""The dataset card: what a dataset is, for people and for `load_dataset`."""

import io
from collections.abc import Mapping
from typing import Any

import yaml
from PIL import Image

from synthgen.action_units import describe
from synthgen.dataset import layout
from synthgen.dataset.card_text import body
from synthgen.dataset.damage import DamagedShardError, changed_files
from synthgen.dataset.features import card_features, data_features, reject_features
from synthgen.dataset.marker_reader import read_markers
from synthgen.dataset.markers import ShardMarker
from synthgen.dataset.parquet import read_columns
from synthgen.dataset.run_record import RunRecord, read_record
from synthgen.dataset.sheet import contact_sheet, encode_png
from synthgen.dataset.statistics import Statistics, count
from synthgen.dataset.storage import Storage

_PICTURES = 12

_HUB_LICENCES = ("apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0")
"""Licences under the names that the Hub knows; any other becomes `other`."""

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)


def write_card(storage: Storage) -> None:
    """Write the card and its picture from what is committed.

    Raises:
        DatasetError: if there is no dataset, or a shard or marker is corrupt; it is a
            `DamagedShardError` where a shard's files are not what its marker says.
        OutputError: if a file cannot be written.
    """
    record = read_record(storage)
    markers = read_markers(storage)
    statistics = count(storage, record, markers.values())
    picture = _picture(storage, list(markers.values()))
    if picture is not None:
        storage.write(layout.PICTURE, picture)
    card = render_card(record, statistics, picture=picture is not None)
    storage.write(layout.CARD, card.encode())


def render_card(record: RunRecord, statistics: Statistics, *, picture: bool = False) -> str:
    """Write the card as Markdown with a YAML header; equal arguments give equal text.

    Args:
        record: the run.
        statistics: what is committed.
        picture: whether the sheet of samples lies beside the card.
    """
    header = yaml.safe_dump(_header(record, statistics), sort_keys=False, allow_unicode=True)
    return f"---\n{header}---\n\n{body(record, statistics, picture=picture)}"


def _header(record: RunRecord, statistics: Statistics) -> dict[str, Any]:
    rejects = {split: rows for split, rows in statistics.rejects.items() if rows}
    # `datasets` cannot load a split without rows, so only those with rows are named. Where nothing
    # was rejected all are: then streaming at least gives the columns and no row.
    return {
        "pretty_name": str(record.configuration.get("name", "synthgen dataset")),
        **_licence(record.licences),
        "task_categories": ["image-classification"],
        "tags": ["synthetic", "faces", "facial-expressions", "action-units", "facs", "synthgen"],
        "size_categories": [_size(statistics.total)],
        "configs": [
            {
                "config_name": "default",
                "default": True,
                "data_files": _files(layout.DATA, _filled(statistics.rows), statistics.last_shards),
            },
            {
                "config_name": "rejects",
                "data_files": _files(
                    layout.REJECTS,
                    _filled(rejects) or list(statistics.rows),
                    statistics.last_shards,
                ),
            },
        ],
        "dataset_info": [
            {"config_name": "default", "features": card_features(data_features(record.schema))},
            {"config_name": "rejects", "features": card_features(reject_features(record.schema))},
        ],
    }


def _filled(rows: Mapping[str, int]) -> list[str]:
    return [split for split, number in rows.items() if number]


def _files(
    folder: str, splits: list[str], last_shards: Mapping[str, int]
) -> list[dict[str, str | list[str]]]:
    """Name the shards of each split, and nothing that only looks like one of them."""
    files: list[dict[str, str | list[str]]] = []
    for split in splits:
        patterns = layout.patterns(folder, split, last_shards.get(split, 0))
        files.append({"split": split, "path": patterns[0] if len(patterns) == 1 else patterns})
    return files


def _licence(licences: Mapping[str, str]) -> dict[str, Any]:
    names = {licence.lower() for licence in licences.values()}
    if len(names) == 1 and names <= set(_HUB_LICENCES):
        return {"license": names.pop()}
    return {"license": "other", "license_name": "licences-of-the-weights"}


def _size(rows: int) -> str:
    return next((name for bound, name in _SIZES if rows < bound), "100M<n<1B")


def _picture(storage: Storage, markers: list[ShardMarker]) -> bytes | None:
    """Draw the first samples of the first shard that has rows, in `train` if there are any.

    Flipped bytes may still be a picture, of something else, so the checksum is compared first.
    """
    filled = [marker for marker in markers if marker.rows]
    if not filled:
        return None
    first = min(filled, key=lambda marker: (marker.split != "train", marker.key))
    if problems := changed_files(storage, first):
        raise DamagedShardError(first, problems)
    name = layout.data_file(*first.key)
    columns = ["image", "aus", "aus_measured"]
    rows = next(read_columns(storage, name, columns, batch_rows=_PICTURES)).to_pylist()
    images = [Image.open(io.BytesIO(row["image"]["bytes"])) for row in rows]
    captions = [f"asked {describe(row['aus'])}\n{_found(row['aus_measured'])}" for row in rows]
    return encode_png(contact_sheet(images, captions))


def _found(aus: list[float | None]) -> str:
    if None in aus:
        return "no face found"
    return f"found {describe([value if value and value >= 0.5 else 0.0 for value in aus])}"
