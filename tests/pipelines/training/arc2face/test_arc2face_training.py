"""The training of Arc2Face: what learns, what it writes, and that the pipeline paints by it."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from arc2face_files import make_arc2face_base, people
from continued_trainings import bytes_of, check_continued

from pipelines import Arc2FacePipeline
from pipelines.arc2face.section import Arc2FaceWeights
from pipelines.arc2face.weights import locate
from pipelines.training.arc2face.config import Arc2FaceTrainingConfig
from pipelines.training.arc2face.train import Arc2FaceLearner, Arc2FaceRecipe, train_arc2face
from pipelines.training.diffusion.base import FrozenBase, load_base
from pipelines.training.diffusion.estimate import estimate_training
from pipelines.training.diffusion.people import LabelledPeople
from pipelines.weight_files import file_sha256
from synthgen.errors import ConfigError, WeightsError

CPU = torch.device("cpu")
CONFIG = """
seed: 3
cycles:
  - {{steps: 2, learning_rate: 0.01}}
  - {{steps: 1, learning_rate: 0.01, painted: 0.5, painting_steps: 2}}
batch_size: 2
examples: 4
workers: 0
checkpoint_every: 1
log_every: 1
sample_every: 3
base: {folder}/base
embedder: {{kind: mini, weights: {folder}/embedder.safetensors}}
data: {{source: procedural, size: 64, expressions: [{{share: 1, rate: 0.4}}]}}
reading:
  weight: 0.3
  reader: {{seed: 5, cycles: [{{steps: 1}}], batch_size: 2, channels: [8, 8]}}
sheet: {{people: 2, num_inference_steps: 2}}
"""


@pytest.fixture(scope="module")
def whole(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that went from its first step to its last."""
    out = tmp_path_factory.mktemp("whole")
    (files / "arc2face.yaml").write_text(CONFIG.format(folder=files))
    assert train_arc2face(files / "arc2face.yaml", out) == out / "arc2face"
    return out


@pytest.fixture
def base(files: Path) -> FrozenBase:
    return load_base(files / "base", CPU, torch.float32, "sdpa")


def test_it_writes_what_the_pipeline_loads_and_names_its_embedder(files: Path, whole: Path) -> None:
    made = whole / "arc2face"
    assert sorted(bytes_of(made)) == [
        "arc2face/config.json", "arc2face/diffusion_pytorch_model.safetensors",
        "encoder/config.json", "encoder/model.safetensors",
    ]  # fmt: skip
    card = json.loads((made / "card.json").read_text())
    assert (card["steps"], card["examples_seen"], card["licence"]) == (3, 6, "Apache-2.0")
    fingerprint = f"sha256:{file_sha256(files / 'embedder.safetensors')}"
    assert card["embedder_fingerprint"] == fingerprint
    assert str(files) not in "".join(path.read_text() for path in made.rglob("config.json"))
    assert (whole / "samples" / "00000003.png").is_file()

    weights = Arc2FaceWeights(
        base=str(files / "base"), arc2face=str(made), expression=str(files / "exp_adapter")
    )
    found = locate(weights)
    assert found.embedder == fingerprint
    assert found.licences["Arc2Face trained by synthgen"] == "Apache-2.0"
    assert "Stable Diffusion 1.5" in found.licences  # a base without a card
    pipe = Arc2FacePipeline.from_pretrained(made, base=files / "base")
    pipe.set_progress_bar_config(disable=True)
    start = Arc2FacePipeline.from_pretrained(files / "base")
    start.set_progress_bar_config(disable=True)

    def painted(pipeline: Arc2FacePipeline) -> np.ndarray:
        generator = torch.Generator().manual_seed(1)
        output = pipeline(people(2), num_inference_steps=2, generator=generator, output_type="np")
        return np.asarray(output.images)

    images = painted(pipe)
    assert images.shape == (2, 64, 64, 3)
    assert np.isfinite(images).all()
    assert not np.array_equal(images[0], images[1])
    assert not np.array_equal(images, painted(start))


def test_killed_and_continued_it_ends_in_the_same_bytes(
    files: Path, whole: Path, tmp_path: Path
) -> None:
    config = files / "arc2face.yaml"
    lines = check_continued(train_arc2face, config, whole, tmp_path)
    found = [json.loads(line) for line in lines]
    assert ["painted faces" in one for one in found] == [False, False, True]
    for one in found:
        total = one["diffusion"] + 0.3 * one["read faces"] + 0.5 * one.get("painted faces", 0)
        assert one["loss"] == pytest.approx(total)


def test_it_is_estimated_and_nothing_is_written(files: Path, whole: Path) -> None:
    before = sorted(files.iterdir())
    lines = estimate_training(Arc2FaceRecipe, files / "arc2face.yaml")
    assert sorted(files.iterdir()) == before
    assert lines[0] == "steps: 3 of 2; each of 1 process(es) computes 1 part(s) of 2"
    assert lines[5:] == [
        "latents: 4 × 1 kB = 0.00 GB on the disk (reckoned)",
        "the reader's loss and painted steps are not counted",
    ]


def settings(**changes: object) -> Arc2FaceTrainingConfig:
    return Arc2FaceTrainingConfig.model_validate(
        {
            "seed": 1,
            "cycles": [{"steps": 9, "learning_rate": 0.01}],
            "batch_size": 4,
            "data": {"source": "procedural", "expressions": [{"share": 1, "rate": 0.3}]},
            "examples": 4,
            "base": "unused",
            "embedder": {"kind": "mini"},
            "ema_decay": 0.0,
            **changes,
        }
    )


@pytest.fixture
def batch() -> LabelledPeople:
    draw = torch.Generator().manual_seed(7)
    faces = torch.randn(4, 512, generator=draw)
    latents = torch.randn(4, 8, 8, 8, generator=draw)
    return LabelledPeople(latents, torch.zeros(4, 12), faces / faces.norm(dim=1, keepdim=True))


@pytest.mark.parametrize("learns", ["both", "unet", "encoder"])
def test_it_learns_what_is_asked_for(base: FrozenBase, batch: LabelledPeople, learns: str) -> None:
    parts = {"unet": base.unet, "encoder": base.text_encoder}
    before = {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}
    learner = Arc2FaceLearner(settings(learns=learns), base, CPU)
    for _ in range(2):
        learner.learn(batch)
    changed = {
        name
        for name, part in parts.items()
        if any(
            not torch.equal(value, before[name][key]) for key, value in part.state_dict().items()
        )
    }
    assert changed == ({"unet", "encoder"} if learns == "both" else {learns})


def test_a_prompt_that_is_dropped_tells_nobody(base: FrozenBase, batch: LabelledPeople) -> None:
    def loss(drop: float, faces: torch.Tensor) -> float:
        learner = Arc2FaceLearner(settings(drop_caption=drop), base, CPU)
        torch.manual_seed(0)
        with torch.no_grad():
            return float(learner.losses(batch._replace(faces=faces))["loss"])

    assert loss(1, batch.faces) == loss(1, -batch.faces)
    assert loss(0, batch.faces) != loss(0, -batch.faces)
    assert loss(0, torch.zeros(4, 512)) == loss(1, batch.faces)


def refusal(files: Path, tmp_path: Path, *overrides: str) -> str:
    path = tmp_path / "refused.yaml"
    path.write_text(CONFIG.format(folder=files))
    with pytest.raises((ConfigError, WeightsError)) as caught:
        train_arc2face(path, tmp_path / "out", overrides=overrides)
    assert not (tmp_path / "out").exists()
    return str(caught.value).removeprefix(f"{path}: ")


def test_what_cannot_be_trained_is_refused(files: Path, tmp_path: Path) -> None:
    assert refusal(files, tmp_path, "compile=true") == (
        "--set compile=true: compile: the trainings of Arc2Face do not compile; it must be false"
    )
    assert refusal(files, tmp_path, "reading=null") == (
        "cycles.1.painted is 0.5, but reading is null: what is painted is learned from by being "
        "read"
    )
    split = make_arc2face_base(tmp_path / "split", whole_id=False)
    assert refusal(files, tmp_path, f"base={split}") == (
        "the tokenizer splits 'id' into 2 tokens; Arc2Face puts the face embedding in the place of "
        "that one token, so take the tokenizer of Stable Diffusion 1.5"
    )
