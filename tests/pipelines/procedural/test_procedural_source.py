"""The image source of drawn portraits."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.procedural import (
    DRAWN_AUS,
    RENDERER_VERSION,
    Expression,
    identity_from_text,
    render,
    renderer_version,
)
from pipelines.procedural.section import ProceduralConfig
from pipelines.procedural.source import ProceduralSource, noisy_aus
from pipelines.procedural.vocabulary import refuse_unknown_values, unknown_values
from samplers.spec import Attempt, SampleSpec
from synthgen.errors import ConfigError

PROMPT = "a portrait of a old woman with gray hair and dark skin "
HAPPY = (0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 4.0, 0.0, 0.0, 0.0, 2.0, 0.0)


def attempt(seed: int = 5, aus: tuple[float, ...] = HAPPY) -> Attempt:
    spec = SampleSpec(
        index=0, split="train", position=0, replacement=0, stratum="happy",
        conditions={"aus": aus}, emotion="happy", identity_id="identity-0", identity={},
        identity_seed=9, prompt=PROMPT, negative_prompt="",
    )  # fmt: skip
    return Attempt(spec, 0, seed)


def source(noise: float, size: int = 96) -> ProceduralSource:
    return ProceduralSource(ProceduralConfig(name="procedural", size=size, au_noise=noise))


def test_without_noise_the_request_is_shown():
    image = source(0.0).generate([attempt()])[0]
    assert image.size == (96, 96)
    assert image.tobytes() == render(identity_from_text(PROMPT, 9), HAPPY, 96).tobytes()


@pytest.mark.parametrize("size", [64, 128])
def test_an_expression_shown_again_is_another_picture_of_the_same_face(size):
    again = [replace(attempt(seed), repeats=True) for seed in range(12)]
    pictures = source(0.0, size).generate([attempt(), *again])
    assert len({picture.tobytes() for picture in pictures}) == 13
    first = np.asarray(pictures[0], np.int16)
    for picture in pictures[1:]:
        assert 0.3 < np.abs(np.asarray(picture, np.int16) - first).mean() < 12
    assert source(0.0, size).generate([again[3]])[0].tobytes() == pictures[4].tobytes()


def test_an_image_depends_on_its_attempt_alone():
    alone = [source(0.6).generate([attempt(seed)])[0].tobytes() for seed in (1, 2, 3)]
    bulk = [
        image.tobytes() for image in source(0.6).generate([attempt(seed) for seed in (1, 2, 3)])
    ]
    assert alone == bulk
    assert len(set(bulk)) == 3


def test_noise_spares_the_range_and_is_smaller_where_nothing_was_asked_for():
    shown = np.array([noisy_aus(HAPPY, 0.6, seed) for seed in range(2000)])
    asked = np.array(HAPPY) > 0
    assert shown.min() >= 0
    assert shown.max() <= 5
    assert shown[:, 6].std() == pytest.approx(0.55, abs=0.06)
    assert shown[:, ~asked].mean() == pytest.approx(0.6 * 0.35 * np.sqrt(2 / np.pi), rel=0.05)


def test_requests_outside_the_range_are_not_pulled_back():
    request = (0.0,) * 6 + (7.0, -3.0) + (0.0,) * 4
    shown = noisy_aus(request, 0.1, 4)
    assert shown[6] > 5
    assert shown[7] < 0


def test_the_fingerprint_names_what_the_pixels_depend_on():
    found = source(0.0).fingerprint()
    assert found["weights"] == {}
    assert found["licences"] == {}
    assert set(found["versions"]) == {"skia-python", "numpy", "pillow", "procedural-renderer"}
    assert found["versions"]["procedural-renderer"] == RENDERER_VERSION


def test_slot_values_that_name_traits_are_taken():
    slots = {
        "age": ["young", "middle-aged", "old"],
        "person": ["man", "woman"],
        "hair": ["black", "brown", "blond", "red", "gray"],
        "skin": ["pale", "light", "tan", "brown", "dark"],
        "extra": ["", "wearing glasses"],
    }
    assert unknown_values(slots) == {}


def test_slot_values_that_name_nothing_are_refused():
    with pytest.raises(ConfigError) as refused:
        refuse_unknown_values(unknown_values({"place": ["", "in a park"]}), "procedural faces")
    assert str(refused.value) == (
        "identities.slots.place: 'in a park' names nothing that procedural faces can show; "
        "among the words that do: young, middle-aged, old; man, woman; black, brown, blond, red, "
        "gray (hair); pale, light, tan, brown, dark (skin); bald, curly, long (hair); beard, "
        "moustache, glasses"
    )


def test_the_second_edition_shows_aus_that_the_first_has_not():
    asked = {"AU4": 3.0, "AU7": 4.0, "AU23": 3.0}
    spec = replace(
        attempt().spec, action_units=DRAWN_AUS, conditions={"aus": DRAWN_AUS.vector(asked)}
    )
    config = ProceduralConfig(name="procedural", size=96, edition=2)
    image = ProceduralSource(config).generate([Attempt(spec, 0, 5)])[0]
    person = identity_from_text(PROMPT, 9, edition=2)
    assert image.tobytes() == render(person, Expression.of(asked), 96).tobytes()
    assert config.action_units == frozenset(DRAWN_AUS.names)
    versions = ProceduralSource(config).fingerprint()["versions"]
    assert versions["procedural-renderer"] == renderer_version(2) != RENDERER_VERSION


def test_the_first_edition_is_not_stored():
    assert "edition" not in ProceduralConfig(name="procedural").model_dump()
    assert ProceduralConfig(name="procedural", edition=2).model_dump()["edition"] == 2
