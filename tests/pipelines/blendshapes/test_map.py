"""The map from blendshapes to AUs: its file, its sides, and the fit."""

import json
import math

import numpy as np
import pytest
from made_reader import MadeReader, write_map
from PIL import Image

from pipelines.blendshapes.fitted_map import (
    DRAWN_FILE,
    SIDE_NAMES,
    SIDES,
    UPPER_FACE,
    feature_names,
    load_map,
    side_features,
    side_values,
    tells,
)
from pipelines.blendshapes.landmarker import BLENDSHAPES, head_pose
from pipelines.blendshapes.section import BlendshapesCheck
from pipelines.training.blendshape_map import BlendshapeMapConfig, fit, fitted_content
from synthgen.action_units import AUS, FACS
from synthgen.errors import WeightsError


def shapes(**values):
    """Return the blendshapes of one face."""
    return np.array([[values.get(name, 0.0) for name in BLENDSHAPES]])


def test_a_side_is_told_by_its_own_blendshapes_and_those_in_the_middle():
    assert len(BLENDSHAPES) == len(set(BLENDSHAPES)) == 52
    face = shapes(mouthSmileLeft=0.25, mouthSmileRight=0.5, jawOpen=0.125, eyeLookInLeft=1)
    left, right = (dict(zip(SIDE_NAMES, side_values(face, side)[0], strict=True)) for side in SIDES)
    assert (left["mouthSmile"], right["mouthSmile"]) == (0.25, 0.5)
    assert left["jawOpen"] == right["jawOpen"] == 0.125
    assert not {"eyeLookIn", "_neutral", "jaw", "mouth"} & set(left)
    highest = np.full(len(SIDE_NAMES), 0.36)
    found = side_features(side_values(face, "Right"), highest)[0]
    told = dict(zip(feature_names(), found, strict=True))
    assert told["mouthSmile"] == 0.36  # no more than in any face of the fit
    assert told["mouthSmile^0.5"] == pytest.approx(0.6)


def test_the_upper_face_tells_no_mouth_and_the_mouth_no_brow():
    kinds = np.array(feature_names())
    assert {name[:3] for name in kinds[tells("AU4")]} == {"bro", "eye"}
    assert {name[:3] for name in kinds[tells("AU12")]} == {"che", "jaw", "mou", "nos"}
    assert set(FACS) > UPPER_FACE


def test_a_mirrored_face_gives_mirrored_numbers():
    fitted = load_map("drawn")
    place = fitted.aus.index("AU12")
    one = fitted.by_side(shapes(mouthSmileLeft=0.9, mouthSmileRight=0.1))[:, 0]
    other = fitted.by_side(shapes(mouthSmileLeft=0.1, mouthSmileRight=0.9))[:, 0]
    assert np.array_equal(one, other[::-1])
    assert one[0, place] > one[1, place] + 1
    assert 0 <= one.min() <= one.max() <= 5


def test_the_published_map_is_its_own_card_and_leaves_out_what_it_cannot_see():
    card = json.loads(DRAWN_FILE.read_text())
    assert list(card["aus"]) == list(AUS)
    assert card["faces"] == {"drawn": 4000, "found": 4000}
    assert list(card["landmarker"]) == ["face_landmarker.task"]
    fitted = load_map("drawn")
    assert fitted.licence == "Apache-2.0"
    usual = BlendshapesCheck.model_fields["least_r"].default
    assert set(AUS) - fitted.visible(usual) == {"AU4", "AU9", "AU17"}
    assert fitted.r["AU9"] < 0.3
    assert fitted.visible(0.9) == {"AU25"}


def test_a_file_that_is_no_map_is_refused(tmp_path):
    with pytest.raises(WeightsError) as caught:
        load_map(str(tmp_path / "gone.json"))
    assert str(caught.value) == f"map {tmp_path}/gone.json does not exist"
    for text in ("{}", "no json", '{"aus": {"AU99": {}}}', '{"aus": {}}', "[1]"):
        (tmp_path / "odd.json").write_text(text)
        with pytest.raises(WeightsError) as caught:
            load_map(str(tmp_path / "odd.json"))
        assert str(caught.value) == (
            f"{tmp_path}/odd.json is no map of blendshapes; `synthgen train blendshape-map` makes "
            "one"
        )
    file = write_map(tmp_path / "nan.json", highest=dict.fromkeys(SIDE_NAMES, math.nan))
    with pytest.raises(WeightsError, match=r"nan\.json holds numbers that are not finite$"):
        load_map(str(file))


def test_a_fit_finds_the_intensities_that_made_the_blendshapes(tmp_path):
    rng = np.random.default_rng(0)
    drawn = rng.uniform(0, 5, (200, 3)) * (rng.random((200, 3)) < 0.6)
    faces = np.concatenate(
        [
            shapes(
                mouthSmileLeft=(smile / 5) ** 2,
                mouthSmileRight=(smile / 5) ** 2,
                jawOpen=jaw / 5,
                cheekPuff=0.04 * smile / 5,
                eyeSquintLeft=rng.random(),
                eyeSquintRight=rng.random(),
            )
            for smile, jaw, _ in drawn
        ]
    ).astype(np.float32)
    content = fit(faces, drawn, np.arange(200) // 4, ("AU12", "AU26", "AU9"), 0)
    assert content["aus"]["AU12"]["r"] > 0.99
    assert content["aus"]["AU26"]["r"] > 0.99
    assert abs(content["aus"]["AU9"]["r"]) < 0.3  # nothing tells it
    assert content["highest"]["cheekPuff"] == 0  # as good as dead
    (tmp_path / "map.json").write_text(json.dumps(content))
    fitted = load_map(str(tmp_path / "map.json"))
    assert fitted.visible(0.65) == {"AU12", "AU26"}
    smile = fitted.by_side(shapes(mouthSmileLeft=0.64, mouthSmileRight=0.04))[:, 0, 0]
    assert smile == pytest.approx([4, 1], abs=0.3)


def test_a_map_is_fitted_to_drawn_people_of_its_own():
    class Reader(MadeReader):
        def read(self, image):
            assert image.size == (64, 64)
            return super().read(Image.new("RGB", (1, 1), image.getpixel((32, 44))))

    settings = BlendshapeMapConfig.model_validate(
        {"seed": 1, "landmarker": "x", "people": 10, "pictures": 2, "size": 64,
         "expressions": [{"share": 1, "rate": 0.5}]}
    )  # fmt: skip
    content = fitted_content(settings, Reader())
    assert content["faces"] == {"drawn": 20, "found": 20}
    assert content["data"] == "procedural faces: 10 drawn people, 2 pictures of each"
    assert content["configuration"]["people"] == 10
    assert "landmarker" not in content["configuration"]
    assert content["landmarker"] == Reader().files
    assert content == fitted_content(settings, Reader())


def test_a_reader_that_finds_no_face_makes_no_map():
    class Blind(MadeReader):
        def read(self, image):
            return None

    settings = BlendshapeMapConfig.model_validate(
        {"seed": 1, "landmarker": "x", "people": 10, "pictures": 1, "size": 64,
         "expressions": [{"share": 1, "rate": 0.5}]}
    )  # fmt: skip
    with pytest.raises(WeightsError) as caught:
        fitted_content(settings, Blind())
    assert str(caught.value) == (
        "face_landmarker.task finds 0 faces in 10 drawn ones; a map needs 20 at least"
    )


@pytest.mark.parametrize("angles", [(20, 0, 0), (0, -15, 0), (0, 0, 8), (-30, 12, -5)])
def test_pose_is_read_from_a_rotation(angles):
    yaw, pitch, roll = np.radians(angles)
    about_y = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
    about_x = [[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]]
    about_z = [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
    rotation = np.array(about_y) @ np.array(about_x) @ np.array(about_z)
    assert head_pose(rotation) == pytest.approx(angles)
    forward = rotation @ [0, 0, 1]
    assert np.sign(forward[0]) == np.sign(angles[0])
    assert np.sign(forward[1].round(9)) == np.sign(angles[1])
