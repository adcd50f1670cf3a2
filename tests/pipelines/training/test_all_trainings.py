"""`examples/train/all.sh` and `second/all.sh`: each training comes after those that it needs.

The first script rebuilds every shipped weight; from its files the second makes the next edition's.
"""

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

from pipelines.training.arc2face.expression import ExpressionRecipe
from pipelines.training.arc2face.reference import ReferenceRecipe
from pipelines.training.arc2face.train import Arc2FaceRecipe
from pipelines.training.attributes import AttributesConfig
from pipelines.training.au_network.learner import AUNetworkConfig
from pipelines.training.au_network.presence import PresenceRecipe
from pipelines.training.clip.train import ClipRecipe
from pipelines.training.data.config import WORDS
from pipelines.training.face_embedder import FaceEmbedderRecipe
from pipelines.training.faceid.train import FaceIdRecipe
from pipelines.training.fineface.train import FineFaceRecipe
from pipelines.training.flame_extractor import FlameExtractorConfig
from pipelines.training.judge import JudgeConfig
from pipelines.training.unet import UNetRecipe
from pipelines.training.vae import VAERecipe
from synthgen.cli import app
from synthgen.config.loading import load_section

REPOSITORY = Path(__file__).parents[3]
SCRIPTS = ("examples/train/all.sh", "examples/train/second/all.sh")
FIRST, SECOND = ((REPOSITORY / path).read_text() for path in SCRIPTS)


def commands(text):
    return [
        shlex.split(line) for line in re.findall(r"^(?:have .* \|\| )?(synthgen .*)$", text, re.M)
    ]


def trainings(text):
    return [command for command in commands(text) if command[1] == "train"]


COMMANDS, TRAININGS = commands(FIRST) + commands(SECOND), trainings(FIRST) + trainings(SECOND)
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
SECTIONS = {
    "arc2face": Arc2FaceRecipe.settings,
    "attributes": AttributesConfig,
    "au-net": AUNetworkConfig,
    "expression": ExpressionRecipe.settings,
    "flame-extractor": FlameExtractorConfig,
    "judge": JudgeConfig,
    "reference": ReferenceRecipe.settings,
    **{recipe.name: recipe.settings for recipe in RECIPES},
}


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


@pytest.mark.parametrize("text", [FIRST, SECOND], ids=SCRIPTS)
def test_each_training_comes_after_those_whose_files_it_reads(text):
    made = ["out/train/mini"] if text == SECOND else []
    for command in trainings(text):
        config = yaml.safe_load((REPOSITORY / command[3]).read_text())
        changes = {word.split("=")[0]: word.split("=")[1] for word in command if "=" in word}
        named = {**config, **changes}
        named.pop("latents", None)
        for path in re.findall(r"out/[\w./-]+", json.dumps(named)):
            assert any(Path(path).is_relative_to(folder) for folder in made), path
        mini = {key for key, value in config.items() if value == "mini"}
        assert mini <= set(changes)
        made.append(option(command, "--to"))
    draw = next(command for command in commands(text) if command[1] == "faces")
    assert Path(option(draw, "--embedder")).parent.as_posix() in made


def test_trainings_that_share_a_folder_of_latents_share_all_that_it_keeps():
    kept: dict[str, Any] = {}
    for path in sorted((REPOSITORY / "examples" / "train").rglob("*.yaml")):
        config = yaml.safe_load(path.read_text())
        if "latents" not in config:
            continue
        pictures = {key: config["data"][key] for key in config["data"].keys() - WORDS}
        of = (pictures, config["seed"], config["examples"])
        assert kept.setdefault(config["latents"], of) == of, path
        if path.name.startswith("fineface"):
            reader = config["reading"]["reader"]
            assert kept.setdefault(f"{config['latents']}/reader", reader) == reader, path
    assert len(kept) >= 6


def test_every_shipped_weight_is_rebuilt():
    cards = [path for path in MINI.rglob("*.json") if "command" in json.loads(path.read_text())]
    shipped = {json.loads(path.read_text())["command"].split()[2] for path in cards}
    assert shipped == {command[2] for command in trainings(FIRST)}
    assert {command[2] for command in trainings(SECOND)} == set(SECTIONS)


@pytest.mark.parametrize("text", [FIRST, SECOND], ids=SCRIPTS)
def test_each_training_of_what_is_laid_out_says_its_hours(text):
    for command in trainings(text.partition("mini=")[0]):
        named = rf"^# \d+\.\d hours? {command[2]}(, further)?: .*\n(have \S+ \|\| )?"
        assert re.search(f"{named}{re.escape(shlex.join(command))}$", text, re.M)


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_result_is_laid_out_as_the_embedded_weights(script, tmp_path):
    """Run a script on copies of the shipped files, with commands that find all done."""
    there = tmp_path / script
    there.parent.mkdir(parents=True)
    there.write_text((REPOSITORY / script).read_text())
    (tmp_path / "pipelines").symlink_to(REPOSITORY / "pipelines")
    second = script == SCRIPTS[1]
    out = tmp_path / "out" / ("second" if second else "train")
    au_net, fineface, faceid = "au-net", "fineface", "faceid"
    if second:
        au_net, fineface, faceid = "au-net-last", "fineface-steady", "faceid-steady"
    for name, source in {
        f"{au_net}/au_network.safetensors": "au_network.safetensors",
        f"{au_net}/au_network.json": "au_network.json",
        "presence/presence.safetensors": "presence.safetensors",
        "presence/presence.json": "presence.json",
        "face-embedder/face_embedder.safetensors": "face_embedder.safetensors",
        "face-embedder/card.json": "face_embedder.json",
        "unet/base": "base",
        f"{fineface}/fineface": "fineface",
        f"{faceid}/faceid": "faceid",
    }.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        if (MINI / source).is_dir():
            shutil.copytree(MINI / source, out / name, copy_function=os.symlink)
        else:
            (out / name).symlink_to(MINI / source)
    more = {"attributes.safetensors", "attributes.json"} if second else set()
    if second:  # a check that the first edition did not have
        (out / "attributes").mkdir()
        for name in ("attributes.safetensors", "card.json"):
            (out / "attributes" / name).touch()
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "synthgen").write_text("#!/bin/sh\n")
    (programs / "synthgen").chmod(stat.S_IRWXU)
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(["sh", there], env=environment, check=True)
    made = {path.relative_to(out / "mini") for path in (out / "mini").rglob("*") if path.is_file()}
    shipped = {path.relative_to(MINI) for path in MINI.rglob("*") if path.is_file()}
    assert made == shipped | {Path(name) for name in more}
