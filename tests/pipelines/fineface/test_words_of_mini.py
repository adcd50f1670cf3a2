import pytest

from pipelines.loading import check_values, doubts
from synthgen.config import parse_config
from synthgen.errors import ConfigError


def run(slots, weights: object = "mini"):
    template = "a portrait of a {age} man " + " ".join(f"{{{name}}}" for name in slots)
    return parse_config(
        {
            "name": "words",
            "seed": 1,
            "samples": 1,
            "output": {"path": "out"},
            "expressions": {"prior": "emotions", "categories": ["happy"]},
            "identities": {
                "source": "prompts",
                "template": template,
                "slots": {"age": ["young", "old"], **slots},
            },
            "pipeline": {"name": "fineface", "weights": weights},
        }
    )


def test_a_value_beside_known_ones_is_refused():
    with pytest.raises(ConfigError) as caught:
        check_values(run({"hair": ["black", "purple"]}))
    assert str(caught.value) == (
        "identities.slots.hair: 'purple' names nothing that the embedded models can show; among "
        "the words that do: young, middle-aged, old; man, woman; black, brown, blond, red, gray "
        "(hair); pale, light, tan, brown, dark (skin); bald, curly, long (hair); beard, "
        "moustache, glasses"
    )


def test_a_slot_of_unknown_values_is_told():
    asked = run({"gaze": ["looking left", "", "looking right"], "extra": ["", "wearing glasses"]})
    check_values(asked)
    assert doubts(asked) == [
        "identities.slots.gaze: the embedded models know none of its values ('looking left', "
        "'looking right'): rows name what images do not show"
    ]


def test_published_weights_know_every_word():
    asked = run({"hair": ["black", "purple"]}, {"base": "some/base", "fineface": "some/fineface"})
    check_values(asked)
    assert doubts(asked) == []
