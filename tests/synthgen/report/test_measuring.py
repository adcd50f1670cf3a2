import csv

import pyarrow.parquet as pq
import pytest
from commands import run
from embedded import EDITION
from PIL import Image

from pipelines.procedural import random_identity, render
from synthgen import AUS, au_vector, measure
from synthgen.dataset.labels import au_column
from synthgen.errors import PictureError
from synthgen.report.measuring import find_pictures, measure_pictures

COLUMNS = ["file", "faces", *map(au_column, AUS), "reason"]
KNOWS = (
    "measured by libreface-mini, which knows drawn faces and those of the embedded model alone; "
    "for photographs set verify.weights=libreface and verify.aligner=mediapipe\n"
)
NO_PICTURE = "it is no picture of a kind that is known"


def smile(seed=3):
    return render(random_identity(seed=seed, edition=EDITION), au_vector({"AU12": 4}))


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    smile().save(folder / "smile.png")
    smile(4).save(folder / "more" / "other.jpg")
    (folder / "bad.png").write_text("no picture")
    (folder / "notes.txt").write_text("mine")
    return folder


def test_a_folder_is_measured_into_a_table_and_what_cannot_be_read_is_said(photos, tmp_path):
    table = tmp_path / "measured.parquet"
    code, output, errors = run("measure", photos, "--to", table)
    assert code == 3
    assert errors == KNOWS + "left out by its ending: notes.txt\n"
    lines = output.splitlines()
    assert lines[0].split() == COLUMNS[:-1]
    assert lines[1] == f"{str(photos / 'bad.png').ljust(len(str(photos)) + 15)}       {NO_PICTURE}"
    assert lines[-1] == f"{table}: 3 pictures: 2 measured, 1 unreadable"
    rows = pq.read_table(table).to_pylist()
    assert list(rows[0]) == COLUMNS
    assert [(row["file"], row["faces"], row["reason"]) for row in rows] == [
        (str(photos / "bad.png"), None, NO_PICTURE),
        (str(photos / "more" / "other.jpg"), 1, None),
        (str(photos / "smile.png"), 1, None),
    ]
    assert rows[0]["AU12"] is None
    assert all(abs(row["AU12"] - 4) < 0.8 for row in rows[1:])
    assert b"libreface-mini" in pq.read_schema(table).metadata[b"synthgen"]


def test_all_that_is_measured_ends_well_and_csv_holds_the_same(photos, tmp_path):
    named = [photos / "smile.png", photos / "more" / "*.jpg", photos / "smile.png"]
    code, output, _ = run("measure", *named, "--to", tmp_path / "m.csv")
    last = f"{tmp_path}/m.csv: 2 pictures: 2 measured"
    assert (code, output.splitlines()[-1]) == (0, last)
    with (tmp_path / "m.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [
        str(photos / "smile.png"),
        str(photos / "more/other.jpg"),
    ]
    assert abs(float(rows[0]["AU12"]) - measure(photos / "smile.png")["AU12"]) < 1e-5


def test_numbers_do_not_depend_on_what_stands_beside_a_picture(photos, tmp_path):
    for number in range(17):
        smile(number).save(photos / f"{number:02}.png")
    run("measure", photos, "--to", tmp_path / "all.parquet")
    run("measure", photos / "16.png", "--to", tmp_path / "one.parquet")
    every = {row["file"]: row for row in pq.read_table(tmp_path / "all.parquet").to_pylist()}
    (one,) = pq.read_table(tmp_path / "one.parquet").to_pylist()
    assert one == every[one["file"]]


def test_many_pictures_are_not_printed_but_those_that_failed_are(photos, tmp_path):
    for number in range(20):
        smile(number).save(photos / f"{number:02}.png")
    code, output, _ = run("measure", photos, "--to", tmp_path / "m.parquet")
    assert (code, output.splitlines()) == (
        3,
        [
            f"{photos}/bad.png: {NO_PICTURE}",
            f"{tmp_path}/m.parquet: 23 pictures: 22 measured, 1 unreadable",
        ],
    )


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_table_is_written_group_by_group_beside_its_place(photos, tmp_path, monkeypatch, ending):
    monkeypatch.setattr("synthgen.report.measuring._PRINTED_FAILURES", 1)
    (photos / "worse.png").write_text("no picture")
    for number in range(18):
        smile(number).save(photos / f"{number:02}.png")
    whole, table = tmp_path / f"whole.{ending}", tmp_path / f"m.{ending}"
    run("measure", photos, "--to", whole)
    monkeypatch.setattr("synthgen.report.measuring._ROWS", 8)
    monkeypatch.setattr("synthgen.report.measuring._TOLD_EVERY", 0.0)
    lines, sizes = [], []

    def say(line):
        lines.append(line)
        sizes.extend(path.stat().st_size for path in tmp_path.glob(f".*-m.{ending}"))
        assert not table.exists()

    found = measure_pictures([str(photos)], table, None, (), say)
    assert found.text().splitlines() == [
        f"{photos}/bad.png: {NO_PICTURE}",
        "and 1 more, which the table names",
        f"{table}: 22 pictures: 20 measured, 2 unreadable",
    ]
    assert lines[1:] == [
        "left out by its ending: notes.txt",
        *(f"{number} of 22 pictures" for number in range(22)),
    ]
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == [table.name, "photos", whole.name]
    if ending == "csv":
        assert table.read_bytes() == whole.read_bytes()
        return
    assert pq.read_table(table).equals(pq.read_table(whole), check_metadata=True)
    groups = pq.ParquetFile(table).metadata
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [8, 8, 6]


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_measuring_that_is_stopped_leaves_nothing(photos, tmp_path, monkeypatch, ending):
    for number in range(18):
        smile(number).save(photos / f"{number:02}.png")
    monkeypatch.setattr("synthgen.report.measuring._ROWS", 2)
    monkeypatch.setattr("synthgen.report.measuring._TOLD_EVERY", 0.0)

    def stop(line):
        if line.startswith("17 of"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_pictures([str(photos)], tmp_path / f"m.{ending}", None, (), stop)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_configuration_says_which_aus_are_measured(photos, tmp_path):
    few = "expressions={prior: independent, action_units: [AU6, AU12], aus: {AU12: {rate: 0.5}}}"
    sets = ["--set", few, "--set", "verify.policy={}"]
    code, output, _ = run("measure", photos / "smile.png", *sets)
    assert (code, output.splitlines()[0].split()) == (0, ["file", "faces", "AU06", "AU12"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone.png"], "gone.png does not exist; name pictures, folders or patterns"),
        (["*.webp"], "*.webp fits no file; name pictures, folders or patterns"),
        (
            ["empty"],
            "empty holds no picture that is not named already; looked for are .bmp, .jpeg, .jpg, "
            ".png, .tif, .tiff, .webp",
        ),
        (["a.png", "--to", "m.xlsx"], "m.xlsx must end in .parquet or .csv"),
        (["a.png", "--to", "m.csv"], "m.csv is there already; choose another file with --to"),
        (["a.png", "--to", "no/m.csv"], "cannot write no/m.csv: its folder does not exist"),
        (
            ["a.png", "--set", "verify={verifier: none}"],
            "verify names no check that measures AUs, so there is nothing to measure pictures "
            "with; name one, such as libreface",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused_and_nothing_is_written(
    tmp_path, monkeypatch, arguments, said
):
    monkeypatch.chdir(tmp_path)
    smile().save("a.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "m.csv").write_text("mine")
    assert run("measure", *arguments) == (2, "", f"error: {said}\n")
    assert (tmp_path / "m.csv").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "empty", "m.csv"]


def test_measure_takes_a_file_or_an_image_and_refuses_what_is_no_picture(tmp_path):
    picture = smile()
    picture.save(tmp_path / "my.png")
    found = measure(tmp_path / "my.png")
    assert list(found) == list(AUS)
    assert found == measure(picture) == measure(str(tmp_path / "my.png"))
    assert (
        measure(Image.merge("RGBA", [*picture.split(), Image.new("L", picture.size, 255)])) == found
    )
    (tmp_path / "bad.png").write_text("no picture")
    with pytest.raises(PictureError) as refused:
        measure(tmp_path / "bad.png")
    assert str(refused.value) == f"{tmp_path}/bad.png: {NO_PICTURE}"


def test_a_file_that_is_named_is_taken_whatever_its_ending(photos):
    (photos / "smile.png").rename(photos / "smile")
    assert find_pictures([str(photos / "smile")]) == ([photos / "smile"], [])
