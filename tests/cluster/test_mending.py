"""A finished run whose files were damaged afterwards is made whole again, to the byte."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cluster.driver import generate
from synthgen.config import parse_config
from synthgen.dataset import inspect_dataset


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return a small finished run's configuration, not to be touched."""
    return _run(tmp_path_factory.mktemp("finished") / "out")


@pytest.fixture
def damaged(finished, tmp_path):
    """Return the configuration of a copy of it, to be damaged."""
    shutil.copytree(finished.output.path, tmp_path / "out")
    return _config(tmp_path / "out")


def _run(folder):
    config = _config(folder)
    generate(config, "inline")
    return config


def _config(folder):
    return parse_config(
        {
            "name": "mended",
            "seed": 5,
            "samples": 20,
            "output": {"path": str(folder), "shard_size": 4, "splits": {"train": 0.5, "test": 0.5}},
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
            "pipeline": {"name": "procedural", "size": 128, "batch_size": 4},
            "verify": {"weights": "mini", "aligner": "centered", "max_attempts": 2},
        }
    )


def _flip(file, place, count=1):
    """Flip bytes; the size stays."""
    data = bytearray(Path(file).read_bytes())
    for index in range(place, place + count):
        data[index] ^= 0xFF
    Path(file).write_bytes(bytes(data))


def _column(file, name):
    """Return where the first page of a column begins."""
    group = pq.read_metadata(file).row_group(0)
    (column,) = [
        group.column(i) for i in range(group.num_columns) if group.column(i).path_in_schema == name
    ]
    return column.dictionary_page_offset or column.data_page_offset


def _told(caplog):
    return [
        record.getMessage()
        for record in caplog.records
        if record.getMessage().startswith(("a finished shard", "2 finished", "6 finished"))
    ]


def _is_whole(digests, finished, damaged):
    assert digests(damaged) == digests(finished)
    assert inspect_dataset(damaged.output.path).problems == ()


def test_flipped_pixels_of_the_card_s_pictures_are_made_again(finished, damaged, digests, caplog):
    file = Path(damaged.output.path) / "data/train-00000.parquet"
    place = file.read_bytes().index(b"\x89PNG")
    _flip(file, place, 4)
    generate(damaged, "inline")
    (told,) = _told(caplog)
    assert told.startswith("a finished shard is made again: data/train-00000.parquet has sha256 ")
    _is_whole(digests, finished, damaged)


def test_a_column_that_the_card_cannot_count_is_made_again(finished, damaged, digests, caplog):
    file = Path(damaged.output.path) / "data/test-00001.parquet"
    _flip(file, _column(file, "identity_id"), 8)
    generate(damaged, "inline")
    (told,) = _told(caplog)
    assert told.startswith("a finished shard is made again: data/test-00001.parquet has sha256 ")
    _is_whole(digests, finished, damaged)


def test_all_checksums_are_compared_when_asked_for(finished, damaged, digests, caplog):
    for name in ("data/test-00001.parquet", "rejects/train-00002.parquet"):
        file = Path(damaged.output.path) / name
        _flip(file, 4)
    generate(damaged, "inline", verify=True)
    (told,) = _told(caplog)
    assert told.startswith("2 finished shards are made again: data/test-00001.parquet has sha256 ")
    _is_whole(digests, finished, damaged)


def test_deleted_data_is_made_again_in_one_go(finished, damaged, digests, caplog):
    shutil.rmtree(Path(damaged.output.path) / "data")
    generate(damaged, "inline")
    assert _told(caplog) == [
        "6 finished shards are made again: data/test-00000.parquet is missing; "
        "data/test-00001.parquet is missing; data/test-00002.parquet is missing; "
        "data/train-00000.parquet is missing; data/train-00001.parquet is missing; and 1 more"
    ]
    _is_whole(digests, finished, damaged)
