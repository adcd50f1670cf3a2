"""The YAML header of a card, by which the Hub and `datasets` know a dataset."""

from collections.abc import Mapping
from typing import Any

from synthgen.dataset import layout
from synthgen.dataset.run_record import RunRecord
from synthgen.dataset.schema import card_features, data_features, reject_features
from synthgen.dataset.statistics import Statistics

HUB_LICENCES = {
    "apache-2.0": "Apache-2.0",
    "mit": "MIT",
    "cc0-1.0": "CC0-1.0",
    "cc-by-4.0": "CC-BY-4.0",
    "cc-by-sa-4.0": "CC-BY-SA-4.0",
    "cc-by-nc-4.0": "CC-BY-NC-4.0",
}
"""Licences by the names that the Hub knows → SPDX's names; any other becomes `other`."""

KEYWORDS = ["synthetic", "faces", "facial-expressions", "action-units", "facs", "synthgen"]
"""Words by which the dataset is found."""

_CLASSES = ["multi-class-image-classification"]

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)


def hub_header(record: RunRecord, statistics: Statistics) -> dict[str, Any]:
    """Return the header's keys and values: those that the Hub knows, and data files by split.

    Args:
        record: the run.
        statistics: what is committed.
    """
    rejects = {split: rows for split, rows in statistics.rejects.items() if rows}
    # `datasets` cannot load a split without rows, so only those with rows are named. Where nothing
    # was rejected all are: then streaming at least gives the columns and no row.
    return {
        "pretty_name": str(record.configuration.get("name", "synthgen dataset")),
        **_licence(record.licences),
        "annotations_creators": ["machine-generated"],
        "source_datasets": ["extended" if record.sources else "original"],
        "task_categories": ["image-classification"],
        "task_ids": [
            *_CLASSES[: bool(record.schema.categories)],
            "multi-label-image-classification",
        ],
        "tags": KEYWORDS,
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
            _info("default", data_features(record.schema), statistics),
            _info("rejects", reject_features(record.schema), statistics),
        ],
    }


def _info(name: str, features: Mapping[str, Any], statistics: Statistics) -> dict[str, Any]:
    """Describe a configuration.

    `datasets` caches rows under a hash of the header, neither of the files nor of their folder, so
    the header says the checksum: other rows in the same columns would else be taken for these.
    """
    return {
        "config_name": name,
        "description": f"Data with the checksum {statistics.checksum}.",
        "features": card_features(features),
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
    if len(names) == 1 and names <= set(HUB_LICENCES):
        return {"license": names.pop()}
    return {"license": "other", "license_name": "licences-of-the-weights"}


def _size(rows: int) -> str:
    return next((name for bound, name in _SIZES if rows < bound), "100M<n<1B")
