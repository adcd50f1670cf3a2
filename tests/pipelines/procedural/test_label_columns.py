"""Exact labels of drawn faces as columns: what is said is what is painted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.procedural import LANDMARKS, identity_from_text, labels_of, random_identity, render
from pipelines.procedural.drawn_aus import aus_of_edition
from pipelines.procedural.label_columns import CONTOUR_POINTS, LABEL_COLUMNS
from pipelines.procedural.section import ProceduralConfig
from pipelines.procedural.source import ProceduralSource, photographed_again
from samplers.spec import Attempt, SampleSpec
from synthgen.action_units import ActionUnitSet
from synthgen.config import parse_config
from synthgen.errors import ConfigError

PROMPT = "a portrait of a young woman with blond hair, blue eyes and pale skin"
ALL = ["aus", "landmarks", "contour", "box", "pose", "gaze", "light"]
PLACES = {"drawn_landmarks", "drawn_contour", "drawn_box"}


def attempt(seed: int, aus: dict[str, float], edition: int = 1, prompt: str = PROMPT) -> Attempt:
    known: ActionUnitSet = aus_of_edition(edition)
    spec = SampleSpec(
        index=0, split="train", position=0, replacement=0, stratum="any",
        conditions={"aus": known.vector(aus)}, action_units=known, emotion=None,
        identity_id="identity-0", identity={}, identity_seed=31, prompt=prompt, negative_prompt="",
    )  # fmt: skip
    return Attempt(spec, 0, seed)


def source(edition: int = 1, noise: float = 0.0, size: int = 96) -> ProceduralSource:
    return ProceduralSource(
        ProceduralConfig(name="procedural", size=size, edition=edition, au_noise=noise, labels=ALL)  # pyright: ignore[reportArgumentType]
    )


@pytest.mark.parametrize("edition", [1, 2])
@pytest.mark.parametrize("noise", [0.0, 0.9])
@pytest.mark.parametrize("repeats", [False, True])
def test_labels_are_those_of_the_face_that_is_painted(edition, noise, repeats):
    drawing = source(edition, noise)
    asked = replace(attempt(7, {"AU12": 4, "AU6": 2}, edition), repeats=repeats)
    (found,) = drawing.labels([asked])
    person = identity_from_text(PROMPT, 31, edition)
    if repeats:
        person = photographed_again(person, 7)
    shown = found["drawn_aus"]
    assert len(shown) == len(aus_of_edition(edition))
    assert (shown == list(asked.spec.aus)) == (noise == 0)
    (painted,) = drawing.generate([asked])
    assert painted.tobytes() == render(person, shown, 96).tobytes()
    exact = labels_of(person, shown, 96)
    points = np.reshape(found["drawn_landmarks"], (-1, 2)).tolist()
    assert dict(zip(LANDMARKS, map(tuple, points), strict=True)) == exact.landmarks
    assert [*map(tuple, np.reshape(found["drawn_contour"], (-1, 2)).tolist())] == [*exact.contour]
    assert tuple(found["drawn_box"]) == exact.box
    assert tuple(found["drawn_pose"]) == exact.pose == (person.yaw, person.pitch, person.roll)
    assert tuple(found["drawn_gaze"]) == exact.gaze
    assert tuple(found["drawn_light"]) == exact.light


@pytest.mark.parametrize("edition", [1, 2])
def test_columns_hold_as_many_numbers_as_they_declare(edition):
    drawing = source(edition)
    (found,) = drawing.labels([attempt(1, {}, edition)])
    assert list(found) == list(drawing.columns) == list(drawing.descriptions)
    for name, feature in drawing.columns.items():
        assert len(found[name]) == feature["length"], name
        assert all(type(value) is float for value in found[name]), name
    labels = labels_of(random_identity(3, edition=edition), [0.0] * 12)
    assert tuple(labels.landmarks) == LANDMARKS
    assert len(labels.contour) == CONTOUR_POINTS
    assert drawing.only_in_data == PLACES


def test_descriptions_name_the_order():
    texts = source(2).descriptions
    assert f"one for each of {', '.join(aus_of_edition(2).names)}." in texts["drawn_aus"]
    assert ", ".join(LANDMARKS) in texts["drawn_landmarks"]
    assert "look straight ahead" not in texts["drawn_gaze"]


@pytest.mark.parametrize("edition", [1, 2])
def test_landmarks_lie_on_what_is_drawn(edition):
    """The pupil is dark, the white beside it and the cheek are not; lips are redder than skin."""
    asked = attempt(3, {"AU5": 3}, edition)
    drawing = source(edition, size=256)
    (picture,), (labels,) = drawing.generate([asked]), drawing.labels([asked])
    pixels = np.asarray(picture, float)
    points = dict(zip(LANDMARKS, np.reshape(labels["drawn_landmarks"], (-1, 2)), strict=True))

    def at(x: float, y: float) -> np.ndarray:
        return pixels[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].reshape(-1, 3).mean(0)

    skin = at(*points["nose_tip"])
    for side in ("left", "right"):
        x, y = points[f"iris_{side}"]
        darkest = pixels[int(y) - 4 : int(y) + 5, int(x) - 4 : int(x) + 5].mean(2).min()
        assert darkest < 60 < skin.mean()
        brow = at(*points[f"brow_middle_{side}"])
        assert brow.mean() < skin.mean() - 15
    lip = at(*(points["lip_lower_top"] + points["lip_lower_bottom"]) / 2)
    assert lip[0] - lip[1] > skin[0] - skin[1] + 10
    left, top, right, bottom = labels["drawn_box"]
    assert points["chin"][1] == pytest.approx(bottom, abs=6)
    assert points["eye_outer_left"][0] < points["iris_left"][0] < points["eye_inner_left"][0]
    assert points["iris_left"][0] < points["iris_right"][0]
    for x, y in points.values():
        assert left - 4 <= x <= right + 4
        assert top <= y <= bottom + 4


def test_a_section_without_labels_says_nothing_of_them():
    plain = ProceduralConfig(name="procedural")
    assert "labels" not in plain.model_dump(mode="json")
    assert ProceduralSource(plain).columns == {}
    assert ProceduralSource(plain).labels([attempt(1, {})]) == [{}]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["box", "pose", "box"], "pipeline.labels: box stands there twice"),
        (
            ["landmark"],
            "pipeline.labels.0 is 'landmark'; did you mean 'landmarks'? It must be 'aus', "
            "'landmarks', 'contour', 'box', 'pose', 'gaze' or 'light'",
        ),
    ],
)
def test_wrong_labels_are_refused(labels, said):
    values = {
        "name": "x", "seed": 1, "samples": 4, "output": {"path": "x"},
        "expressions": {"prior": "emotions", "categories": ["happy"]},
        "identities": {"source": "prompts", "template": "a man"},
        "pipeline": {"name": "procedural", "labels": labels},
    }  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        parse_config(values)
    assert str(caught.value) == f"configuration: {said}"


def test_the_page_lists_the_landmarks_in_their_order():
    page = (Path(__file__).parents[3] / "docs" / "datasets.md").read_text(encoding="utf-8")
    assert ", ".join(f"`{name}`" for name in LANDMARKS) in " ".join(page.split())
    for label, column in LABEL_COLUMNS.items():
        assert f"| `{label}` | `{column.name}` |" in page
