"""The training of the face adapter: what learns, what stays, and that the pipeline loads it."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file
from tiny_fineface import make_fineface, make_sd
from torch import Tensor

from pipelines.faceid.network import FaceNetwork, save_face_network
from pipelines.fineface import FineFaceIPAdapterPipeline
from pipelines.fineface.branch import au_branch
from pipelines.fineface.checkpoint import read_au_adapter
from pipelines.fineface.face_adapter import load_face_adapter, read_face_adapter, write_face_adapter
from pipelines.training.diffusion.base import FrozenBase, load_base
from pipelines.training.diffusion.config import AdapterCycle
from pipelines.training.diffusion.reader import LatentReader
from pipelines.training.faceid.learner import FaceIdLearner, FaceStart
from pipelines.training.faceid.people import FaceIdTrainingConfig, PeopleBatch
from pipelines.training.faceid.train import train_faceid
from pipelines.weight_files import file_sha256
from synthgen.errors import ConfigError, OutputError, WeightsError

CPU = torch.device("cpu")
FILE = "ip_adapter.safetensors"
ATTENTION = "up_blocks.1.attentions.0.transformer_blocks.0.attn2"

CONFIG = """
seed: 3
cycles: [{{steps: 4, learning_rate: 0.01}}]
batch_size: 4
accumulate: 2
examples: 6
tokens: 2
workers: 0
checkpoint_every: 2
log_every: 1
sample_every: 4
base: {base}
fineface: {fineface}
embedder: {{kind: mini, weights: {embedder}}}
data: {{source: procedural, size: 64, expressions: [{{share: 1, rate: 0.4}}]}}
sheet: {{people: 2, expressions: [{{}}, {{AU12: 5}}], num_inference_steps: 2}}
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base of 64×64, FineFace files and a face embedder."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("files")
    make_sd(folder, size=64, levels=3)
    make_fineface(folder / "fineface")
    torch.manual_seed(4)
    network = FaceNetwork((2, 2, 2, 2), (1, 1, 1, 1)).eval()
    save_face_network(network, folder / "embedder.safetensors")
    return folder


@pytest.fixture
def config(files: Path, tmp_path: Path) -> Path:
    path = tmp_path / "faceid.yaml"
    path.write_text(
        CONFIG.format(
            base=files / "sd", fineface=files / "fineface", embedder=files / "embedder.safetensors"
        )
    )
    return path


@pytest.fixture
def base(files: Path) -> FrozenBase:
    return load_base(files / "sd", CPU, torch.float32, "sdpa")


@pytest.fixture
def batch() -> PeopleBatch:
    draw = torch.Generator().manual_seed(7)
    faces = torch.randn(4, 512, generator=draw)
    return PeopleBatch(
        latents=torch.randn(4, 4, 16, 16, generator=draw),
        input_ids=torch.randint(0, 70, (4, 20), generator=draw),
        aus=5 * torch.rand(4, 12, generator=draw),
        faces=faces / faces.norm(dim=1, keepdim=True),
    )


def settings(**changes: object) -> FaceIdTrainingConfig:
    return FaceIdTrainingConfig.model_validate(
        {
            "seed": 1,
            "cycles": (AdapterCycle(steps=100, learning_rate=0.01),),
            "batch_size": 4,
            "data": {"source": "procedural", "expressions": [{"share": 1, "rate": 0.3}]},
            "examples": 4,
            "base": "unused",
            "embedder": {"kind": "mini"},
            "tokens": 2,
            "ema_decay": 0.0,
            **changes,
        }
    )


def test_it_writes_a_file_that_the_pipeline_loads_and_goes_on_to_the_same_bits(
    config: Path, files: Path, tmp_path: Path
) -> None:
    folder = train_faceid(config, tmp_path / "whole")

    assert sorted(path.name for path in folder.iterdir()) == ["card.json", FILE]
    card = json.loads((folder / "card.json").read_text())
    assert (card["steps"], card["examples_seen"], card["licence"]) == (4, 16, "Apache-2.0")
    assert sorted(card["fineface_files"]) == [
        "attn_processors.ckpt", "au_encoder.ckpt", "pytorch_lora_weights.safetensors"
    ]  # fmt: skip
    assert (tmp_path / "whole" / "samples" / "00000004.png").is_file()
    pipeline = FineFaceIPAdapterPipeline.from_pretrained(files / "sd")
    load_face_adapter(pipeline, folder / FILE)
    assert read_face_adapter(folder / FILE, pipeline.unet).embedder == card["embedder_fingerprint"]
    tensors = load_file(folder / FILE)
    assert {value.dtype for value in tensors.values()} == {torch.float16}

    assert not train_faceid(config, tmp_path / "parts", stop_at=2).exists()
    parts = load_file(train_faceid(config, tmp_path / "parts") / FILE)
    assert all(torch.equal(parts[name], value) for name, value in tensors.items())
    found = np.load(tmp_path / "parts" / "faces.npy")
    assert found.shape == (6, 512)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_sheets_are_painted_beside_a_base_of_half_precision(
    files: Path, config: Path, tmp_path: Path
) -> None:
    half = tmp_path / "half"
    pipeline = StableDiffusionPipeline.from_pretrained(files / "sd", dtype=torch.float16)
    pipeline.save_pretrained(half)
    train_faceid(config, tmp_path / "out", overrides=(f"base={half}", "dtype=bfloat16"))
    assert (tmp_path / "out" / "samples" / "00000004.png").is_file()


def test_embeddings_of_something_else_are_refused(config: Path, tmp_path: Path) -> None:
    train_faceid(config, tmp_path / "out", stop_at=1)
    config.write_text(config.read_text().replace("examples: 6", "examples: 7"))
    with pytest.raises(OutputError, match=r"was made of .* train into another folder"):
        train_faceid(config, tmp_path / "out", overrides=[f"latents={tmp_path / 'other'}"])


def test_it_begins_from_a_face_adapter_that_is_there(
    files: Path, config: Path, base: FrozenBase, tmp_path: Path
) -> None:
    first = train_faceid(config, tmp_path / "first")
    trained = load_file(first / FILE)
    steps = ["cycles=[{steps: 1, learning_rate: 0.000001}]", f"init={first / FILE}"]
    folder = train_faceid(config, tmp_path / "further", overrides=steps)
    for name, value in load_file(folder / FILE).items():
        torch.testing.assert_close(value, trained[name], atol=1e-4, rtol=2e-3)
    about = json.loads((folder / "card.json").read_text())["started_from"]
    assert about["sha256"] == file_sha256(first / FILE)
    assert (about["numbers_taken"], about["new"]) == (about["numbers"], [])

    with pytest.raises(WeightsError) as caught:
        FaceStart.find(str(first / FILE), base.unet, "another")
    embedder = json.loads((first / "card.json").read_text())["embedder_fingerprint"]
    assert str(caught.value) == (
        f"init: {first / FILE} was trained with the embedder {embedder}, the people are described "
        "by another: its tokens would mean nothing"
    )
    found = FaceStart.find(str(first / FILE), base.unet, embedder)
    with pytest.raises(WeightsError, match=r"at least 100% are needed; the first other layer is"):
        FaceIdLearner(settings(tokens=3), base, None, CPU, begins=found)


def test_only_the_face_adapter_learns(files: Path, base: FrozenBase, batch: PeopleBatch) -> None:
    text = base.unet.get_parameter(f"{ATTENTION}.to_v.weight")
    frozen = copy.deepcopy([base.unet.state_dict(), base.text_encoder.state_dict()])
    au_adapter = read_au_adapter(files / "fineface", base.unet, "", 1.0)
    kept = copy.deepcopy(au_adapter.state_dict())
    learner = FaceIdLearner(settings(), base, au_adapter, CPU)
    start = copy.deepcopy(learner.network.state_dict())
    processors: Any = base.unet.attn_processors
    assert torch.equal(processors[f"{ATTENTION}.processor"].to_v_ip[0].weight, text)

    for _ in range(2):
        learner.learn(batch)

    now = [base.unet.state_dict(), base.text_encoder.state_dict()]
    assert all(
        torch.equal(one[name], other[name])
        for one, other in zip(frozen, now, strict=True)
        for name in one
    )
    assert all(torch.equal(value, kept[name]) for name, value in au_adapter.state_dict().items())
    changed = {k for k, v in learner.network.state_dict().items() if not torch.equal(v, start[k])}
    assert changed == set(start)


@pytest.mark.parametrize("attention", ["sdpa", "explicit"])
def test_the_pipeline_computes_what_the_training_did(
    files: Path, batch: PeopleBatch, tmp_path: Path, attention: str
) -> None:
    base = load_base(files / "sd", CPU, torch.float32, attention)
    au_adapter = read_au_adapter(files / "fineface", base.unet, "", 1.0)
    learner = FaceIdLearner(settings(attention=attention), base, au_adapter, CPU)
    for _ in range(2):
        learner.learn(batch)
    timesteps = torch.tensor([1, 300, 600, 999])
    with torch.no_grad():
        trained = learner.predict(batch.latents, timesteps, *batch[1:])
        nobody = learner.predict(batch.latents, timesteps, *batch[1:3], torch.zeros(4, 512))
    write_face_adapter(tmp_path / FILE, learner.average.to_file(torch.float32, "sha256:01"))

    pipeline = FineFaceIPAdapterPipeline.from_pretrained(files / "sd")
    pipeline.load_au_adapter(files / "fineface")
    load_face_adapter(pipeline, tmp_path / FILE)

    with torch.no_grad(), au_branch(pipeline.unet, pipeline.au_adapter(batch.aus)):
        text = pipeline.text_encoder(batch.input_ids)[0]
        added = {"image_embeds": [batch.faces[:, None]]}
        loaded = pipeline.unet(batch.latents, timesteps, text, added_cond_kwargs=added).sample
    torch.testing.assert_close(loaded, trained, rtol=0, atol=2e-4)
    assert (nobody - trained).abs().max() > 0.01


@pytest.mark.parametrize("attention", ["sdpa", "explicit"])
def test_half_precision_learns_alike(
    files: Path, base: FrozenBase, batch: PeopleBatch, attention: str
) -> None:
    half = load_base(files / "sd", CPU, torch.bfloat16, attention)
    au_adapter = [read_au_adapter(files / "fineface", b.unet, "", 1.0) for b in (half, base)]
    learner = FaceIdLearner(
        settings(dtype="bfloat16", attention=attention), half, au_adapter[0], CPU
    )
    assert learner.learn(batch)["loss"] == pytest.approx(
        FaceIdLearner(settings(), base, au_adapter[1], CPU).learn(batch)["loss"], rel=0.02
    )
    assert {p.dtype for p in learner.network.parameters()} == {torch.float32}


def test_a_batch_without_people_is_the_same_for_whoever_is_dropped(
    base: FrozenBase, batch: PeopleBatch
) -> None:
    learner = FaceIdLearner(settings(drop_face=1.0), base, None, CPU)

    def loss(faces: Tensor) -> float:
        torch.manual_seed(0)
        with torch.no_grad():
            return float(learner.losses(batch._replace(faces=faces))["loss"])

    assert loss(batch.faces) == loss(-batch.faces)


READING = """
reading:
  weight: 0.3
  aus_weight: 0.2
  reader: {seed: 5, cycles: [{steps: 2}], batch_size: 4, channels: [8, 8]}
"""
PAINTED = (
    "[{steps: 1, learning_rate: 0.01}, "
    "{steps: 1, learning_rate: 0.01, painted: 0.5, painting_steps: 2}]"
)


def test_people_are_read_from_guesses_and_from_what_is_painted(
    config: Path, tmp_path: Path
) -> None:
    text = config.read_text().replace("[{steps: 4, learning_rate: 0.01}]", PAINTED) + READING
    config.write_text(text)
    whole = load_file(train_faceid(config, tmp_path / "whole") / FILE)
    train_faceid(config, tmp_path / "parts", stop_at=1)
    parts = load_file(train_faceid(config, tmp_path / "parts") / FILE)

    assert all(torch.equal(parts[name], value) for name, value in whole.items())
    assert (tmp_path / "whole" / "reader" / "checkpoint.pt").is_file()
    lines = (tmp_path / "parts" / "history.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert ["painted faces" in one for one in found] == [False, True]
    for one in found:
        total = one["diffusion"] + 0.3 * (one["read faces"] + 0.2 * one["read AUs"])
        if "painted faces" in one:
            total += 0.5 * (one["painted faces"] + 0.2 * one["painted AUs"])
        assert one["loss"] == pytest.approx(total)

    config.write_text(text.replace("seed: 5", "seed: 6"))
    with pytest.raises(OutputError) as caught:
        train_faceid(config, tmp_path / "parts")
    assert str(caught.value) == (
        f"{tmp_path / 'parts' / 'reader' / 'checkpoint.pt'} was trained with seed 5, now it is 6; "
        "train into another folder with --to"
    )


def test_nobody_is_read_where_all_are_hidden(base: FrozenBase, batch: PeopleBatch) -> None:
    hidden = settings(drop_face=1.0, reading={"weight": 0.3, "reader": {"seed": 1}})
    reader = LatentReader((4, 16, 16), (8, 8), 524)
    found = FaceIdLearner(hidden, base, None, CPU, reader).losses(batch)
    assert found["read faces"] == 0
    assert found["loss"] == found["diffusion"]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "cycles=[{steps: 1, painted: 0.5}]",
            "cycles.0.painted is 0.5, but reading is null: what is painted is learned from by "
            "being read",
        ),
        (
            "reading={weight: 1, aus_weight: 0.1, reader: {seed: 1}}",
            "reading.aus_weight is 0.1, but fineface is null: nothing tells the model which AUs; "
            "it must be 0",
        ),
    ],
)
def test_a_reading_that_does_not_fit_is_refused(
    config: Path, tmp_path: Path, override: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        train_faceid(config, tmp_path / "out", overrides=["fineface=null", override])
    assert str(caught.value) == f"{config}: {said}"


def test_what_cannot_be_trained_is_refused(config: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the FaceID training does not compile"):
        train_faceid(config, tmp_path / "out", overrides=["compile=true"])
    with pytest.raises(ConfigError, match="face adapters have null alone"):
        train_faceid(config, tmp_path / "out", overrides=["export.also=ckpt"])
