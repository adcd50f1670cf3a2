import hashlib
import io
import shutil
import uuid
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_dataset import (
    CONFIG,
    PLAN,
    SCHEMA,
    make_dataset,
    make_record,
    make_reject,
    make_result,
    make_row,
)

from synthgen.dataset import (
    FileStamp,
    Storage,
    commit_shard,
    describe_inspection,
    inspect_dataset,
    open_run,
    read_markers,
)
from synthgen.dataset.markers import ShortStratum
from synthgen.errors import DatasetError


@pytest.fixture
def storage(tmp_path):
    return make_dataset(str(tmp_path))


def _problems(storage):
    return list(inspect_dataset(storage.url).problems)


def test_a_whole_dataset_has_no_problems(storage):
    inspection = inspect_dataset(storage.url)
    assert inspection.problems == ()
    assert (inspection.name, inspection.samples, inspection.shards) == ("tiny", 8, 3)
    assert inspection.statistics.total == 8


def test_a_dataset_in_memory_is_inspected():
    assert _problems(make_dataset(f"memory://{uuid.uuid4()}")) == []


def test_a_missing_dataset_is_refused(tmp_path):
    with pytest.raises(DatasetError) as caught:
        inspect_dataset(str(tmp_path / "none"))
    assert str(caught.value) == (
        f"there is no synthgen dataset in {tmp_path}/none: no .synthgen/run.json"
    )


def test_an_inspection_in_words(storage):
    assert describe_inspection(inspect_dataset(storage.url)) == "\n".join(
        [
            f"tiny in {storage.url}",
            "samples: 8 of 8 in 3 shards",
            "  train: 6 samples of 6 identities",
            "  test: 2 samples of 2 identities",
            "acceptance: 72.7 % (8 accepted of 11 attempts)",
            "rejected attempts: no_face 3",
            "emotions: neutral 0, happy 8, sad 0",
            "no problems: all checksums agree",
        ]
    )


def test_problems_missing_samples_and_errors_in_words(storage):
    rejects = [make_reject(4, reason="error")]
    commit_shard(storage, SCHEMA, make_result(PLAN[1], rejects=rejects, missing=1))
    storage.delete(".synthgen/shards/test-00000.json")
    assert describe_inspection(inspect_dataset(storage.url)).splitlines()[3:] == [
        "acceptance: 71.4 % (5 accepted of 7 attempts)",
        "rejected attempts: no_face 1, error 1",
        "missing samples: 1",
        "  strata not recorded: 1 short",
        "emotions: neutral 0, happy 5, sad 0",
        "problems:",
        "  data/test-00000.parquet belongs to a shard that is not finished: no marker",
        "  rejects/test-00000.parquet belongs to a shard that is not finished: no marker",
        "  the run asks for 8 samples; finished shards cover 6",
    ]


def test_a_dataset_with_less_than_was_asked_is_not_called_whole(storage):
    lack = ShortStratum(asked=2, accepted=0, images=3, rejected={"no_face": 3})
    row = make_row(4, accepted=False)
    result = make_result(PLAN[1], rows=[row], missing=1, short={"happy": lack})
    commit_shard(storage, SCHEMA, result)
    lines = describe_inspection(inspect_dataset(storage.url)).splitlines()
    assert lines[6:] == [
        "missing samples: 1",
        "unaccepted samples (accepted=false): 1",
        "  happy: 2 short; 0 of 3 images accepted (3 no_face)",
        "emotions: neutral 0, happy 7, sad 0",
        "less than asked, but what is there is whole: all checksums agree",
    ]


def test_a_changed_byte_is_found(storage):
    name = "data/train-00001.parquet"
    said = read_markers(storage)["train", 1].files[name].sha256[:12]
    data = bytearray(storage.read(name))
    data[100] ^= 1
    storage.write(name, bytes(data))
    found = storage.sha256(name)[:12]
    assert _problems(storage) == [f"{name} has sha256 {found}…; its marker says {said}…"]
    assert inspect_dataset(storage.url).statistics.total == 6


def test_a_missing_file_is_found(storage):
    storage.delete("rejects/train-00001.parquet")
    assert _problems(storage) == [f"rejects/train-00001.parquet is missing in {storage.url}"]


def test_a_wrong_row_count_is_found(storage):
    marker = read_markers(storage)["train", 1]
    wrong = replace(marker, rows=1, missing=("sample-00000005",))
    storage.write(marker.name, wrong.to_json())
    assert _problems(storage) == ["data/train-00001.parquet has 2 rows; its marker says 1"]


def test_a_missing_shard_is_found(storage):
    for name in ("data", "rejects"):
        storage.delete(f"{name}/train-00000.parquet")
    storage.delete(".synthgen/shards/train-00000.json")
    assert _problems(storage) == [
        "shards missing before .synthgen/shards/train-00001.json: train-00000",
        "the run asks for 8 samples; finished shards cover 4",
    ]


def test_shards_that_do_not_join_are_found(storage):
    marker = read_markers(storage)["train", 1]
    storage.write(marker.name, replace(marker, start=5, stop=7).to_json())
    assert _problems(storage) == [
        ".synthgen/shards/train-00001.json starts at 5; the shard before it stops at 4"
    ]


def test_leftovers_are_found(storage):
    name = "data/.tmp-0123456789abcdef-train-00001.parquet"
    storage.write(name, b"half")
    assert _problems(storage) == [f"{name} is what was left of an interrupted write"]


def test_a_corrupt_marker_is_found(storage):
    storage.write(".synthgen/shards/test-00000.json", b"")
    assert _problems(storage)[0] == (
        "marker .synthgen/shards/test-00000.json is corrupt (Expecting value: line 1 column 1 "
        "(char 0)); `synthgen generate` with the dataset's configuration makes its shard again"
    )


def test_duplicate_samples_are_found(storage):
    rows = [make_row(3), make_row(4)]
    commit_shard(storage, SCHEMA, make_result(PLAN[1], rows=rows))
    assert _problems(storage) == ["sample ids that stand more than once: sample-00000003"]


def test_identities_in_two_splits_are_found(storage):
    rows = [make_row(1000), make_row(1001, identity_id="identity-000002")]
    commit_shard(storage, SCHEMA, make_result(PLAN[2], rows=rows))
    assert _problems(storage) == ["identities in more than one split: identity-000002"]


def test_many_names_are_cut_short(storage):
    rows = [make_row(index, identity_id=f"identity-{index - 1000:06d}") for index in (1000, 1001)]
    commit_shard(storage, SCHEMA, make_result(PLAN[2], rows=rows))
    rows = [make_row(index) for index in (1000, 1001)]
    commit_shard(storage, SCHEMA, make_result(PLAN[1], rows=rows))
    assert _problems(storage) == [
        "sample ids that stand more than once: sample-00001000, sample-00001001",
        "identities in more than one split: identity-000000, identity-000001",
    ]


def test_a_run_that_has_only_begun_is_told_as_such(tmp_path):
    open_run(Storage(str(tmp_path)), make_record(), CONFIG, PLAN)
    inspection = inspect_dataset(str(tmp_path))
    assert inspection.problems == ("the run asks for 8 samples; finished shards cover 0",)
    assert "acceptance: – (0 accepted of 0 attempts)" in describe_inspection(inspection)


def test_files_beside_the_shards_are_found_with_what_they_repeat(storage, tmp_path):
    shutil.copy(tmp_path / "data/train-00000.parquet", tmp_path / "data/train-copy.parquet")
    (tmp_path / "data/other.parquet").write_text("not Parquet")
    (tmp_path / "rejects/notes.txt").write_text("mine")
    (tmp_path / "data/.DS_Store").write_text("hidden")
    copy = "data/train-copy.parquet is no file of this dataset"
    repeated = "; 4 of its 4 sample ids are in the dataset"
    others = [
        "data/other.parquet is no file of this dataset",
        f"{copy}{repeated}",
        "rejects/notes.txt is no file of this dataset",
    ]
    assert _problems(storage) == others
    card = storage.read("README.md").replace(b"[0-9][0-9][0-9][0-9][0-9]", b"*")
    storage.write("README.md", card)  # as older versions wrote it
    assert _problems(storage) == [
        others[0],
        f"{copy}, and the card has it loaded{repeated}",
        others[2],
    ]


def test_a_shard_file_without_a_marker_tells_that_it_is_none(storage, tmp_path):
    shutil.copy(tmp_path / "data/train-00000.parquet", tmp_path / "data/train-00099.parquet")
    assert _problems(storage) == [
        "data/train-00099.parquet belongs to a shard that is not finished: no marker"
    ]


def test_equal_images_of_other_samples_are_found(storage):
    rows = [make_row(4, image=make_row(1).image), make_row(5, image=make_row(1).image)]
    commit_shard(storage, SCHEMA, make_result(PLAN[1], rows=rows))
    rows = [make_row(1000, image=make_row(0).image), make_row(1001)]
    commit_shard(storage, SCHEMA, make_result(PLAN[2], rows=rows))
    assert _problems(storage) == [
        "images that are equal, byte by byte: sample-00001000 = sample-00000000, "
        "sample-00000001 = sample-00000004 = sample-00000005"
    ]


def test_what_lies_in_the_place_of_a_shard_is_found(storage, tmp_path):
    (tmp_path / "rejects/test-00000.parquet").unlink()
    (tmp_path / "rejects/test-00000.parquet").mkdir()
    assert _problems(storage)[0] == "rejects/test-00000.parquet is a folder"


def test_a_foreign_file_that_its_marker_vouches_for_is_found(storage, tmp_path):
    """Whoever edits the marker too has a file whose checksum agrees."""
    marker = read_markers(storage)["train", 1]
    buffer = io.BytesIO()
    pq.write_table(pa.table({"sample_id": [1, 2]}), buffer)
    data = buffer.getvalue()
    storage.write("data/train-00001.parquet", data)
    stamp = FileStamp(hashlib.sha256(data).hexdigest(), len(data))
    files = {**marker.files, "data/train-00001.parquet": stamp}
    storage.write(marker.name, replace(marker, files=files).to_json())
    (problem,) = _problems(storage)
    assert problem.startswith(
        "the shard of data/train-00001.parquet cannot be counted: data/train-00001.parquet has no "
        "column accepted, "
    )
    assert inspect_dataset(storage.url).statistics.total == 6


def test_a_lost_or_corrupt_configuration_is_found(storage, tmp_path):
    repair = f"`synthgen repair {tmp_path}` writes it again"
    storage.write(".synthgen/config.yaml", b"a: \xfd")
    assert _problems(storage) == [
        f".synthgen/config.yaml: line 1 is not UTF-8; save the file as UTF-8; {repair}"
    ]
    storage.delete(".synthgen/config.yaml")
    assert _problems(storage) == [f".synthgen/config.yaml is missing; {repair}"]


def test_a_lost_card_is_found(storage):
    storage.delete("README.md")
    assert _problems(storage) == [
        "README.md is missing: load_dataset would take every file for data"
    ]


def test_a_record_that_fits_no_rows_is_told(storage):
    storage.write(".synthgen/run.json", make_record(expressions={"quotas": 3}).to_json())
    with pytest.raises(DatasetError) as caught:
        inspect_dataset(storage.url)
    assert str(caught.value) == (
        f".synthgen/run.json in {storage.url} fits no rows: 1 validation error for QuotasConfig; "
        "put it back from a copy"
    )
