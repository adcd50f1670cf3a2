"""Runs on the embedded weights, by name; tiny ones of their layout stand at their place."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
from tiny_mini import make_mini

import pipelines
from cluster.driver import generate
from pipelines.fineface.section import FineFaceConfig
from synthgen.config import RunConfig, VerifyConfig, dump_config

PACKAGE = Path(pipelines.__file__).parent


@pytest.fixture
def mini(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = make_mini(tmp_path / "mini")
    monkeypatch.setattr("pipelines.fineface.weights.MINI_FOLDER", folder)
    return folder


def with_mini(config: RunConfig) -> RunConfig:
    pipeline = FineFaceConfig(name="fineface", weights="mini", num_inference_steps=1, batch_size=3)
    verify = VerifyConfig(aligner="centered", max_attempts=1, on_exhausted="keep_best")
    return config.model_copy(update={"pipeline": pipeline, "verify": verify})


def package_with(mini: Path, folder: Path) -> Path:
    """Lay out an installation of ours with other embedded weights."""
    without = shutil.ignore_patterns("mini", "__pycache__")
    shutil.copytree(PACKAGE, folder / "pipelines", ignore=without)
    shutil.copytree(mini, folder / "pipelines" / "mini")
    for name in ("synthgen", "samplers", "cluster"):
        (folder / name).symlink_to(PACKAGE.parent / name)
    readers = [*PACKAGE.glob("mini/au_network.*"), *PACKAGE.glob("mini/presence.*")]
    for file in [*readers, PACKAGE / "mini" / "sampling.json"]:
        (folder / "pipelines" / "mini" / file.name).symlink_to(file)
    return folder


@pytest.mark.usefixtures("mini")
def test_prompts_are_free_text_for_the_embedded_weights(make_config):
    slots = {"person": ["man", "woman"], "hair": ["purple"], "place": ["on the moon", "at sea"]}
    identities = {"template": "{person}, {hair} hair, {place}", "slots": slots}
    config = with_mini(make_config(samples=6, identities=identities))

    assert generate(config, "inline").rows == 6

    rows = datasets.load_dataset(config.output.path, split="train")
    assert rows[0]["pipeline"] == "fineface"
    assert rows[0]["image"].size == (32, 32)
    card = (Path(config.output.path) / "README.md").read_text()
    assert "license: apache-2.0" in card
    assert "FineFace mini, trained by synthgen on its own drawn faces" in card


@pytest.mark.ray
def test_actors_paint_with_the_embedded_weights_as_one_process_does(
    make_config, digests, mini, tmp_path
):
    inline, spread = (with_mini(make_config(name, samples=8)) for name in ("inline", "ray"))
    package = package_with(mini, tmp_path / "packages")
    file = tmp_path / "run.yaml"
    file.write_text(dump_config(spread))

    generate(inline, "inline")
    command = [sys.executable, "-m", "synthgen.cli", "generate", file]
    environment = {**os.environ, "PYTHONPATH": str(package)}
    done = subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert digests(spread) == digests(inline)
