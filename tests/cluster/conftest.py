"""A small run that rejects a part of its images, and ways to compare datasets."""

import hashlib
from pathlib import Path

import pytest
from embedded import EDITION

from synthgen.config import RunConfig, parse_config

RUN = {
    "name": "small",
    "seed": 5,
    "samples": 40,
    "output": {"path": "out", "shard_size": 12, "splits": {"train": 0.5, "test": 0.5}},
    "expressions": {
        "prior": "emotions",
        "categories": ["neutral", "happy", "sad", "surprised"],
    },
    "identities": {
        "source": "prompts",
        "template": "a portrait of a {age} {person} with {hair} hair and {skin} skin",
        "slots": {
            "age": ["young", "old"],
            "person": ["man", "woman"],
            "hair": ["black", "brown", "blond", "red"],
            "skin": ["pale", "tan", "dark"],
        },
        "expressions_per_identity": 4,
    },
    "pipeline": {
        "name": "procedural",
        "edition": EDITION,
        "size": 128,
        "au_noise": 0.7,
        "batch_size": 5,
    },
    "verify": {"weights": "mini", "aligner": "centered", "max_attempts": 2},
}


@pytest.fixture
def make_config(tmp_path: Path):
    """Return a function that builds the small run, with keys replaced, below `tmp_path`."""

    def make(folder: str = "out", **changes: object) -> RunConfig:
        data = {**RUN, **{key: value for key, value in changes.items() if "." not in key}}
        data["output"] = {**RUN["output"], "path": str(tmp_path / folder)}
        for section in ("verify", "pipeline", "cluster", "identities"):
            if isinstance(changes.get(section), dict):
                data[section] = {**RUN.get(section, {}), **changes[section]}
        return parse_config(data)

    return make


@pytest.fixture
def digests():
    """Return a function from a dataset's folder to the sha256 of each data and rejects file."""

    def digest(config: RunConfig) -> dict[str, str]:
        folder = Path(config.output.path)
        files = sorted([*folder.glob("data/*"), *folder.glob("rejects/*")])
        return {
            str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in files
        }

    return digest
