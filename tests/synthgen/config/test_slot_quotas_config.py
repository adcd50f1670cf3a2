import pytest

from synthgen.config import parse_config
from synthgen.errors import ConfigError


def config(quotas):
    return parse_config(
        {
            "name": "test",
            "seed": 1,
            "samples": 4,
            "output": {"path": "out"},
            "expressions": {"prior": "emotions", "categories": ["happy"]},
            "identities": {
                "source": "prompts",
                "template": "a {age} {person}",
                "slots": {"age": ["young", "old"], "person": {"man": 1.0, "woman": 2.0}},
                "quotas": quotas,
            },
            "pipeline": {"name": "procedural"},
        }
    )


@pytest.mark.parametrize(
    ("quotas", "message"),
    [
        ({"hair": {"red": 1}}, "quotas name the slot 'hair'; there are age, person"),
        (
            {"persons": {"man": 1}},
            "quotas name the slot 'persons'; did you mean 'person'? There are age, person",
        ),
        (
            {"age": {"yuong": 0.5}},
            "quotas.age has the value 'yuong'; did you mean 'young'? There are 'young', 'old'",
        ),
        ({"age": {"ancient": 0.5}}, "quotas.age has the value 'ancient'; there are 'young', 'old'"),
        (
            {"person": {"man": 0.5, "woman": 0.3}},
            "the shares of quotas.person add up to 0.8; they must add up to 1",
        ),
        (
            {"person": {"man": 0.9, "woman": 0.3}},
            "the shares of quotas.person add up to 1.2; at most 1 is possible",
        ),
    ],
)
def test_what_cannot_be_is_refused(quotas, message):
    with pytest.raises(ConfigError) as caught:
        config(quotas)
    assert str(caught.value) == f"configuration: identities: {message}"


def test_what_is_left_goes_to_the_other_values():
    assert config({"age": {"old": 0.2}}).identities.quotas == {"age": {"old": 0.2}}
