"""Refusals of configurations of baselines, the method that is meant, budgets of the examples."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipelines.training.methods import RECIPES, train_by_method
from synthgen.cli import app
from synthgen.config.loading import load_section
from synthgen.errors import ConfigError

EXAMPLES = Path(__file__).parents[4] / "examples" / "train"
BASELINES = sorted((EXAMPLES / "baselines").glob("*.yaml"))
BUDGET = ("seed", "batch_size", "examples", "latents", "base", "noise", "ema_decay", "data")


def test_each_method_has_an_example_of_the_budget_of_fineface():
    own = load_section(EXAMPLES / "fineface.yaml", RECIPES["fineface"].settings)
    methods = []
    for path in BASELINES:
        config = load_section(path, RECIPES[path.stem].settings)
        methods.append(config.method)
        for key in BUDGET:
            assert getattr(config, key) == getattr(own, key), (path, key)
        steps = [sum(cycle.steps for cycle in one.cycles) for one in (config, own)]
        assert steps[0] == steps[1]
    assert {"fineface", *methods} == set(RECIPES)


def refusal(tmp_path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        train_by_method(EXAMPLES / "baselines" / "lora-au.yaml", tmp_path / "out", None, overrides)
    assert not (tmp_path / "out").exists()
    return str(caught.value).removeprefix(f"{EXAMPLES}/baselines/lora-au.yaml: ")


def test_what_cannot_be_learned_ends_in_one_sentence(tmp_path):
    assert refusal(tmp_path, "method=lora-ai") == (
        "--set method=lora-ai: method is 'lora-ai'; did you mean 'lora-au'? It must be 'fineface', "
        "'lora-t', 'lora-au' or 'dreambooth'"
    )
    assert refusal(tmp_path, "method=3") == (
        "--set method=3: method is 3; it must be 'fineface', 'lora-t', 'lora-au' or 'dreambooth'"
    )
    assert refusal(tmp_path, "data.expression_words=0.5").endswith(
        "expression_words is 0.5; the method alone says what is told of the expression: it must be "
        "0"
    )
    assert refusal(tmp_path, "compile=true").endswith(
        "the trainings of baselines do not compile; it must be false"
    )
    said = refusal(tmp_path, "method=dreambooth")
    assert "unknown key" in said
    assert "rank" in said


def test_an_au_that_nobody_shows_is_named(tmp_path):
    overrides = [
        "examples=3", "batch_size=2", f"latents={tmp_path}/latents", "shown_from=5",
        "cycles=[{steps: 12}]",
    ]  # fmt: skip
    with pytest.raises(Exception, match="none of the 3 examples shows AU1 at 5 or more") as caught:
        train_by_method(EXAMPLES / "baselines" / "lora-au.yaml", tmp_path / "out", None, overrides)
    assert str(caught.value) == (
        "none of the 3 examples shows AU1 at 5 or more, and its LoRA would learn nothing; take "
        "more examples, or a lower shown_from"
    )


def test_the_command_line_trains_by_the_key(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump({"method": "lora"}))
    result = CliRunner().invoke(
        app, ["train", "fineface", str(path), "--to", str(tmp_path / "out")]
    )
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception).startswith(f"{path}: method is 'lora'; ")
