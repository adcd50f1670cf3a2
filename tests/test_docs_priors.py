"""Every example of docs/priors.md runs."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from samplers import load_prior
from synthgen.action_units import AUS
from synthgen.config import parse_config

REPOSITORY = Path(__file__).parents[1]
TEXT = (REPOSITORY / "docs" / "priors.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.S)
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.S)
DRAWS = 1000


def title(example):
    """Name an example by its prior and its other keys."""
    return "-".join([yaml.safe_load(example)["prior"], *list(yaml.safe_load(example))[1:]])


@pytest.fixture(autouse=True)
def _labels(tmp_path, monkeypatch):
    """Lie a label file of OpenFace's layout in the working directory."""
    monkeypatch.chdir(tmp_path)
    columns = ["frame", "confidence", "success"] + [f"AU{int(name[2:]):02}_r" for name in AUS]
    rows = [
        [n, 0.5 + n % 2 * 0.4, 1, *np.random.default_rng(n).integers(0, 5, 12)] for n in range(50)
    ]
    lines = [", ".join(map(str, row)) for row in [columns, *rows]]
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("example", EXAMPLES, ids=title)
def test_an_example_is_a_prior(example):
    (tmp := Path("prior.yaml")).write_text(example)
    prior = load_prior(tmp)
    vectors = prior.sample(DRAWS, seed=0)
    assert vectors.shape == (DRAWS, len(prior.action_units))
    assert np.isfinite(vectors).all()
    assert ((vectors >= 0) & (vectors <= 5)).all()
    # Five standard deviations of a share.
    assert np.abs((vectors != 0).mean(axis=0) - prior.rates()).max() < 0.08


@pytest.mark.parametrize("example", EXAMPLES, ids=title)
def test_an_example_goes_through_the_stored_configuration(example):
    config = parse_config(
        {
            "name": "docs",
            "seed": 1,
            "samples": 10,
            "output": {"path": "out"},
            "expressions": yaml.safe_load(example),
            "identities": {"source": "prompts", "template": "x", "expressions_per_identity": 10},
            "pipeline": {"name": "procedural"},
        }
    )
    stored = config.model_dump(mode="json")
    assert parse_config(stored) == config


def test_every_prior_has_an_example():
    named = {yaml.safe_load(example)["prior"] for example in EXAMPLES}
    assert named == {
        "builtin", "combinations", "copula", "emotions", "empirical", "grid", "independent",
        "mixture", "uniform",
    }  # fmt: skip


def test_a_prior_of_ones_own_is_drawn(tmp_path, monkeypatch):
    code = PYTHON[-1]
    Path("my_smiles.py").write_text(code)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("prior.yaml").write_text("prior: my_smiles:Smiles\nrate: 0.5\n")
    vectors = load_prior("prior.yaml").sample(DRAWS, seed=0)
    assert (vectors != 0).any(axis=1).mean() == pytest.approx(0.5, abs=0.08)


def test_the_python_example_runs():
    code = PYTHON[0]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_links_lead_to_sections():
    headings = {
        re.sub(r"[^\w\- ]", "", line[3:].lower()).replace(" ", "-")
        for line in TEXT.splitlines()
        if line.startswith("## ")
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= headings
