"""`examples/train/all.sh`: every shipped weight is rebuilt, each after those that it needs."""

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
import yaml

from pipelines.training.au_network.learner import AUNetworkConfig
from pipelines.training.au_network.presence import PresenceRecipe
from pipelines.training.clip.train import ClipRecipe
from pipelines.training.face_embedder import FaceEmbedderRecipe
from pipelines.training.faceid.train import FaceIdRecipe
from pipelines.training.fineface.train import FineFaceRecipe
from pipelines.training.unet import UNetRecipe
from pipelines.training.vae import VAERecipe
from synthgen.cli import app
from synthgen.config.loading import load_section

REPOSITORY = Path(__file__).parents[3]
SCRIPT = REPOSITORY / "examples" / "train" / "all.sh"
TEXT = SCRIPT.read_text()
COMMANDS = [shlex.split(line) for line in TEXT.splitlines() if line.startswith("synthgen ")]
TRAININGS = [command for command in COMMANDS if command[1] == "train"]
MINI = REPOSITORY / "pipelines" / "mini"
RECIPES = (
    ClipRecipe,
    FaceEmbedderRecipe,
    FaceIdRecipe,
    FineFaceRecipe,
    PresenceRecipe,
    UNetRecipe,
    VAERecipe,
)
SECTIONS = {"au-net": AUNetworkConfig, **{recipe.name: recipe.settings for recipe in RECIPES}}


def option(command, name):
    return command[command.index(name) + 1]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_command_line_accepts_a_command(command):
    parsed, arguments = typer.main.get_command(app), command[1:]
    while hasattr(parsed, "commands"):
        parsed, arguments = parsed.commands[arguments[0]], arguments[1:]
    parsed.make_context(parsed.name, arguments)


@pytest.mark.parametrize("command", TRAININGS, ids=" ".join)
def test_the_configuration_of_a_training_is_allowed(command):
    _, _, training, path, *_ = command
    overrides = [text for text in command if "=" in text]
    load_section(REPOSITORY / path, SECTIONS[training], overrides)


@pytest.mark.parametrize("training", ["unet", "fineface", "faceid"])
def test_an_example_starts_on_a_fresh_clone_beside_the_embedded_weights(training, tmp_path):
    recipe: Any = next(kind for kind in RECIPES if kind.name == training)
    before = torch.get_num_threads()
    overrides = ["examples=2", "batch_size=2", f"latents={tmp_path}/latents"]
    overrides += ["cycles=[{steps: 1, learning_rate: 0.001}]"]
    if training != "unet":
        overrides.append(
            "reading.reader={seed: 2, batch_size: 2, cycles: [{steps: 1, learning_rate: 0.001}]}"
        )
    config = load_section(
        REPOSITORY / "examples" / "train" / f"{training}.yaml", recipe.settings, overrides
    )
    made = recipe(config, tmp_path)
    assert len(list(made.batches(0, 1))) == 1
    torch.set_num_threads(before)


def test_each_training_comes_after_those_whose_files_it_reads():
    made = []
    for command in TRAININGS:
        made.append(option(command, "--to"))
        config = yaml.safe_load((REPOSITORY / command[3]).read_text())
        changes = [text for text in command if "=" in text and not text.startswith("latents=")]
        for path in re.findall(r"out/[\w./-]+", json.dumps(changes)):
            assert any(Path(path).is_relative_to(folder) for folder in made[:-1]), path
        changed = {text.split("=")[0] for text in changes}
        assert {key for key, value in config.items() if value == "mini"} <= changed
    draw = COMMANDS[-1]
    assert Path(option(draw, "--embedder")).parent.as_posix() in made


def test_every_shipped_weight_is_rebuilt_and_says_its_hours():
    cards = [path for path in MINI.rglob("*.json") if "command" in json.loads(path.read_text())]
    shipped = {json.loads(path.read_text())["command"].split()[2] for path in cards}
    assert shipped == {command[2] for command in TRAININGS} == set(SECTIONS)
    for command in TRAININGS:
        assert re.search(rf"^# \d+\.\d hours? {command[2]}: .*\n{shlex.join(command)}$", TEXT, re.M)


def test_the_result_is_laid_out_as_the_embedded_weights(tmp_path):
    """Run the script on copies of the shipped files, with commands that find all done."""
    script = tmp_path / "examples" / "train" / "all.sh"
    script.parent.mkdir(parents=True)
    script.write_text(TEXT)
    (tmp_path / "pipelines").symlink_to(REPOSITORY / "pipelines")
    out = tmp_path / "out" / "train"
    for name, source in {
        "au-net/au_network.safetensors": "au_network.safetensors",
        "au-net/au_network.json": "au_network.json",
        "presence/presence.safetensors": "presence.safetensors",
        "presence/presence.json": "presence.json",
        "face-embedder/face_embedder.safetensors": "face_embedder.safetensors",
        "face-embedder/card.json": "face_embedder.json",
        "unet/base": "base",
        "fineface/fineface": "fineface",
        "faceid/faceid": "faceid",
    }.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        if (MINI / source).is_dir():
            shutil.copytree(MINI / source, out / name, copy_function=os.symlink)
        else:
            (out / name).symlink_to(MINI / source)
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "synthgen").write_text("#!/bin/sh\n")
    (commands / "synthgen").chmod(stat.S_IRWXU)
    environment = {**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(["sh", script], env=environment, check=True)
    made = {path.relative_to(out / "mini") for path in (out / "mini").rglob("*") if path.is_file()}
    assert made == {path.relative_to(MINI) for path in MINI.rglob("*") if path.is_file()}
