"""Exports that are killed or have no room, and rows that are no plain PNG with plain numbers."""

import csv
import io
import json
import math
import resource
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from contextlib import contextmanager

import datasets
import pyarrow.parquet as pq
import pytest
from commands import run
from PIL import Image
from tiny_dataset import (
    CONFIG,
    HAPPY,
    PLAN,
    SCHEMA,
    make_dataset,
    make_record,
    make_result,
    make_row,
)

from synthgen.dataset import Storage, commit_shard, open_run, write_card
from synthgen.dataset.exporting import Exporting, export
from synthgen.errors import OutputError

FORMS = ("webdataset", "imagefolder", "csv", "coco", "lance")
KILLED = """
import os, signal, sys
from synthgen.dataset.exporting import Exporting, export

told = []
def stop(done, rows):
    told.append(done)
    if len(told) == 3:  # behind the rows of the second shard, before its file is whole
        os.kill(os.getpid(), signal.SIGKILL)

export(Exporting(dataset=sys.argv[1], to=sys.argv[2], form=sys.argv[3]), stop)
"""


@pytest.fixture
def dataset(tmp_path):
    make_dataset(str(tmp_path / "dataset"))
    return tmp_path / "dataset"


def go(dataset, to, form, **options):
    return export(Exporting(dataset=str(dataset), to=str(to), form=form, **options))


def contents(folder, form):
    """Return name → content; lance names its files at random, so its rows and their number."""
    if form == "lance":
        lance = pytest.importorskip("lance")
        return {
            path.name: (lance.dataset(str(path)).to_table(), len(list((path / "data").iterdir())))
            for path in folder.glob("*.lance")
        }
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_exports_that_were_killed_go_on_to_the_same_files(dataset, tmp_path):
    for library in ("webdataset", "lance"):
        pytest.importorskip(library)
    command = [sys.executable, "-c", KILLED, str(dataset)]
    forms = ("webdataset", "coco", "lance")  # csv and imagefolder are joined as coco is
    killed = [subprocess.Popen([*command, str(tmp_path / form), form]) for form in forms]
    for form, process in zip(forms, killed, strict=True):
        assert process.wait(120) == -signal.SIGKILL
        assert not (tmp_path / form).exists()
        assert (tmp_path / f".{form}.exporting").is_dir()
        code, said, _ = run("export", dataset, "--format", form, "--to", tmp_path / form)
        assert (code, said.splitlines()[0]) == (
            0,
            f"{tmp_path / form}: 8 samples as {form} (train 6, test 2)",
        )
        assert not (tmp_path / f".{form}.exporting").exists()
        go(dataset, tmp_path / "whole" / form, form)
        assert contents(tmp_path / form, form) == contents(tmp_path / "whole" / form, form)


@contextmanager
def no_file_beyond(size):
    """Let no file of this process grow beyond a size [bytes]: a full disk, to a program."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("form", FORMS)
def test_a_disk_that_fills_up_ends_an_export_in_a_sentence_and_it_goes_on(dataset, tmp_path, form):
    if form in ("webdataset", "lance"):
        pytest.importorskip(form)
    with no_file_beyond(1024), pytest.raises(OutputError) as told:
        go(dataset, tmp_path / "out", form)
    text = str(told.value)
    assert text.startswith("cannot write "), text
    assert text.endswith(": File too large; the same command goes on"), text
    assert not (tmp_path / "out").exists()
    assert go(dataset, tmp_path / "out", form).rows == {"train": 6, "test": 2}
    go(dataset, tmp_path / "whole", form)
    assert contents(tmp_path / "out", form) == contents(tmp_path / "whole", form)


def test_a_disk_without_room_is_told_before_anything_is_written(dataset, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 5000, 5000))
    code, _, error = run("export", dataset, "--format", "csv", "--to", tmp_path / "out")
    assert (code, error) == (
        2,
        f"error: the disk of {tmp_path} is full (5,000 bytes are left); make room, or choose "
        "another --to\n",
    )
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 0, 1_000_001))
    monkeypatch.setattr("synthgen.dataset.exporting.exporting._BESIDE_PICTURES", 10**6)
    code, _, error = run("export", dataset, "--format", "csv", "--to", tmp_path / "out")
    assert (code, error) == (
        2,
        f"error: the export takes about 0.0 GB, and 0.0 GB are free in {tmp_path}; make room, or "
        "choose another --to\n",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


def encoded(kind):
    buffer = io.BytesIO()
    Image.new("RGB", (16, 8), (200, 120, 60)).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def odd(tmp_path):
    """Write a dataset with a JPEG, a WebP and a PNG, and measurements that are no numbers."""
    storage = Storage(str(tmp_path / "odd"))
    open_run(storage, make_record(4), CONFIG, PLAN[:1])
    nan, endless = math.nan, math.inf
    rows = [
        make_row(0, image=encoded("JPEG"), active_error=nan, aus_measured=(nan, *HAPPY[1:])),
        make_row(1, image=encoded("WEBP"), inactive_max=endless),
        make_row(2, aus_measured=None, active_error=None),
        make_row(3),
    ]
    commit_shard(storage, SCHEMA, make_result(PLAN[0], rows=rows))
    write_card(storage)
    return tmp_path / "odd"


ODD = ("active_error", "aus_measured", "inactive_max")
NAMES = [f"sample-0000000{number}.{kind}" for number, kind in enumerate(("jpg", "webp", "png"))]


def rows_of(dataset):
    return pq.read_table(dataset / "data" / "train-00000.parquet").to_pylist()


def same(one, other):
    """Tell whether values are the same, NaN and NaN too."""
    return repr(one) == repr(other)


def finite(row):
    """Return a row as JSON holds it."""
    measured = row["aus_measured"]

    def found(value):
        return value if value is not None and math.isfinite(value) else None

    measured = row["aus_measured"]
    return {
        **{name: value for name, value in row.items() if name != "image"},
        **{name: found(row[name]) for name in ("active_error", "inactive_max")},
        "aus_measured": measured
        and [v if v is None or math.isfinite(v) else None for v in measured],
    }


def test_webdataset_and_coco_write_null_for_what_json_has_not_and_say_so(odd, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    rows = rows_of(odd)
    code, _, error = run("export", odd, "--format", "webdataset", "--to", tmp_path / "tar")
    notes = [line for line in error.splitlines() if line.startswith("note: ")]
    kept = "that JSON has not (NaN or infinite) is null; lance and imagefolder keep them"
    assert (code, sorted(notes)) == (
        0,
        [
            f"note: {name}: 1 value {kept}"
            for name in ("active_error", "aus_measured", "inactive_max")
        ],
    )
    shard = str(tmp_path / "tar" / "train-00000.tar")
    for row, sample in zip(rows, webdataset.WebDataset(shard, shardshuffle=False), strict=True):
        assert json.loads(sample["json"]) == finite(row)
        kind = {0: "jpg", 1: "webp"}.get(rows.index(row), "png")
        assert sample[kind] == row["image"]["bytes"]
    assert run("export", odd, "--format", "coco", "--to", tmp_path / "coco")[0] == 0
    coco = json.loads((tmp_path / "coco" / "annotations" / "train.json").read_text())
    assert [one["attributes"] for one in coco["annotations"]] == [finite(row) for row in rows]
    names = [image["file_name"] for image in coco["images"]]
    assert names[:3] == [f"images/train/{name}" for name in NAMES]
    assert [(image["width"], image["height"]) for image in coco["images"][:3]] == [
        (16, 8),
        (16, 8),
        (8, 8),
    ]
    for row, name in zip(rows, names, strict=True):
        assert (tmp_path / "coco" / name).read_bytes() == row["image"]["bytes"]


def test_imagefolder_lance_and_csv_keep_what_is_no_number(odd, tmp_path):
    lance = pytest.importorskip("lance")
    rows = rows_of(odd)
    assert go(odd, tmp_path / "folders", "imagefolder").notes == ()
    cache = str(tmp_path / "cache")
    back = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "folders"), cache_dir=cache)
    for row, found in zip(rows, back["train"], strict=True):
        expected = Image.open(io.BytesIO(row["image"]["bytes"]))
        assert found.pop("image").tobytes() == expected.tobytes()
        assert same(found, {name: row[name] for name in found})
    for row, name in zip(rows, NAMES, strict=False):
        assert (tmp_path / "folders/train/happy" / name).read_bytes() == row["image"]["bytes"]
    assert go(odd, tmp_path / "lance", "lance").notes == ()
    for row, found in zip(
        rows, lance.dataset(str(tmp_path / "lance/train.lance")).to_table().to_pylist(), strict=True
    ):
        assert found.pop("image") == row["image"]["bytes"]
        assert same(found, {name: row[name] for name in found})
    assert go(odd, tmp_path / "csv", "csv").notes == ()
    with (tmp_path / "csv" / "train.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["image"] for line in lines[:3]] == [f"images/train/{name}" for name in NAMES]
    assert [line["active_error"] for line in lines] == ["nan", "1.625", "", "1.625"]
    assert [line["inactive_max"] for line in lines] == ["0", "inf", "0", "0"]
    assert [line["AU01_measured"] for line in lines] == ["nan", "0", "", "0"]
