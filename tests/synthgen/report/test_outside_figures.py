"""`synthgen report --outside`: stored figures of judges from outside, of exactly this data."""

import json
import math
from pathlib import Path

import pytest
from commands import run

from pipelines.evaluation.outside import read_outside
from synthgen.dataset import Storage, read_statistics
from synthgen.errors import ConfigError

EXAMPLE = Path(__file__).parents[3] / "examples" / "drawn-faces.yaml"
JUDGE = {"judge": "mediapipe 0.10.21", "files": {"face_landmarker.task": "ab"}, "images": 7}
AU12 = {"blendshapes": ["mouthSmileLeft"], "asked": 3, "own": 0.9, "ridge": None}


def figures(checksum, **changes):
    return {
        "command": "synthgen evaluate outside faces",
        "name": "drawn-faces",
        "checksum": checksum,
        "images": 7,
        "accepted": 7,
        "seed": 0,
        "expressions": {**JUDGE, "faces": 6, "aus": {"AU12": AU12}},
        "people": None,
        **changes,
    }


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces") / "faces"
    keys = ["samples=7", "verify={verifier: none}", f"output.path={folder}"]
    sets = [word for key in keys for word in ("--set", key)]
    code, _, complaints = run("generate", EXAMPLE, "--executor", "inline", *sets)
    assert code == 0, complaints
    return folder


def test_the_report_shows_figures_of_this_data(faces, tmp_path):
    file = tmp_path / "outside.json"
    file.write_text(json.dumps(figures(read_statistics(Storage(str(faces))).checksum)))
    code, said, complaints = run("report", faces, "--outside", file)
    assert (code, complaints) == (0, "")
    assert "\n\njudged from outside: 7 of 7 accepted images\n\n## Expressions, read by" in said
    assert "| AU12 | lip corner puller | 3 | mouthSmileLeft | 0.90 | – |" in said
    assert run("report", faces)[1] in said


def test_figures_of_other_data_are_refused(faces, tmp_path):
    file = tmp_path / "outside.json"
    file.write_text(json.dumps(figures("0123456789abcdef")))
    mine = read_statistics(Storage(str(faces))).checksum
    assert run("report", faces, "--outside", file) == (
        2,
        "",
        f"error: {file} judges data with the checksum '0123456789abcdef'; that of this dataset is "
        f"{mine!r}: judge it by `synthgen evaluate outside`\n",
    )


def test_null_is_no_number(tmp_path):
    file = tmp_path / "outside.json"
    file.write_text(json.dumps(figures("ab")))
    found = read_outside(file, "ab")
    assert found.people is None
    assert math.isnan(found.expressions.aus["AU12"].ridge)
    assert found.expressions.aus["AU12"].own == 0.9


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        json.dumps(figures("ab", images="many")),
        json.dumps(figures("ab", expressions={**JUDGE, "faces": 6, "aus": {"AU99": AU12}})),
    ],
)
def test_other_files_are_refused(tmp_path, text):
    file = tmp_path / "outside.json"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_outside(file, "ab")
    assert str(caught.value).startswith(
        f"{file} does not hold what `synthgen evaluate outside` writes beside its page ("
    )


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"the file of figures .*outside\.json does not exist"):
        read_outside(tmp_path / "outside.json", "ab")
