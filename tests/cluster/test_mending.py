"""A finished run whose files were damaged afterwards is made whole again, or says why not."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from embedded import EDITION
from tiny_markers import CONFIG

from cluster.driver import generate
from synthgen.config import parse_config
from synthgen.dataset import Storage, inspect_dataset, read_record
from synthgen.errors import DatasetError
from synthgen.report.comparison import stored_config
from synthgen.report.repair import repair


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
    changes = {
        "name": "mended",
        "output": {**CONFIG["output"], "path": str(folder)},
        "pipeline": {"name": "procedural", "edition": EDITION, "size": 128, "batch_size": 4},
        "verify": {"weights": "mini", "aligner": "centered", "max_attempts": 2},
    }
    return parse_config({**CONFIG, **changes})


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


def _repaired(config, yes=True):
    """Return what a repair says."""
    said = []
    repair(config.output.path, yes, said.append)
    return said


MENDED = "mended; `synthgen generate` with the same configuration makes shards that lack again"
RECORD = "it is made again from .synthgen/config.yaml, if a sample that is made again comes out the"


def test_a_whole_dataset_needs_no_repair(finished):
    assert _repaired(finished) == [f"{finished.output.path}: nothing to repair"]


@pytest.mark.parametrize("lack", ["lost", "corrupt"])
def test_a_lost_or_corrupt_record_is_made_again_where_a_sample_proves_it(finished, damaged, lack):
    folder = Path(damaged.output.path)
    record = folder / ".synthgen/run.json"
    record.unlink() if lack == "lost" else record.write_text("{")
    text = f".synthgen/run.json is {lack}; {RECORD} same"
    assert _repaired(damaged, yes=False) == [
        f"would mend: {text}",
        "the rest can be looked at once the record is there",
        f"nothing was changed; `synthgen repair {folder} --yes` does it",
    ]
    assert record.exists() == (lack == "corrupt")
    assert _repaired(damaged) == [f"mending: {text}", MENDED]
    found, before = (read_record(Storage(c.output.path)) for c in (damaged, finished))
    assert (found.identity, found.schema) == (before.identity, before.schema)
    assert (found.samples, found.hardware) == (before.samples, before.hardware)
    generate(damaged, "inline")
    assert inspect_dataset(str(folder)).problems == ()


def test_a_record_that_no_sample_proves_is_not_made_again(damaged):
    folder = Path(damaged.output.path)
    (folder / ".synthgen/run.json").write_text("{")
    config = folder / ".synthgen/config.yaml"
    name = pq.read_table(folder / "data/test-00000.parquet")["sample_id"][0].as_py()
    config.write_text(config.read_text().replace("seed: 5", "seed: 6"))
    with pytest.raises(DatasetError) as caught:
        _repaired(damaged)
    assert str(caught.value) == (
        f".synthgen/run.json of {folder} cannot be made again with the configuration, weights and "
        f"packages that are here: {folder} has no sample '{name}'; put it back from a copy, or "
        "repair it where it was made"
    )
    assert (folder / ".synthgen/run.json").read_text() == "{"


@pytest.mark.parametrize("lack", ["lost", "corrupt"])
def test_a_lost_or_corrupt_configuration_is_written_again(finished, damaged, lack):
    folder = Path(damaged.output.path)
    stored = folder / ".synthgen/config.yaml"
    stored.unlink() if lack == "lost" else stored.write_text("seed: [")
    assert _repaired(damaged)[-2:] == [
        "mending: .synthgen/config.yaml is written again from .synthgen/run.json, with the section "
        "cluster as usual",
        MENDED,
    ]
    assert stored_config(Storage(str(folder))).identity() == finished.identity()


def test_what_is_foreign_is_set_aside_and_nothing_of_it_is_lost(finished, damaged, digests):
    folder = Path(damaged.output.path)
    shutil.copy(folder / "data/train-00000.parquet", folder / "data/train-copy.parquet")
    shutil.copy(folder / "data/train-00000.parquet", folder / "data/train-00099.parquet")
    (folder / "data/test-00000.parquet").unlink()
    (folder / "data/test-00000.parquet").mkdir()
    (folder / "data/test-00000.parquet/mine").write_text("mine")
    (folder / "rejects/test-00001.parquet").write_bytes(b"short")
    (folder / ".synthgen/shards/train-00001.json").write_text("")
    (folder / "data/.tmp-0123456789abcdef-train-00001.parquet").write_text("half")
    size = Path(finished.output.path, "rejects/test-00001.parquet").stat().st_size
    marker = ".synthgen/shards/{}.json goes, so that its shard is made again"
    assert _repaired(damaged) == [
        f"mending: {line}"
        for line in (
            "data/test-00000.parquet is a folder; it goes to set-aside/data/test-00000.parquet",
            "data/train-copy.parquet is no file of this dataset; it goes to "
            "set-aside/data/train-copy.parquet",
            "data/train-00099.parquet is of a shard that was not asked for; it goes to "
            "set-aside/data/train-00099.parquet",
            f"data/test-00000.parquet is missing; the marker {marker.format('test-00000')}",
            f"rejects/test-00001.parquet has 5 bytes; its marker says {size}; the marker "
            f"{marker.format('test-00001')}",
            "marker .synthgen/shards/train-00001.json is corrupt (Expecting value: line 1 column 1 "
            f"(char 0)); the marker {marker.format('train-00001')}",
            "data/.tmp-0123456789abcdef-train-00001.parquet is what interrupted writes left; it is "
            "deleted",
        )
    ] + [MENDED]
    assert (folder / "set-aside/data/test-00000.parquet/mine").read_text() == "mine"
    generate(damaged, "inline")
    _is_whole(digests, finished, damaged)
    assert _repaired(damaged) == [f"{folder}: nothing to repair"]
