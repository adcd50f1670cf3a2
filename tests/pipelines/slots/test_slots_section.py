import pytest
from tiny_slots import attributes

from pipelines.loading import check_values, doubts
from pipelines.procedural.vocabulary import TRAITS
from synthgen.config import parse_config
from synthgen.errors import ConfigError, WeightsError

SLOTS = {
    "age": ["young", "old"],
    "extra": ["", "wearing glasses"],
    "place": ["in a park", "at home"],
}
TEXTS = {"age": {"young": "a child", "old": "an old face"}}


def config(reader, of=SLOTS, template="a {age} man {extra} {place}", **check):
    return parse_config(
        {
            "name": "tiny",
            "seed": 1,
            "samples": 4,
            "output": {"path": "out"},
            "expressions": {"prior": "emotions", "categories": ["happy"]},
            "identities": {"source": "prompts", "template": template, "slots": of},
            "pipeline": {"name": "procedural"},
            "verify": {"checks": [{"name": "slots", "reader": reader, **check}]},
        }
    )


NETWORK = {"kind": "attributes", "weights": "attributes.safetensors"}
CLIP = {"kind": "clip", "model": "someone/clip"}


@pytest.mark.parametrize(
    ("said", "keys"),
    [
        (
            "configuration: verify.checks.0.slots: it names the slot 'ages'; did you mean 'age'? "
            "There are 'age', 'extra', 'place'",
            {"reader": NETWORK, "slots": ["ages"]},
        ),
        (
            "configuration: verify.checks.0.policy.refuse: it names the slot 'hair'; "
            "there are 'age', 'extra', 'place'",
            {"reader": NETWORK, "policy": {"refuse": ["hair"]}},
        ),
        (
            "configuration: verify.checks.0.policy.refuse: it names the slot 'extra', which slots "
            "does not name",
            {"reader": NETWORK, "slots": ["age"], "policy": {"refuse": ["extra"]}},
        ),
        (
            "configuration: verify.checks.0.policy: min_probability bounds the slots that refuse "
            "names, and it names none; set refuse, such as [glasses]",
            {"reader": NETWORK, "policy": {"min_probability": 0.5}},
        ),
        (
            "configuration: verify.checks.0.reader: template 'a face' must name {value}",
            {"reader": {**CLIP, "template": "a face"}},
        ),
        (
            "configuration: verify.checks.0.reader.texts: it has sentences for 'young' of the slot "
            "'age'; it must have one for each of its values: 'young', 'old'",
            {"reader": {**CLIP, "texts": {"age": {"young": "a child"}}}},
        ),
        (
            "configuration: verify.checks.0: it compares images with slots of identities, and "
            "identities.slots has none; leave the check out, or give the template slots",
            {"reader": NETWORK, "template": "a man", "of": {}},
        ),
    ],
)
def test_what_does_not_fit_ends_in_one_sentence(said, keys):
    with pytest.raises(ConfigError) as caught:
        config(**keys)
    assert str(caught.value) == said


def test_slots_that_a_reader_cannot_judge_are_told(tmp_path):
    file = attributes(tmp_path / "a.safetensors", {}, {"age": TRAITS["age"]})
    reader = {"kind": "attributes", "weights": str(file)}
    run = config(reader)
    (check,) = run.verify.checks
    assert check.judged(run) == ["age"]
    assert check.doubts(run) == [
        "the check slots does not judge the slot 'extra': its values name no trait that the "
        "network reads",
        "the check slots does not judge the slot 'place': its values name no trait that the "
        "network reads",
    ]
    assert doubts(run) == check.doubts(run)
    asked = config(reader, policy={"refuse": ["extra"]})
    with pytest.raises(ConfigError) as caught:
        asked.verify.checks[0].check_values(asked)
    assert str(caught.value) == (
        "the check slots cannot judge the slot 'extra' by attributes: its values name no trait "
        "that the network reads; it can judge 'age'"
    )


def test_a_reader_that_can_judge_nothing_is_refused():
    run = config(CLIP, {"age": ["old"]}, "an {age} man")
    with pytest.raises(ConfigError) as caught:
        check_values(run)
    assert str(caught.value) == (
        "the check slots can judge none of the slots 'age' by clip: it has one value, and nothing "
        "to tell it from; leave the check out"
    )


def test_a_missing_file_is_told_with_what_makes_it(tmp_path):
    run = config({"kind": "attributes", "weights": str(tmp_path / "a.safetensors")})
    (check,) = run.verify.checks
    assert check.judged(run) == ["age", "extra"]
    with pytest.raises(WeightsError) as caught:
        check.find_weights(False)
    assert str(caught.value) == (
        f"attribute network {tmp_path}/a.safetensors does not exist; `synthgen train attributes "
        "CONFIG --to FOLDER` makes one"
    )


def test_weights_are_found_without_torch(tmp_path):
    file = attributes(tmp_path / "a.safetensors", {})
    (check,) = config({"kind": "attributes", "weights": str(file)}).verify.checks
    found = check.find_weights(False)
    assert found.licences == {"a.safetensors": "free"}
    assert found.bytes > 0
    assert check.local_paths() == [str(file)]
    assert check.knows == "knows drawn faces and those of the embedded model alone"


def test_it_is_stored_as_it_is_said():
    run = config({**CLIP, "texts": TEXTS}, policy={"refuse": ["age"]})
    again = parse_config(run.model_dump(mode="json"))
    assert again.verify == run.verify
    assert again.verify.checks[0].reader.texts == TEXTS
