"""Columns that a run's pipeline gives with its images."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import ray
from datasets import load_dataset
from PIL import Image

from cluster.driver import generate
from cluster.worker import Worker
from pipelines.interfaces import Verifier
from pipelines.policy import Verdict
from pipelines.procedural import LANDMARKS, labels_of
from pipelines.procedural.source import ProceduralSource
from samplers.plan import build_plan
from synthgen.config import CheckSection, parse_config
from synthgen.dataset import Storage, inspect_dataset, read_record
from synthgen.dataset.exporting import Exporting, export
from synthgen.dataset.merging import Merging, merge
from synthgen.dataset.schema import image_feature, value_feature, vector_feature
from synthgen.errors import ConfigError
from synthgen.report.reproduction import reproduce

ALL = ["aus", "landmarks", "contour", "box", "pose", "gaze", "light"]
SMALL = {"size": 64, "labels": ALL}


@pytest.fixture
def make(make_config):
    """Return a function that builds the small run without checks, or with others."""

    def make_run(folder="out", verify=None, **changes):
        pipeline = {"size": 64, **changes.pop("pipeline", {})}
        stored = make_config(folder, pipeline=pipeline, **changes).model_dump(mode="json")
        return parse_config({**stored, "verify": verify or {"verifier": "none"}})

    return make_run


def rows_of(config):
    return [row for split in load_dataset(config.output.path).values() for row in split]


def rejects_of(config):
    files = sorted(Path(config.output.path).glob("rejects/*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def attempt_of(config, row):
    plan = build_plan(config)
    spec = plan.sample(plan.find(row["sample_id"]), row["replacement"])
    return plan.attempt(spec, row["attempt"])


def test_rows_hold_the_labels_of_what_was_painted(make_config):
    noisy = {"labels": ALL, "au_noise": 1.5}
    config = make_config(samples=8, pipeline=noisy, verify={"on_exhausted": "drop"})
    generate(config, "inline")
    drawing = ProceduralSource(config.pipeline)
    rows = rows_of(config)
    assert rows
    for row in rows:
        person, aus = drawing._shown(attempt_of(config, row))
        exact = labels_of(person, aus, 128)
        assert row["drawn_aus"] == pytest.approx(aus, abs=1e-5)
        assert row["drawn_aus"] != pytest.approx(row["aus"], abs=1e-3)
        points = np.reshape(row["drawn_landmarks"], (-1, 2))
        assert points == pytest.approx(np.array([exact.landmarks[name] for name in LANDMARKS]))
        assert row["drawn_box"] == pytest.approx(exact.box)
        assert row["drawn_pose"] == pytest.approx(exact.pose)
    rejects = rejects_of(config)
    assert rejects
    assert {"drawn_aus", "drawn_pose"} <= rejects[0].keys()
    assert not {"drawn_landmarks", "drawn_contour", "drawn_box"} & rejects[0].keys()
    again = rejects[0]
    assert again["drawn_aus"] == pytest.approx(drawing._shown(attempt_of(config, again))[1])
    found = reproduce(
        config.output.path, again["sample_id"], None, again["attempt"], again["replacement"]
    )
    assert found.same
    assert inspect_dataset(config.output.path).problems == ()


def test_an_expression_that_a_person_shows_again_has_its_own_pose(make):
    neutral = {"prior": "emotions", "categories": ["neutral"]}
    config = make(samples=8, pipeline={**SMALL, "au_noise": 0.0}, expressions=neutral)
    generate(config, "inline")
    poses = {}
    for row in rows_of(config):
        poses.setdefault(row["identity_id"], set()).add(tuple(row["drawn_pose"]))
    assert [len(found) for found in poses.values()] == [4, 4]


def test_the_record_and_the_card_say_whose_columns_they_are(make):
    config = make(pipeline={"labels": ["pose", "box"]}, samples=8)
    generate(config, "inline")
    storage = Storage(config.output.path)
    columns = read_record(storage).schema.columns
    assert [(column.name, column.of, column.by_pipeline) for column in columns] == [
        ("drawn_pose", "procedural", True),
        ("drawn_box", "procedural", True),
    ]
    pose = (
        "Turn of the head in radians: yaw (to the right of the image), pitch (down), roll "
        "(clockwise)."
    )
    card = storage.read("README.md").decode()
    assert f"| `drawn_pose` | procedural | {pose} |" in card
    assert "| further column | measured by |" not in card
    croissant = json.loads(storage.read("croissant.json"))
    (default,) = [each for each in croissant["recordSet"] if each["@id"] == "default"]
    fields = {field["name"]: field.get("description") for field in default["field"]}
    assert fields["drawn_pose"] == pose


def test_a_run_without_labels_is_stored_as_before(make):
    config = make(samples=8)
    generate(config, "inline")
    folder = Path(config.output.path)
    record = read_record(Storage(config.output.path))
    assert "labels" not in record.configuration["pipeline"]
    text = (folder / ".synthgen" / "run.json").read_text()
    assert "by_pipeline" not in text
    assert "description" not in text
    assert "Labels of the pipeline" not in (folder / "README.md").read_text()


def test_a_longer_run_goes_on_and_datasets_with_and_without_are_merged(make, tmp_path):
    config = make("with", pipeline=SMALL, samples=12)
    generate(config, "inline")
    before = {row["sample_id"]: row["drawn_box"] for row in rows_of(config)}
    longer = make("with", pipeline=SMALL, samples=24)
    generate(longer, "inline")
    after = {row["sample_id"]: row["drawn_box"] for row in rows_of(longer)}
    assert len(after) == 24
    assert before.items() <= after.items()
    plain = make("without", samples=8, seed=6)
    generate(plain, "inline")
    merge(Merging(sources=[longer.output.path, plain.output.path], to=str(tmp_path / "both")))
    splits = load_dataset(str(tmp_path / "both"))
    rows = [row for split in splits.values() for row in split]
    assert len(rows) == 32
    found = {row["sample_id"]: row["drawn_box"] for row in rows}
    assert {name: found[name] for name in after} == after
    assert sum(box == [None] * 4 for box in found.values()) == 8


def test_labels_are_exported(make, tmp_path):
    config = make(pipeline=SMALL, samples=8)
    generate(config, "inline")
    export(Exporting(dataset=config.output.path, to=str(tmp_path / "coco"), form="coco"))
    boxes = {row["sample_id"]: row["drawn_box"] for row in rows_of(config)}
    found = {}
    for path in (tmp_path / "coco").rglob("*.json"):
        for image in json.loads(path.read_text()).get("annotations", []):
            found[image["attributes"]["sample_id"]] = image["attributes"]["drawn_box"]
    assert found == boxes


@pytest.mark.ray
@pytest.mark.slow  # two starts of Ray; test_generate_ray compares rows of all other kinds
def test_two_actors_give_the_bytes_of_the_inline_run(make, digests):
    inline = make("inline", pipeline=SMALL)
    spread = make("ray", pipeline=SMALL, cluster={"actors": 2})
    generate(inline, "inline")
    ray.init(address="local", num_cpus=2, log_to_driver=False, include_dashboard=False)
    try:
        generate(spread, "ray")
    finally:
        ray.shutdown()
    assert digests(inline) == digests(spread)


class Telling(ProceduralSource):
    """A source of a column of its own."""

    said = staticmethod(lambda attempts: [{"noise": attempt.number} for attempt in attempts])
    columns = {"noise": value_feature("int32")}  # noqa: RUF012
    only_in_data = frozenset()
    descriptions = {}  # noqa: RUF012

    def labels(self, attempts):
        return self.said(attempts)


class Light(Verifier):
    """Keeps images whose pipeline says that they are of a second attempt."""

    columns = {"light": value_feature("float32")}  # noqa: RUF012

    def measure(self, images, specs):
        return [{"light": 1.0} for _ in images]

    def verdict_beside(self, spec, measured, others):
        if others["noise"] == 1:
            return Verdict.accept()
        return Verdict.reject("early", "it is a first attempt")


class LightCheck(CheckSection):
    """The section of the check."""

    def load(self, device, run):
        return Light()


def telling(**changes):
    """Return a loader of a worker whose source has other attributes."""

    def load(config, plan):
        source = type("Told", (Telling,), changes)(config.pipeline)
        checks = [section.load("cpu", config) for section in config.verify.checks]
        return Worker(config, plan, source, checks, Storage(config.output.path))

    return load


@pytest.fixture
def small(make):
    return make(samples=8)


def test_a_check_is_told_what_the_pipeline_says(make):
    config = make(samples=8, verify={"checks": [f"{__name__}:LightCheck"], "max_attempts": 3})
    generate(config, "inline", load=telling())
    assert {(row["attempt"], row["noise"]) for row in rows_of(config)} == {(1, 1)}
    assert {(row["attempt"], row["noise"]) for row in rejects_of(config)} == {(0, 0)}


def test_blank_images_keep_the_labels_in_their_rejects(small):
    blank = telling(generate=lambda self, attempts: [Image.new("RGB", (64, 64)) for _ in attempts])
    summary = generate(small, "inline", load=blank)
    assert summary.rows == 0
    rejects = rejects_of(small)
    assert rejects
    assert all(row["noise"] == row["attempt"] for row in rejects)


def test_a_pipeline_may_give_pictures(small):
    mask = {"mask": image_feature()}
    given = Image.new("L", (4, 4), 7)
    said = staticmethod(lambda attempts: [{"mask": _png(given)} for _ in attempts])
    load = telling(columns=mask, said=said)
    generate(small, "inline", load=load)
    assert {row["mask"].getpixel((0, 0)) for row in rows_of(small)} == {7}


def _png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


TWO = {"two": vector_feature(2)}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"said": staticmethod(lambda attempts: [{"noise": 1}] * (len(attempts) - 1))},
            "the pipeline 'procedural' gave labels of 4 attempts of 5; its image source must "
            "return one mapping for each",
        ),
        (
            {"said": staticmethod(lambda attempts: [{}] * len(attempts))},
            "the pipeline 'procedural' gives {first} no value of its column 'noise'; where there "
            "is none, it is None",
        ),
        (
            {
                "columns": TWO,
                "said": staticmethod(lambda attempts: [{"two": [1.0]} for _ in attempts]),
            },
            "the pipeline 'procedural' gives {first} 1 values in its column 'two', which was "
            "declared to hold 2",
        ),
        (
            {"columns": {"aus_measured": vector_feature(12)}},
            "the pipeline 'procedural' declares the column 'aus_measured', which holds what checks "
            "measure or a run is given; it must have another name",
        ),
        (
            {"columns": {"image": image_feature()}},
            "'procedural' declares the column 'image', which is a dataset's own; it must have "
            "another name",
        ),
    ],
    ids=["too few", "no value", "too short", "measured", "core"],
)
def test_a_source_that_breaks_its_word_is_refused(small, changes, said):
    with pytest.raises(ConfigError) as caught:
        generate(small, "inline", load=telling(**changes))
    plan = build_plan(small)
    first = next(iter(plan.specs("train", 0, 1))).sample_id
    assert str(caught.value) in {
        said.format(first=first),
        said.format(first=next(iter(plan.specs("test", 0, 1))).sample_id),
    }


def test_a_column_of_source_and_check_is_refused(make):
    config = make(samples=8, verify={"checks": [f"{__name__}:LightCheck"]})
    with pytest.raises(ConfigError) as caught:
        generate(config, "inline", load=telling(columns={"light": value_feature("float32")}))
    assert str(caught.value) == (
        "'procedural' and 'Light' both declare the column 'light'; leave one of them out of "
        "verify.checks"
    )


def test_a_column_without_a_value_is_null(small):
    load = telling(
        columns=TWO, said=staticmethod(lambda attempts: [{"two": None} for _ in attempts])
    )
    generate(small, "inline", load=load)
    assert {tuple(row["two"]) for row in rows_of(small)} == {(None, None)}
