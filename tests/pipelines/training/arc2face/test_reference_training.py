"""The training of the Reference Adapter, and that the pipeline looks at pictures by it."""

import copy
import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from arc2face_files import LORA_FILE, expressions, people, references
from continued_trainings import check_continued
from typer.testing import CliRunner

from pipelines import Arc2FacePipeline
from pipelines.training.arc2face.config import Differing, ReferenceTrainingConfig
from pipelines.training.arc2face.frozen import load_arc2face
from pipelines.training.arc2face.reference import (
    PairBatch,
    ReferenceLearner,
    References,
    train_reference,
)
from pipelines.training.data.config import ProceduralData
from pipelines.training.data.drawing import OF_THE_PICTURE
from pipelines.training.data.examples import ProceduralExamples
from synthgen.cli import app

CPU = torch.device("cpu")
CONFIG = """
seed: 3
cycles: [{{steps: 3, learning_rate: 0.01}}]
batch_size: 2
examples: 4
workers: 0
checkpoint_every: 1
log_every: 1
sample_every: 3
base: {folder}/base
arc2face: {folder}/published
expression: {folder}/exp_adapter
embedder: {{kind: mini, weights: {folder}/embedder.safetensors}}
rank: 2
attention: explicit
differs: {{pose: 0.5}}
data:
  source: procedural
  size: 64
  edition: 2
  aus: drawn
  expressions: [{{share: 1, rate: 0.4}}]
sheet: {{people: 2, num_inference_steps: 2, expressions: [{{AU12: 5}}]}}
"""


@pytest.fixture(scope="module")
def config(files: Path) -> Path:
    path = files / "reference.yaml"
    path.write_text(CONFIG.format(folder=files))
    return path


@pytest.fixture(scope="module")
def whole(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that went from its first step to its last."""
    out = tmp_path_factory.mktemp("whole")
    assert train_reference(config, out) == out / "reference"
    return out


def test_it_writes_what_the_pipeline_loads(files: Path, whole: Path) -> None:
    made = whole / "reference"
    assert sorted(path.name for path in made.iterdir()) == ["card.json", LORA_FILE]
    card = json.loads((made / "card.json").read_text())
    assert (card["steps"], len(card["expression_sha256"])) == (3, 64)
    assert (whole / "samples" / "00000003.png").is_file()
    pipe = Arc2FacePipeline.from_pretrained(files / "published", base=files / "base")
    pipe.set_progress_bar_config(disable=True)
    pipe.load_expression_adapter(files / "exp_adapter")
    pipe.load_reference_adapter(made)

    def painted(scale: float) -> np.ndarray:
        output = pipe(
            people(1),
            expressions(1),
            reference_image=references(1, 64),
            reference_scale=scale,
            num_inference_steps=2,
            generator=torch.Generator().manual_seed(1),
            output_type="np",
        )
        return np.asarray(output.images)

    images = painted(1.0)
    assert images.shape == (1, 64, 64, 3)
    assert np.isfinite(images).all()
    assert not np.array_equal(images, painted(0.0))


def test_killed_and_continued_it_ends_in_the_same_bytes(
    config: Path, whole: Path, tmp_path: Path
) -> None:
    assert len(check_continued(train_reference, config, whole, tmp_path)) == 3


def test_it_is_estimated_by_the_command_line(config: Path, tmp_path: Path) -> None:
    arguments = ["train", "reference", str(config), "--to", str(tmp_path / "out"), "--dry-run"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    lines = result.output.splitlines()
    assert lines[-2:] == [
        "as many latents of references are made once more",
        "the Expression Adapter is not counted",
    ]
    assert not (tmp_path / "out").exists()


def settings(files: Path, **changes: object) -> ReferenceTrainingConfig:
    return ReferenceTrainingConfig.model_validate(
        {
            "seed": 1,
            "cycles": [{"steps": 9, "learning_rate": 0.01}],
            "batch_size": 4,
            "data": {"source": "procedural", "expressions": [{"share": 1, "rate": 0.3}]},
            "examples": 4,
            "base": str(files / "base"),
            "arc2face": str(files / "published"),
            "embedder": {"kind": "mini"},
            "ema_decay": 0.0,
            **changes,
        }
    )


def test_the_lora_alone_learns_beside_references(files: Path) -> None:
    base = load_arc2face(settings(files), CPU, torch.float32)
    draw = torch.Generator().manual_seed(7)
    faces = torch.randn(4, 512, generator=draw)
    latents, shown = torch.randn(2, 4, 8, 8, 8, generator=draw)
    batch = PairBatch(latents, faces, torch.zeros(4, 55), shown)
    frozen = copy.deepcopy(base.unet.state_dict())

    def loss(drop: float, batch: PairBatch) -> float:
        learner = ReferenceLearner(settings(files, drop_caption=drop), base, CPU)
        torch.manual_seed(0)
        with torch.no_grad():
            return float(learner.losses(batch)["loss"])

    first, last = (batch._replace(references=shown.clone()) for _ in range(2))
    first.references[:3] += 1
    last.references[3] += 1
    assert loss(0, first) != loss(0, batch)
    assert loss(1, first) == loss(1, batch)  # the last of a batch keeps its reference
    assert loss(1, last) != loss(1, batch)

    learner = ReferenceLearner(settings(files, drop_caption=0.5), base, CPU)
    start = copy.deepcopy(learner.network.state_dict())
    for _ in range(2):
        learner.learn(batch)
    now = learner.network.state_dict()
    assert all(not torch.equal(now[name], value) for name, value in start.items())
    assert all(torch.equal(base.unet.state_dict()[name], value) for name, value in frozen.items())


def test_what_of_a_reference_is_another_is_asked_for() -> None:
    kinds = [{"share": 1, "rate": 0.5}]
    keys = {"source": "procedural", "size": 64, "edition": 2, "aus": "drawn", "expressions": kinds}
    plain = ProceduralExamples(ProceduralData.model_validate(keys), 3)
    person = plain.identity(0)

    def changed(**chances: float) -> set[str]:
        other = References(plain, Differing(**chances), 3).person(0)
        names = (field.name for field in fields(person))
        return {name for name in names if getattr(other, name) != getattr(person, name)}

    assert changed() == set()
    assert changed(light=1.0) == {"light", "warmth", "light_strength"}
    everything = changed(pose=1.0, light=1.0, clothes=1.0, background=1.0)
    assert everything <= set(OF_THE_PICTURE)
    assert len(everything) > 10
    same = References(plain, Differing(), 3)
    assert same.image(0) == plain.drawn(person, 1)
    assert same.image(0) != plain.image(0)
