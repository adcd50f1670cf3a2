import pytest
import yaml

from synthgen.config import dump_config, load_config, load_expressions, parse_config
from synthgen.errors import ConfigError


def refused(path, *overrides):
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return str(caught.value)


def test_the_example_is_read(quickstart_path):
    config = load_config(quickstart_path)
    assert (config.name, config.seed, config.samples) == ("mini-faces", 7, 240)


def test_a_resolved_configuration_is_read_back_equal(quickstart_path):
    config = load_config(quickstart_path)
    assert parse_config(yaml.safe_load(dump_config(config))) == config


def test_the_embedded_weights_are_named_by_one_word(quickstart):
    quickstart["pipeline"] = {"name": "fineface", "weights": "mini"}
    config = parse_config(quickstart)
    assert config.pipeline.weights == "mini"
    assert parse_config(yaml.safe_load(dump_config(config))) == config


def test_guidance_is_that_of_the_weights_unless_said_otherwise(quickstart):
    elsewhere = {"base": "mini", "fineface": "out/fineface"}
    for pipeline, guidance in [
        ({"weights": "mini"}, 1.2),
        ({"weights": "mini", "guidance_scale": 3.5}, 3.5),
        ({"weights": elsewhere}, 7.5),
    ]:
        quickstart["pipeline"] = {"name": "fineface", **pipeline}
        assert parse_config(quickstart).pipeline.guidance_scale == guidance


def test_overrides_are_applied_in_order(quickstart_path):
    config = load_config(
        quickstart_path,
        ["samples=6", "pipeline.batch_size=8", "samples=12", "verify.policy.min_active=null",
         "identities.slots.age=[young, old]", "verify.policy.max_inactive=1e-1"],
    )  # fmt: skip
    assert (config.samples, config.pipeline.batch_size) == (12, 8)
    assert config.verify.checks[0].policy.min_active is None
    assert config.verify.checks[0].policy.max_inactive == 0.1
    assert config.identities.slots["age"] == ["young", "old"]


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("samples", "--set 'samples' must look like pipeline.batch_size=8"),
        ("=3", "--set '=3' must look like pipeline.batch_size=8"),
        (
            "samples=[",
            "--set 'samples=[': line 2, column 1: not YAML: did not find expected node content",
        ),
        ("seed.x=1", "--set seed.x: seed is 7, it has no keys below"),
    ],
)
def test_a_wrong_override_is_refused(quickstart_path, override, sentence):
    assert refused(quickstart_path, override) == sentence


def test_an_override_with_an_unknown_key_is_refused(quickstart_path):
    assert refused(quickstart_path, "pipeline.bath=3") == (
        "--set pipeline.bath=3: unknown key pipeline.bath; did you mean 'batch_size'? There are "
        "batch_size, threads, scheduler, num_inference_steps, guidance_scale, "
        "text_guidance_scale, au_scale, height, width, dtype, long_prompts, au_start and 4 more"
    )


def test_a_section_that_an_override_begins_is_blamed_on_it(quickstart_path):
    assert refused(quickstart_path, "pipelin.bath=3").startswith(
        "--set pipelin.bath=3: unknown key pipelin; did you mean 'pipeline'? There are name, seed, "
    )


def test_the_file_is_blamed_for_its_own_mistake_beside_an_override(quickstart_path, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(f"{quickstart_path.read_text()}\nsampels: 3\n")
    said = refused(path, "pipeline.batch_size=2")
    assert said.startswith(f"{path}: line ")
    assert ": unknown key sampels; did you mean 'samples'? There are name, " in said


def test_a_missing_file_is_refused(tmp_path):
    path = tmp_path / "none.yaml"
    assert refused(path) == f"the configuration {path} does not exist"


def test_what_is_not_yaml_is_refused(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("name: [")
    assert refused(path) == (
        f"{path}: line 2, column 1: not YAML: did not find expected node content"
    )


def test_a_file_without_keys_is_refused(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("- a\n")
    assert refused(path) == f"{path} must hold a mapping of keys; it holds list"


def test_expressions_are_read_alone(tmp_path):
    path = tmp_path / "prior.yaml"
    path.write_text("prior: independent\naus: {AU1: {rate: 0.5}}\n")
    assert load_expressions(path).rates()[0].rate == 0.5


def test_the_identity_of_the_data_leaves_out_place_length_and_cluster(quickstart):
    config = parse_config(quickstart)
    quickstart["output"]["path"] = "elsewhere"
    quickstart["cluster"] = {"actors": 2}
    quickstart["samples"] = 480
    assert parse_config(quickstart).identity() == config.identity()
    quickstart["output"]["shard_size"] = 61
    assert parse_config(quickstart).identity() != config.identity()


def test_a_bound_on_each_error_that_is_not_set_leaves_the_data_what_it_was(quickstart):
    config = parse_config(quickstart)
    policy = dict(quickstart["verify"]["policy"])
    assert "max_each_error" not in config.model_dump(mode="json")["verify"]["policy"]
    quickstart["verify"]["policy"] = {**policy, "max_each_error": None}
    assert parse_config(quickstart).identity() == config.identity()
    quickstart["verify"]["policy"] = {**policy, "max_each_error": 1.5}
    bounded = parse_config(quickstart)
    assert bounded.verify.checks[0].policy.max_each_error == 1.5
    assert bounded.identity() != config.identity()
