"""Exports read back by the libraries that they are for: every pixel, every label, every column."""

import csv
import io
import json
import signal
import subprocess
import sys

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import run
from PIL import Image
from tiny_dataset import make_dataset

from synthgen.dataset import Storage, layout
from synthgen.dataset.exporting import Exporting, export
from synthgen.dataset.merging import Merging, merge
from synthgen.errors import DatasetError, OutputError

FORMS = ("webdataset", "imagefolder", "csv", "coco", "lance")


@pytest.fixture
def dataset(tmp_path):
    make_dataset(str(tmp_path / "dataset"))
    return tmp_path / "dataset"


def stored(dataset):
    """Return split → the rows of the Parquet files, by sample id."""
    found = {}
    for file in sorted((dataset / "data").iterdir()):
        rows = found.setdefault(file.name.split("-")[0], {})
        rows.update({row["sample_id"]: row for row in pq.read_table(file).to_pylist()})
    return found


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def plain(row):
    return {name: value for name, value in row.items() if name != "image"}


def go(dataset, to, form, **options):
    return export(Exporting(dataset=str(dataset), to=str(to), form=form, **options))


def test_webdataset_gives_back_every_row(dataset, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    go(dataset, tmp_path / "out", "webdataset")
    for split, rows in stored(dataset).items():
        shards = sorted(map(str, (tmp_path / "out").glob(f"{split}-*.tar")))
        samples = list(webdataset.WebDataset(shards, shardshuffle=False))
        assert [sample["__key__"] for sample in samples] == list(rows)
        for sample in samples:
            row = rows[sample["__key__"]]
            assert sample["png"] == row["image"]["bytes"]
            assert int(sample["cls"]) == row["emotion"]
            assert json.loads(sample["json"]) == plain(row)
        decoded = webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8")
        for sample in decoded:
            expected = pixels(rows[sample["__key__"]]["image"]["bytes"])
            assert np.array_equal(sample["png"], expected)


def test_imagefolder_gives_back_every_row_with_its_types(dataset, tmp_path):
    go(dataset, tmp_path / "out", "imagefolder")
    cache = str(tmp_path / "cache")
    back = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "out"), cache_dir=cache)
    expected = stored(dataset)
    assert set(back) == set(expected)
    for split, rows in expected.items():
        assert back[split].features["emotion"].names == ["neutral", "happy", "sad"]
        for row in back[split]:
            original = rows[row["sample_id"]]
            assert np.array_equal(np.asarray(row["image"]), pixels(original["image"]["bytes"]))
            assert plain(row) == plain(original)
            file = tmp_path / "out" / split / "happy" / f"{row['sample_id']}.png"
            assert file.read_bytes() == original["image"]["bytes"]
    again = datasets.load_dataset(str(tmp_path / "out"), cache_dir=cache)
    assert {split: len(again[split]) for split in again} == {"train": 6, "test": 2}


def test_csv_gives_back_every_row(dataset, tmp_path):
    go(dataset, tmp_path / "out", "csv")
    for split, rows in stored(dataset).items():
        with (tmp_path / "out" / f"{split}.csv").open(newline="") as file:
            lines = list(csv.DictReader(file))
        assert [line["sample_id"] for line in lines] == list(rows)
        for line in lines:
            row = rows[line["sample_id"]]
            assert (tmp_path / "out" / line["image"]).read_bytes() == row["image"]["bytes"]
            aus = [float(line[au]) for au in line if au[:2] == "AU" and au[4:] == ""]
            found = [float(line[au]) for au in line if au[:2] == "AU" and au[4:] == "_measured"]
            assert (aus, found) == (row["aus"], row["aus_measured"])
            assert (int(line["emotion"]), line["emotion_name"]) == (1, "happy")
            assert (line["identity.age"], int(line["seed"])) == ("old", row["seed"])
            assert float(line["active_error"]) == row["active_error"]


def test_coco_is_whole_in_itself_and_gives_back_every_row(dataset, tmp_path):
    go(dataset, tmp_path / "out", "coco")
    for split, rows in stored(dataset).items():
        coco = json.loads((tmp_path / "out" / "annotations" / f"{split}.json").read_text())
        assert set(coco) == {"info", "licenses", "categories", "images", "annotations"}
        names = {category["id"]: category["name"] for category in coco["categories"]}
        images = {image["id"]: image for image in coco["images"]}
        assert len(images) == len(coco["annotations"]) == len(rows)
        assert {one["image_id"] for one in coco["annotations"]} == set(images)
        assert sorted(one["id"] for one in coco["annotations"]) == list(range(1, len(rows) + 1))
        for one in coco["annotations"]:
            image, row = images[one["image_id"]], rows[one["attributes"]["sample_id"]]
            assert (tmp_path / "out" / image["file_name"]).read_bytes() == row["image"]["bytes"]
            assert (image["width"], image["height"]) == (8, 8)
            assert (one["bbox"], one["area"], one["iscrowd"]) == ([0, 0, 8, 8], 64, 0)
            assert (names[one["category_id"]], one["category_id"]) == ("happy", row["emotion"])
            assert one["attributes"] == plain(row)


def test_lance_gives_back_every_row_with_its_types(dataset, tmp_path):
    lance = pytest.importorskip("lance")
    go(dataset, tmp_path / "out", "lance")
    for split, rows in stored(dataset).items():
        table = lance.dataset(str(tmp_path / "out" / f"{split}.lance"))
        assert [version["version"] for version in table.versions()] == [1]
        assert table.schema.field("aus").type == pa.list_(pa.float32(), 12)
        back = table.to_table().to_pylist()
        assert [row["sample_id"] for row in back] == list(rows)
        for row in back:
            original = rows[row["sample_id"]]
            assert row["image"] == original["image"]["bytes"]
            assert plain(row) == plain(original)


@pytest.mark.parametrize("form", FORMS)
def test_an_export_that_was_killed_goes_on_to_the_same_files(dataset, tmp_path, form):
    if form in ("webdataset", "lance"):
        pytest.importorskip({"lance": "lance"}.get(form, form))
    go(dataset, tmp_path / "whole", form)
    seen = []

    def stop(done, rows):
        seen.append(done)
        if len(seen) == 3:
            raise KeyboardInterrupt

    asked = Exporting(dataset=str(dataset), to=str(tmp_path / "out"), form=form)
    with pytest.raises(KeyboardInterrupt):
        export(asked, stop)
    assert not (tmp_path / "out").exists()
    other = "csv" if form != "csv" else "coco"
    with pytest.raises(OutputError, match=r"holds the unfinished export of another format"):
        go(dataset, tmp_path / "out", other)
    found = export(asked)
    assert (found.written, found.rows) == (4, {"train": 6, "test": 2})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "out", "whole"]
    assert contents(tmp_path / "out", form) == contents(tmp_path / "whole", form)
    assert export(asked).written == 0


def contents(folder, form):
    """Return name → bytes of the files; lance names its own at random."""
    if form == "lance":
        lance = pytest.importorskip("lance")
        return {
            path.name: (lance.dataset(str(path)).to_table(), len(list((path / "data").iterdir())))
            for path in folder.glob("*.lance")
        }
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_merged_datasets_and_those_in_memory_are_exported(dataset, tmp_path):
    merge(Merging(sources=[str(dataset)], to=str(tmp_path / "merged")))
    go(tmp_path / "merged", tmp_path / "out", "coco")
    coco = json.loads((tmp_path / "out" / "annotations" / "test.json").read_text())
    assert {one["attributes"]["source"] for one in coco["annotations"]} == {"tiny"}
    make_dataset("memory://exported/dataset")
    assert go("memory://exported/dataset", tmp_path / "far", "csv").rows == {"train": 6, "test": 2}


def test_what_is_damaged_unfinished_or_elsewhere_is_refused(dataset, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds files \(such as mine\.txt\) and no export"):
        go(dataset, tmp_path / "full", "csv")
    with pytest.raises(OutputError, match=r"lies inside"):
        go(dataset, dataset / "out", "csv")
    with pytest.raises(OutputError, match=r"is no folder of this machine"):
        go(dataset, "s3://bucket/out", "csv")
    marker = dataset / layout.marker_file("test", 0)
    kept = marker.read_bytes()
    marker.unlink()
    with pytest.raises(DatasetError, match=r"is not finished: its run has 6 of 8 samples"):
        go(dataset, tmp_path / "out", "csv")
    assert go(dataset, tmp_path / "part", "csv", partial=True).rows == {"train": 6}
    marker.write_bytes(kept)
    with pytest.raises(OutputError, match=r"holds an export of another dataset, or of this one"):
        go(dataset, tmp_path / "part", "csv")
    data = dataset / layout.data_file("test", 0)
    data.write_bytes(data.read_bytes()[:-1] + b"x")
    with pytest.raises(
        DatasetError, match=r"data/test-00000\.parquet has sha256 .* makes the shard again"
    ):
        go(dataset, tmp_path / "out", "csv")


def test_a_dataset_that_a_run_writes_is_not_exported(dataset, tmp_path):
    code = (
        "import sys, time; from synthgen.dataset import Lease, Storage\n"
        f"with Lease(Storage({str(dataset)!r})): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as run_:
        assert run_.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match=r"is being written by another run .*; wait for its"):
            go(dataset, tmp_path / "out", "csv")
        run_.send_signal(signal.SIGKILL)
        run_.wait()
    go(dataset, tmp_path / "out", "csv")  # who held it is gone
    assert Storage(str(dataset)).exists(layout.LEASE)


def test_the_command_says_what_it_wrote_and_errors_in_one_line(dataset, tmp_path):
    code, said, bar = run("export", dataset, "--format", "coco", "--to", "out", cwd=tmp_path)
    assert (code, said.splitlines()[0]) == (0, "out: 8 samples as coco (train 6, test 2)")
    assert "8/8" in bar
    assert "| emotion | `category_id`" in (tmp_path / "out" / "README.md").read_text()
    code, said, _ = run("export", dataset, "--format", "coco", "--to", "out", cwd=tmp_path)
    assert (code, said.splitlines()[0].endswith(", all there already")) == (0, True)
    code, _, error = run("export", dataset, "--format", "csv", "--to", "out", cwd=tmp_path)
    folder = tmp_path / "out"
    assert (code, error) == (
        2,
        f"error: {folder} holds an export of another format (coco); choose another --to, or "
        "delete that folder\n",
    )
