"""Markers without the shards, and a run's folder that holds nothing else."""

from pathlib import Path
from typing import Any

from tiny_dataset import make_record

from synthgen.config import dump_config, parse_config
from synthgen.dataset import FileStamp, ShardMarker, Storage, layout

CONFIG = {
    "name": "small",
    "seed": 5,
    "samples": 20,
    "output": {"path": "out", "shard_size": 4, "splits": {"train": 0.5, "test": 0.5}},
    "expressions": {"prior": "emotions", "categories": ["neutral", "happy"]},
    "identities": {
        "source": "prompts",
        "template": "a {age} {person} with {hair} hair",
        "slots": {
            "age": ["young", "middle-aged", "old"],
            "person": ["man", "woman"],
            "hair": ["black", "brown", "red"],
        },
        "expressions_per_identity": 2,
    },
    "pipeline": {"name": "procedural"},
}


def marker_of(number: int, **changes: Any) -> ShardMarker:
    """Return the marker of a shard of four samples of the split `train`."""
    values: dict[str, Any] = {
        "split": "train",
        "number": number,
        "start": 4 * number,
        "stop": 4 * number + 4,
        "rows": 4,
        "attempts": 5,
        "accepted": 4,
        "rejected": {"inactive": 1},
        "errors": 0,
        "missing": (),
        "seconds": {},
        **changes,
    }
    key = values["split"], number
    files = {layout.data_file(*key): FileStamp("0" * 64, 1)}
    files[layout.reject_file(*key)] = FileStamp("1" * 64, 1)
    return ShardMarker(**{"files": files, **values})


def write_run(folder: Path, samples: int = 20, **cluster: Any) -> Storage:
    """Write the record and the configuration of a run, of which no shard is made yet."""
    storage = Storage(str(folder))
    config = parse_config({**CONFIG, "samples": samples, "cluster": cluster})
    storage.write(layout.RUN, make_record(samples).to_json())
    storage.write(layout.CONFIG, dump_config(config).encode())
    return storage


def write_marker(storage: Storage, number: int, **changes: Any) -> None:
    """Write a shard's marker."""
    marker = marker_of(number, **changes)
    storage.write(marker.name, marker.to_json())
