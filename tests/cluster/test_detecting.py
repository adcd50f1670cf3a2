"""Pictures and datasets that say of themselves that they are synthetic."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from cluster.driver import generate
from synthgen.cli.commands import app
from synthgen.dataset.marks.xmp import Mark, save_options
from synthgen.errors import PictureError
from synthgen.report.detecting import describe_detection, detect


def picture(path, mark):
    Image.new("RGB", (8, 8), "gray").save(path, **save_options(mark, path.suffix[1:].upper()))
    return str(path)


def ran(*words):
    done = CliRunner().invoke(app, ["detect", *map(str, words)])
    return done.exit_code, done.output


def quiet(_):
    pass


def test_pictures_are_told_one_by_one(tmp_path):
    made = picture(tmp_path / "made.png", Mark("trainedAlgorithmicMedia", "faces-7"))
    plain = picture(tmp_path / "plain.png", None)
    found = detect([str(tmp_path)], quiet)
    assert not found.all_synthetic
    assert describe_detection(found).splitlines() == [
        "| picture | digital source | sample | written by |",
        "| --- | --- | --- | --- |",
        f"| {made} | trainedAlgorithmicMedia | faces-7 | synthgen |",
        f"| {plain} | no mark | – | – |",
    ]
    assert ran(made)[0] == 0
    assert ran(tmp_path)[0] == 1


def test_a_photograph_that_says_so_is_not_synthetic(tmp_path):
    photograph = picture(tmp_path / "taken.jpeg", Mark("digitalCapture", tool="a camera"))
    code, said = ran("--json", photograph)
    assert code == 1
    assert json.loads(said) == {
        "all_synthetic": False,
        "pictures": [
            {
                "file": photograph,
                "mark": {"source": "digitalCapture", "sample_id": None, "tool": "a camera"},
            }
        ],
        "datasets": [],
    }


def test_the_rows_of_a_dataset_are_counted(make_config):
    config = make_config(samples=4)
    generate(config, "inline")
    found = detect([config.output.path], quiet)
    assert found.all_synthetic
    assert describe_detection(found) == f"{config.output.path}: 4 images\n  4 algorithmicMedia"


def test_an_image_in_anothers_row_is_named(make_config):
    config = make_config(samples=4)
    generate(config, "inline")
    (file, *_) = sorted((Path(config.output.path) / "data").glob("*.parquet"))
    table = pq.read_table(file)
    images = table.column("image").to_pylist()
    images[0] = images[1]
    at = table.schema.get_field_index("image")
    swapped = table.set_column(at, "image", pa.array(images, table.schema.field(at).type))
    pq.write_table(swapped, file)
    code, said = ran(config.output.path)
    assert code == 1
    name = table.column("sample_id")[0].as_py()
    assert f"  1 image names another sample: {name}" in said


@pytest.mark.parametrize("name", ["none.png", "no*.jpg"])
def test_what_is_not_there_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    what = "fits no file" if "*" in name else "does not exist"
    with pytest.raises(PictureError) as refused:
        detect([name], quiet)
    assert str(refused.value) == f"{name} {what}; name pictures, folders or patterns"
