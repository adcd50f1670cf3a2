"""`prove` on drawn faces: a whole dataset, and one in which one thing was changed."""

import hashlib
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cluster.driver import generate
from synthgen.cli.commands import app
from synthgen.config import load_config
from synthgen.dataset import Storage, write_card
from synthgen.dataset.marks.containers import without_marks
from synthgen.dataset.merging import Merging, merge
from synthgen.dataset.parquet import encode_tables
from synthgen.dataset.run_record import read_record
from synthgen.dataset.schema import data_features
from synthgen.report.proving import describe_proof, prove

EXAMPLE = Path(__file__).parents[3] / "examples" / "drawn-faces.yaml"
SHARD = "data/train-00000.parquet"


def _made(folder, *changes):
    settings = ["samples=24", "pipeline.batch_size=8", "pipeline.size=96"]
    settings += ["output.shard_size=10", "output.splits={train: 1}", f"output.path={folder}"]
    generate(load_config(EXAMPLE, [*settings, *changes]), "inline")
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return _made(tmp_path_factory.mktemp("proving") / "faces")


@pytest.fixture
def copy(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "faces")
    return tmp_path / "faces"


def _changed(folder, column, values, *, honest=True):
    """Put other values into a column of a shard; if not honest, its marker and card follow."""
    table = pq.read_table(folder / SHARD)
    place = table.schema.get_field_index(column)
    field = table.schema.field(place)
    table = table.set_column(place, field, pa.array(values, field.type))
    record = read_record(Storage(str(folder)))
    data = encode_tables(data_features(record.schema), [table])
    (folder / SHARD).write_bytes(data)
    if not honest:
        marker = folder / ".synthgen/shards/train-00000.json"
        said = json.loads(marker.read_text())
        said["files"][SHARD] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        marker.write_text(json.dumps(said))
        write_card(Storage(str(folder)))


def test_an_image_of_another_row_or_without_a_mark_is_named_in_every_row(copy, tmp_path):
    images, names = _column(copy, "image"), _column(copy, "sample_id")
    images[3]["bytes"] = images[7]["bytes"]
    images[4]["bytes"] = without_marks(images[4]["bytes"])
    _changed(copy, "image", images, honest=False)
    found = prove(str(copy), samples=0)
    assert found.wrong == [
        f"{names[3]}: its image says that it shows the sample {names[7]}",
        f"{names[4]}: its image has no mark; the run marks each",
    ]
    unmarked = _made(tmp_path / "unmarked", "output.mark=false", "samples=4")
    found = prove(str(unmarked), samples=1)
    assert (found.wrong, [part.name for part in found.parts if part.name == "marks"]) == ([], [])


def _column(folder, name):
    return pq.read_table(folder / SHARD)[name].to_pylist()


def _with_swapped_image(folder, **options):
    images = _column(folder, "image")
    images[3]["bytes"] = images[7]["bytes"]
    _changed(folder, "image", images, **options)
    return _column(folder, "sample_id")[3]


def test_a_whole_dataset_is_proved(whole):
    found = prove(str(whole), samples=4)
    assert (found.wrong, found.open, found.exit_code) == ([], [], 0)
    assert describe_proof(found).splitlines() == [
        "part                  proved     nearly  wrong",
        "files                 6 files    –       –",
        "card, croissant.json  2 files    –       –",
        "record                4 facts    –       –",
        "labels                24 rows    –       –",
        "marks                 24 images  –       –",
        "measured again        24 rows    –       –",
        "made again            4 rows     –       –",
        f"{whole}: proved",
    ]


def test_the_rows_follow_from_the_seed(whole, monkeypatch):
    said = []
    made = "synthgen.report.proving.make_again"
    monkeypatch.setattr(made, lambda maker, rows, *parts: said.append([row.name for row in rows]))
    for seed in (1, 1, 2):
        prove(str(whole), samples=3, seed=seed)
    assert said[0] == said[1] != said[2]
    assert len(set(said[0])) == 3


@pytest.mark.parametrize("honest", [True, False], ids=["marker kept", "marker and card rewritten"])
def test_a_swapped_image_is_caught_and_named(copy, honest):
    name = _with_swapped_image(copy, honest=honest)
    found = prove(str(copy), samples=2)
    assert found.exit_code == 1
    assert any(line.startswith(f"{name}: aus_measured is [") for line in found.wrong)
    assert any(line.startswith(f"{name}: another image comes out; ") for line in found.wrong)
    about_rows = [line for line in found.wrong if line.startswith("sample-")]
    assert {line.partition(":")[0] for line in about_rows} == {name}
    assert any(SHARD in line for line in found.wrong) == honest


@pytest.mark.parametrize("honest", [True, False], ids=["marker kept", "marker and card rewritten"])
def test_a_changed_label_is_caught_and_named(copy, honest):
    labels, names = _column(copy, "emotion_name"), _column(copy, "sample_id")
    before = labels[5]
    labels[5] = "sad" if before != "sad" else "happy"
    _changed(copy, "emotion_name", labels, honest=honest)
    found = prove(str(copy), samples=1)
    assert found.exit_code == 1
    said = f"{names[5]}: emotion_name is '{labels[5]}'; the plan says '{before}'"
    assert [line for line in found.wrong if line.startswith("sample-")] == [said]


def test_a_changed_label_of_the_pipeline_is_caught_in_every_row(tmp_path):
    asked = ["pipeline.labels=[pose, box]", "verify={verifier: none}", "samples=12"]
    folder = _made(tmp_path / "faces", *asked)
    found = prove(str(folder), samples=0)
    assert (found.wrong, found.exit_code) == ([], 0)
    assert {part.name: part.proved for part in found.parts}["pipeline's labels"] == 12
    poses, names = _column(folder, "drawn_pose"), _column(folder, "sample_id")
    before = list(poses[6])
    poses[6][0] += 0.3
    _changed(folder, "drawn_pose", poses, honest=False)
    found = prove(str(folder), samples=0)
    shown = [", ".join(f"{value:.2f}" for value in pose) for pose in (poses[6], before)]
    said = f"{names[6]}: drawn_pose is [{shown[0]}]; the pipeline says [{shown[1]}]"
    assert (found.wrong, found.exit_code) == ([said], 1)
    for marker in (folder / ".synthgen/shards").iterdir():
        marker.write_text(marker.read_text().replace('"hardware": "CPU', '"hardware": "GPU X'))
    assert prove(str(folder), samples=0).wrong == [said]


def test_a_changed_measurement_is_caught_and_named(copy):
    values, names = _column(copy, "aus_measured"), _column(copy, "sample_id")
    values[2] = [0.0] * 12
    _changed(copy, "aus_measured", values, honest=False)
    found = prove(str(copy), samples=2)
    assert [line.partition(" is ")[0] for line in found.wrong] == [f"{names[2]}: aus_measured"]


def test_a_truncated_shard_is_caught(copy):
    data = (copy / SHARD).read_bytes()
    (copy / SHARD).write_bytes(data[: len(data) // 2])
    found = prove(str(copy), samples=2)
    assert found.exit_code == 1
    said = f"{SHARD} has {len(data) // 2} bytes; its marker says {len(data)}"
    assert found.wrong == [said]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (SHARD, f"{SHARD} is missing"),
        ("README.md", "README.md"),
        ("croissant.json", "croissant.json is missing"),
        (".synthgen/shards/train-00001.json", "the record asks for 24 samples; the shards that "),
        (".synthgen/config.yaml", "has lost .synthgen/config.yaml"),
    ],
)
def test_a_removed_file_is_caught(copy, name, said):
    (copy / name).unlink()
    found = prove(str(copy), samples=1)
    assert found.exit_code == 1
    assert any(said in line for line in found.wrong), found.wrong


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda record: record["identity"]["configuration"].update(seed=8), "differ: seed: 8 → 7"),
        (
            lambda record: record["identity"]["weights"].update(
                {"au_network.safetensors": "0" * 64}
            ),
            "yet rows come out the same with what is here",
        ),
        (
            lambda record: record["licences"].update({"au_network.safetensors": "MIT"}),
            '.synthgen/run.json says another licence: au_network.safetensors: "MIT" → "Apache-2.0"',
        ),
        (lambda record: record.update(samples=30), "the record asks for 30 samples; the shards"),
    ],
    ids=["seed", "weights", "licence", "samples"],
)
def test_a_changed_record_is_caught(copy, change, said):
    path = copy / ".synthgen/run.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    found = prove(str(copy), samples=1)
    assert found.exit_code == 1
    assert any(said in line for line in found.wrong), found.wrong


def test_a_card_of_other_data_is_caught(copy):
    card = copy / "README.md"
    card.write_text(card.read_text().replace("Data with the checksum ", "Data with the checksum 0"))
    assert prove(str(copy), samples=1).wrong == ["README.md is of other data: its checksum is none"]


def test_other_hardware_is_told_and_a_swapped_image_is_caught_all_the_same(copy):
    for marker in (copy / ".synthgen/shards").iterdir():
        marker.write_text(marker.read_text().replace('"hardware": "CPU', '"hardware": "GPU X'))
    name = _with_swapped_image(copy, honest=False)
    found = prove(str(copy), samples=24)
    assert {line.partition(":")[0] for line in found.wrong} == {name}
    assert found.exit_code == 1


def test_a_lossy_dataset_is_proved_by_what_is_made_again(tmp_path):
    folder = _made(tmp_path / "faces", "output.image_format=jpeg", "samples=8")
    found = prove(str(folder), samples=8)
    assert (found.wrong, found.exit_code) == ([], 0)
    counts = {part.name: part.proved for part in found.parts}
    assert (counts["measured again"], counts["made again"]) == (8, 8)
    values, names = _column(folder, "aus_measured"), _column(folder, "sample_id")
    values[2] = [0.0] * 12
    _changed(folder, "aus_measured", values, honest=False)
    (wrong,) = prove(str(folder), samples=8).wrong
    assert wrong.startswith(f"{names[2]}: aus_measured is [0.00, ")


def test_a_merged_dataset_sends_to_its_sources(whole, tmp_path):
    merge(Merging(sources=[str(whole)], to=str(tmp_path / "both")))
    found = prove(str(tmp_path / "both"))
    assert (found.wrong, found.exit_code) == ([], 3)
    assert found.open[0].startswith(
        f"{tmp_path / 'both'} was merged, and its rows can be made again where they come from: "
    )


def test_the_command_ends_with_the_exit_code(copy):
    runner = CliRunner()
    assert runner.invoke(app, ["prove", str(copy), "--samples", "1", "--seed", "3"]).exit_code == 0
    _with_swapped_image(copy)
    said = runner.invoke(app, ["prove", str(copy), "-n", "1"])
    assert said.exit_code == 1
    assert said.stdout.endswith(f"{copy}: something is wrong with it\n")
