from fractions import Fraction

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from samplers.identities.prompts import PromptIdentitiesConfig
from samplers.priors.independent import IndependentConfig
from synthgen.config import RunConfig, dump_config, parse_config
from synthgen.errors import ConfigError


def described(model, seen=()):
    """Yield (model, field) for every field of a section and of those below it."""
    for name, field in model.model_fields.items():
        yield model, name, field.description
        for part in [field.annotation, *getattr(field.annotation, "__args__", ())]:
            if isinstance(part, type) and issubclass(part, BaseModel) and part not in seen:
                yield from described(part, (*seen, part))


def test_every_key_is_described():
    bare = [(model.__name__, name) for model, name, text in described(RunConfig) if not text]
    assert not [entry for entry in bare if entry[1] not in ("prior", "source", "name")]


def test_the_schema_is_json(quickstart):
    schema = RunConfig.model_json_schema()
    assert set(schema["properties"]) >= set(quickstart)
    assert schema["additionalProperties"] is False


def test_a_configuration_cannot_be_changed(quickstart):
    with pytest.raises(ValidationError, match="frozen"):
        parse_config(quickstart).samples = 3


def test_shares_of_splits_are_exact(quickstart):
    assert parse_config(quickstart).output.split_shares() == {
        "train": Fraction(4, 5),
        "validation": Fraction(1, 10),
        "test": Fraction(1, 10),
    }


def test_rates_come_in_the_order_of_an_au_vector():
    config = IndependentConfig(prior="independent", aus={"AU26": {"rate": 0.2}, "AU1": {"rate": 1}})
    assert [au.rate for au in config.rates()] == [1, *[0] * 10, 0.2]


def test_slots_come_in_the_order_of_the_template():
    config = PromptIdentitiesConfig(
        source="prompts", template="{b} {a} {b}", slots={"a": ["x"], "b": {"y": 2.0}}
    )
    assert config.slot_names() == ["b", "a"]
    assert list(config.weighted_slots().items()) == [("b", {"y": 2.0}), ("a", {"x": 1.0})]


def test_a_slot_that_the_template_does_not_name_is_refused():
    with pytest.raises(ValidationError, match=r"slot 'b' is not in the template '\{a\}'"):
        PromptIdentitiesConfig(source="prompts", template="{a}", slots={"a": ["x"], "b": ["y"]})


def test_a_slot_that_is_misspelt_is_answered_with_the_one_of_the_template():
    with pytest.raises(ValidationError, match=r"slot 'har' is not in the template .*'hair'\?"):
        PromptIdentitiesConfig(
            source="prompts", template="{hair}", slots={"hair": ["a"], "har": ["b"]}
        )


def test_compiling_is_in_the_identity_only_when_it_is_asked_for(quickstart):
    pipeline = {"name": "fineface", "weights": "mini"}
    plain = parse_config({**quickstart, "pipeline": pipeline})
    compiled = parse_config({**quickstart, "pipeline": {**pipeline, "compile": True}})
    assert "compile" not in plain.identity()["pipeline"]
    assert compiled.identity()["pipeline"]["compile"] is True
    assert parse_config(yaml.safe_load(dump_config(compiled))) == compiled


def test_a_batch_size_is_a_number_or_auto(quickstart):
    pipeline = {"name": "procedural", "batch_size": "auto"}
    auto = parse_config({**quickstart, "pipeline": pipeline})
    assert parse_config(yaml.safe_load(dump_config(auto))) == auto
    with pytest.raises(ConfigError, match="no worker has tried sizes"):
        auto.pipeline.fixed_batch_size  # noqa: B018 - it raises
    assert parse_config(quickstart).pipeline.fixed_batch_size == 16
