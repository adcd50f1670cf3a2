"""The training of the Expression Adapter, and that the pipeline shows what it learned."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from arc2face_files import expressions, people
from continued_trainings import check_continued
from safetensors.torch import load_file

from pipelines import Arc2FacePipeline
from pipelines.diffusion.ip_adapter import write_parts
from pipelines.procedural.flame import flame_of
from pipelines.training.arc2face.config import ExpressionTrainingConfig
from pipelines.training.arc2face.expression import (
    FILE,
    ExpressionBatch,
    ExpressionLearner,
    train_expression,
)
from pipelines.training.arc2face.frozen import Arc2FaceBase, flame_numbers, load_arc2face
from pipelines.training.data.config import ProceduralData
from pipelines.training.data.examples import ProceduralExamples
from synthgen.errors import ConfigError

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
arc2face: {folder}/published
embedder: {{kind: mini, weights: {folder}/embedder.safetensors}}
tokens: 2
inner: 2
attention: explicit
data:
  source: procedural
  size: 64
  edition: 2
  aus: drawn
  one_sided: 0.5
  expressions: [{{share: 1, rate: 0.4}}]
reading:
  weight: 0.3
  reader: {{seed: 5, cycles: [{{steps: 1}}], batch_size: 2, channels: [8, 8]}}
sheet: {{people: 2, num_inference_steps: 2, expressions: [{{AU12: 5}}]}}
"""


@pytest.fixture(scope="module")
def config(files: Path) -> Path:
    path = files / "expression.yaml"
    path.write_text(CONFIG.format(folder=files))
    return path


@pytest.fixture(scope="module")
def whole(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that went from its first step to its last."""
    out = tmp_path_factory.mktemp("whole")
    assert train_expression(config, out) == out / "expression"
    return out


def painting(files: Path, adapter: Path) -> Arc2FacePipeline:
    pipe = Arc2FacePipeline.from_pretrained(files / "published", base=files / "base")
    pipe.set_progress_bar_config(disable=True)
    pipe.load_expression_adapter(adapter)
    return pipe


def test_it_writes_what_the_pipeline_loads(files: Path, whole: Path) -> None:
    made = whole / "expression"
    assert sorted(path.name for path in made.iterdir()) == ["card.json", FILE]
    card = json.loads((made / "card.json").read_text())
    assert (card["steps"], card["numbers"], len(card["sha256"])) == (3, "mini", 1)
    assert {value.dtype for value in load_file(made / FILE).values()} == {torch.float16}
    assert (whole / "samples" / "00000003.png").is_file()
    pipe = painting(files, made)

    def painted(expression: np.ndarray | None) -> np.ndarray:
        generator = torch.Generator().manual_seed(1)
        settings = {"num_inference_steps": 2, "generator": generator, "output_type": "np"}
        return np.asarray(pipe(people(1), expression, **settings).images)

    images = painted(expressions(1))
    assert images.shape == (1, 64, 64, 3)
    assert np.isfinite(images).all()
    assert not np.array_equal(images, painted(None))


def test_killed_and_continued_it_ends_in_the_same_bytes(
    config: Path, whole: Path, tmp_path: Path
) -> None:
    for line in check_continued(train_expression, config, whole, tmp_path):
        one = json.loads(line)
        total = one["diffusion"] + 0.3 * one["read"] + 0.5 * one.get("painted", 0)
        assert one["loss"] == pytest.approx(total)


def settings(files: Path, **changes: object) -> ExpressionTrainingConfig:
    return ExpressionTrainingConfig.model_validate(
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


@pytest.fixture
def base(files: Path) -> Arc2FaceBase:
    return load_arc2face(settings(files), CPU, torch.float32)


@pytest.fixture
def batch() -> ExpressionBatch:
    draw = torch.Generator().manual_seed(7)
    faces = torch.randn(4, 512, generator=draw)
    latents = torch.randn(4, 8, 8, 8, generator=draw)
    faces /= faces.norm(dim=1, keepdim=True)
    return ExpressionBatch(latents, faces, torch.from_numpy(expressions(4)))


def test_the_adapter_alone_learns_and_the_pipeline_computes_the_same(
    files: Path, base: Arc2FaceBase, batch: ExpressionBatch, tmp_path: Path
) -> None:
    frozen = copy.deepcopy([base.unet.state_dict(), base.text_encoder.state_dict()])
    learner = ExpressionLearner(settings(files), base, CPU)
    start = copy.deepcopy(learner.network.state_dict())
    for _ in range(2):
        learner.learn(batch)
    now = learner.network.state_dict()
    assert all(not torch.equal(now[name], value) for name, value in start.items())
    for one, other in zip(frozen, (base.unet, base.text_encoder), strict=True):
        assert all(torch.equal(other.state_dict()[name], value) for name, value in one.items())

    timesteps = torch.tensor([1, 300, 600, 999])
    everybody = torch.ones(4, dtype=torch.bool)
    write_parts(tmp_path / FILE, learner.average.tensors(torch.float32))
    pipe = painting(files, tmp_path)
    with torch.no_grad():
        text = learner.texts(batch.faces, everybody)
        trained = learner.predict(batch.latents, timesteps, text, batch.numbers)
        added = {"image_embeds": [batch.numbers[:, None]]}
        own = pipe.encode_identity(batch.faces)
        loaded = pipe.unet(batch.latents, timesteps, own, added_cond_kwargs=added).sample
    torch.testing.assert_close(loaded, trained, rtol=0, atol=2e-4)


def test_what_is_dropped_is_zeros(files: Path, base: Arc2FaceBase, batch: ExpressionBatch) -> None:
    def loss(key: str, **changes: torch.Tensor) -> float:
        shares = dict.fromkeys(("drop_expression", "drop_caption", "drop_both"), 0.0)
        learner = ExpressionLearner(settings(files, **{**shares, key: 1.0}), base, CPU)
        torch.manual_seed(0)
        with torch.no_grad():
            return float(learner.losses(batch._replace(**changes))["loss"])

    other = {"numbers": -batch.numbers, "faces": -batch.faces}
    for key, seen in {
        "drop_expression": {"faces"}, "drop_caption": {"numbers"}, "drop_both": set()
    }.items():  # fmt: skip
        before = loss(key)
        assert {name for name in other if loss(key, **{name: other[name]}) != before} == seen


def test_sides_that_differ_are_drawn_told_and_averaged() -> None:
    kinds = [{"share": 1, "rate": 0.5}]
    keys = {"source": "procedural", "size": 64, "edition": 2, "aus": "drawn", "expressions": kinds}
    plain = ProceduralExamples(ProceduralData.model_validate(keys), 3)
    sided = ProceduralExamples(ProceduralData.model_validate({**keys, "one_sided": 1.0}), 3)
    expression = sided.expression(0)
    assert expression.left != expression.right
    mean = np.mean([expression.left, expression.right], axis=0)
    np.testing.assert_allclose(sided.aus(0), mean, rtol=1e-6)
    assert (np.maximum(expression.left, expression.right) == plain.aus(0)).all()
    assert "one_sided" not in ProceduralData.model_validate(keys).model_dump()
    np.testing.assert_array_equal(flame_numbers(sided, 1)[0], flame_of(expression))
    np.testing.assert_array_equal(flame_numbers(plain, 1)[0], flame_of(plain.aus(0).tolist()))


def refusal(config: Path, tmp_path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        train_expression(config, tmp_path / "out", overrides=overrides)
    assert not (tmp_path / "out").exists()
    return str(caught.value).removeprefix(f"{config}: ")


def test_what_cannot_be_trained_is_refused(config: Path, tmp_path: Path) -> None:
    assert refusal(config, tmp_path, "drop_both=0.95") == (
        "drop_expression, drop_caption and drop_both add up to 1.05; they must to at most 1"
    )
    assert refusal(config, tmp_path, "data={source: dataset, path: faces}") == (
        "--set data={source: dataset, path: faces}: data: source is 'dataset'; the adapters learn "
        "from drawn people, whose expressions are known: it must be 'procedural'"
    )
