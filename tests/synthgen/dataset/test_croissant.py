"""`croissant.json`, read by mlcroissant as anybody would read it; no network is asked."""

import hashlib
import json
from dataclasses import replace

import mlcroissant
import numpy as np
import pytest
from tiny_dataset import (
    CONFIG,
    PLAN,
    SCHEMA,
    Range,
    make_dataset,
    make_record,
    make_result,
    make_row,
)

from synthgen.dataset import Storage, commit_shard, open_run, read_markers, write_card
from synthgen.dataset.card.croissant import croissant_problems
from synthgen.dataset.merging import Merging, merge
from synthgen.dataset.schema import Column, DatasetSchema, value_feature
from synthgen.report.repair import repair


def _opened(folder):
    dataset = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    issues = dataset.metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())
    return dataset


def _values(folder):
    return json.loads((folder / "croissant.json").read_text())


def test_mlcroissant_reads_the_rows_back(tmp_path):
    make_dataset(str(tmp_path / "out"))
    dataset = _opened(tmp_path / "out")
    rows = sorted(dataset.records("default"), key=lambda row: row["default/sample_id"])
    assert len(rows) == 8
    row, expected = rows[5], make_row(5)
    assert row["default/sample_id"] == b"sample-00000005"
    assert row["default/split"] == b"train"
    assert row["default/image"].getpixel((3, 3)) == (5, 60, 120)
    assert np.allclose(row["default/aus"], expected.aus)
    assert row["default/emotion"] == 1
    assert row["default/identity"] == {
        "default/identity/age": b"old",
        "default/identity/hair": b"red",
    }
    assert row["default/seed"] == expected.seed
    assert [row["default/split"] for row in rows].count(b"test") == 2
    rejects = list(dataset.records("rejects"))
    assert {row["rejects/reason"] for row in rejects} == {b"no_face"}
    assert len(rejects) == 3


def test_rows_without_values_are_read_back_without_values(tmp_path):
    storage = Storage(str(tmp_path / "out"))
    open_run(storage, make_record(4), CONFIG, PLAN)
    rows = [make_row(0, aus_measured=None, accepted=None), *map(make_row, range(1, 4))]
    commit_shard(storage, SCHEMA, make_result(PLAN[0], rows=rows))
    write_card(storage)
    first = next(iter(_opened(tmp_path / "out").records("default")))
    assert np.isnan(np.array(first["default/aus_measured"], float)).all()
    assert first["default/accepted"] is None


def test_splits_and_labels_are_enumerations(tmp_path):
    make_dataset(str(tmp_path / "out"))
    dataset = _opened(tmp_path / "out")
    assert list(dataset.records("splits")) == [
        {"splits/name": "train", "splits/url": "cr:TrainingSplit"},
        {"splits/name": "test", "splits/url": "cr:TestSplit"},
    ]
    labels = {row["emotions/emotion"]: row["emotions/name"] for row in dataset.records("emotions")}
    assert labels == {0: "neutral", 1: "happy", 2: "sad"}


def test_each_file_stands_there_with_its_size_and_checksum(tmp_path):
    make_dataset(str(tmp_path / "out"))
    files = [f for f in _values(tmp_path / "out")["distribution"] if f["@type"] == "cr:FileObject"]
    assert [file["contentUrl"] for file in files] == [
        f"{folder}/{split}-0000{number}.parquet"
        for folder in ("data", "rejects")
        for split, number in (("test", 0), ("train", 0), ("train", 1))
    ]
    for file in files:
        content = (tmp_path / "out" / file["contentUrl"]).read_bytes()
        assert file["contentSize"] == f"{len(content)} B"
        assert file["sha256"] == hashlib.sha256(content).hexdigest()


def test_columns_that_croissant_has_no_type_for_are_left_out(tmp_path):
    columns = (Column("took", value_feature("duration[ns]"), "clock"),)
    schema = DatasetSchema((), (), "png", columns)
    storage = Storage(str(tmp_path / "out"))
    open_run(storage, replace(make_record(4), schema=schema), CONFIG, PLAN)
    rows = [make_row(n, emotion=None, identity={}, took=None) for n in range(4)]
    commit_shard(storage, schema, make_result(PLAN[0], rows=rows, rejects=[]))
    write_card(storage)
    (default,) = [s for s in _values(tmp_path / "out")["recordSet"] if s["@id"] == "default"]
    assert "default/took" not in [field["@id"] for field in default["field"]]


def test_it_says_how_the_data_came_about_and_what_it_cannot_tell(tmp_path):
    make_dataset(str(tmp_path / "out"))
    metadata = _opened(tmp_path / "out").metadata
    assert metadata.data_collection == (
        "Generated: 11 images were made, 8 of which kept the policy of the configuration in "
        ".synthgen/run.json, with which the data can be made again."
    )
    card = (tmp_path / "out" / "README.md").read_text()
    said = [metadata.data_limitations, metadata.data_use_cases]
    sentences = [line for each in said for line in ([each] if isinstance(each, str) else each)]
    assert len(sentences) > 5
    for line in sentences:
        assert f"- {line.removeprefix('Not: ')}\n" in card
    assert metadata.cite_as in card
    assert metadata.license == ["https://spdx.org/licenses/Apache-2.0.html"]


def test_an_extended_dataset_is_described_anew(tmp_path):
    storage = make_dataset(str(tmp_path / "out"), PLAN[:1])
    before = _values(tmp_path / "out")
    commit_shard(storage, SCHEMA, make_result(Range("test", 0, 0, 2)))
    assert croissant_problems(storage, read_markers(storage).values()) == [
        "croissant.json does not list data/test-00000.parquet",
        "croissant.json does not list rejects/test-00000.parquet",
    ]
    write_card(storage)
    assert not croissant_problems(storage, read_markers(storage).values())
    after = _values(tmp_path / "out")
    assert after["version"] != before["version"]
    assert len(list(_opened(tmp_path / "out").records("default"))) == 6


def test_a_merged_dataset_is_described(tmp_path):
    make_dataset(str(tmp_path / "one"))
    storage = Storage(str(tmp_path / "other"))
    open_run(storage, make_record(4, seed=8), CONFIG, PLAN)
    rows = [make_row(n) for n in range(100, 104)]
    commit_shard(storage, SCHEMA, make_result(PLAN[0], rows=rows, rejects=[]))
    write_card(storage)
    names = [str(tmp_path / name) for name in ("one", "other")]
    merge(Merging(sources=names, to=str(tmp_path / "both"), rename=True))
    rows = list(_opened(tmp_path / "both").records("default"))
    assert len(rows) == 12
    assert len({row["default/source"] for row in rows}) == 2


@pytest.mark.parametrize("content", [None, "{", '{"distribution": 3}'])
def test_repair_writes_what_is_not_true_again(tmp_path, content):
    make_dataset(str(tmp_path / "one"))
    out = str(tmp_path / "out")
    merge(Merging(sources=[str(tmp_path / "one")], to=out))
    path = tmp_path / "out" / "croissant.json"
    whole = path.read_bytes()
    path.unlink() if content is None else path.write_text(content)
    said: list[str] = []
    repair(out, False, said.append)
    what = "is missing" if content is None else "is corrupt"
    assert said[0].startswith(f"would mend: croissant.json {what}")
    assert said[0].endswith("; README.md and croissant.json are written again")
    repair(out, True, said.append)
    assert path.read_bytes() == whole
    said.clear()
    repair(out, True, said.append)
    assert said == [f"{out}: nothing to repair"]
    card = tmp_path / "out" / "README.md"
    text = card.read_text()
    card.write_text(text.replace("checksum ", "checksum 0", 2))
    said.clear()
    repair(out, True, said.append)
    assert said[0].startswith("mending: README.md is of other data (its checksum is ")
    assert card.read_text() == text
