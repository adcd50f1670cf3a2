"""The path of a prior's file in the place of the section `expressions`."""

from pathlib import Path

import pytest
import yaml

from synthgen.config import dump_config, load_config, load_expressions
from synthgen.errors import ConfigError

PRIOR = "prior: emotions\ncategories: [happy, sad]\nintensity: {low: 3, high: 4}\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("prior.yaml").write_text(PRIOR)
    return tmp_path


@pytest.fixture
def config_at(quickstart, folder):
    def write(expressions, path="config.yaml"):
        Path(path).parent.mkdir(exist_ok=True)
        quickstart["expressions"] = expressions
        Path(path).write_text(yaml.safe_dump(quickstart, sort_keys=False))
        return path

    return write


def refused(path, *overrides):
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return str(caught.value)


def test_a_path_stands_for_what_its_file_holds(config_at):
    config = load_config(config_at("prior.yaml"))
    pasted = load_config(config_at(yaml.safe_load(PRIOR), "pasted.yaml"))
    assert config.expressions == load_expressions("prior.yaml")
    assert (dump_config(config), config.run_id()) == (dump_config(pasted), pasted.run_id())


def test_set_takes_a_path_and_further_keys(config_at):
    path = config_at({"prior": "builtin", "name": "disfa-rates"})
    config = load_config(path, ["expressions=prior.yaml", "expressions.intensity.low=2"])
    assert config.expressions.model_dump()["intensity"] == {"low": 2.0, "high": 4.0}


def test_what_a_file_says_wrongly_names_both(config_at):
    Path("prior.yaml").write_text("prior: emotions\ncategories: 3\n")
    assert refused(config_at("prior.yaml")).startswith(
        "config.yaml: line 12: expressions: prior.yaml: line 2: categories is 3; it must be "
    )
    path = config_at({"prior": "builtin", "name": "disfa-rates"})
    assert refused(path, "expressions=prior.yaml").startswith(
        "--set 'expressions=prior.yaml': expressions: prior.yaml: line 2: categories is 3; "
    )


def test_files_that_are_no_prior_are_refused(config_at, folder):
    path = config_at("lost.yaml")
    line = 1 + Path(path).read_text().splitlines().index("expressions: lost.yaml")
    start = f"config.yaml: line {line}: expressions"
    wanted = "it must be the section of a prior or the path of a file that holds it"
    assert refused(path) == f"{start} is 'lost.yaml', and there is no such file; {wanted}"
    assert load_config(path, ["expressions=prior.yaml"]).expressions.prior == "emotions"
    assert refused(path, "expressions=config.yaml") == (
        "--set 'expressions=config.yaml': expressions: config.yaml holds a whole configuration; it "
        "must hold the section expressions alone, as synthgen prior fit writes it"
    )
    assert refused(config_at("emotions")) == (
        f"{start} is 'emotions', the name of a prior; write expressions: {{prior: emotions}}, with "
        "its keys"
    )
    Path("labels").mkdir()
    assert refused(config_at("labels")) == (
        f"{start}: the prior labels is a folder; it must be a regular file"
    )


def test_a_file_beside_the_configuration_is_pointed_at(config_at):
    path = config_at("near.yaml", "configs/config.yaml")
    Path("configs/near.yaml").write_text(PRIOR)
    assert refused(path).endswith(
        "a file that holds it; there is one beside the configuration, configs/near.yaml"
    )
