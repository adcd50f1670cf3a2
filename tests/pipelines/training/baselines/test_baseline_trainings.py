"""Trainings of the baselines at tiny sizes: files, continuation, and what a pipeline shows."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file
from tiny_fineface import make_sd

from pipelines.baselines.pipeline import BaselinePipeline
from pipelines.training.methods import estimate_by_method, train_by_method
from synthgen.action_units import AUS

CONFIG = """
method: {method}
seed: 3
cycles: [{{steps: 4, learning_rate: 0.01}}]
batch_size: 2
examples: 40
workers: 0
checkpoint_every: 2
log_every: 1
sample_every: 4
base: {base}
data: {{source: procedural, size: 64, expressions: [{{share: 1, rate: 0.4}}]}}
sheet: {{prompts: [a man], expressions: [{{}}, {{AU12: 5}}], num_inference_steps: 2}}
export: {{dtype: float32}}
"""
LORA = "rank: 2\n"
OWN = {
    "lora-t": LORA,
    "lora-au": LORA + "shown_from: 1.5\n",
    "dreambooth": "prior: {images: 3, num_inference_steps: 2, prompts: [a man, a woman]}\n",
}
METHODS = list(OWN)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make_sd(tmp_path_factory.mktemp("base"), size=64, levels=3)


def configured(folder: Path, base: Path, method: str) -> Path:
    path = folder / f"{method}.yaml"
    path.write_text(CONFIG.format(base=base, method=method) + OWN[method])
    return path


@pytest.fixture(scope="module")
def made(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training by each method, from its first step to its last."""
    folder = tmp_path_factory.mktemp("whole")
    for method in METHODS:
        found = train_by_method(configured(folder, base, method), folder / method)
        assert found == folder / method / method
    return folder


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    files = sorted(folder.rglob("*.safetensors"))
    return {f"{file.name}/{name}": value
            for file in files for name, value in load_file(file).items()}  # fmt: skip


def test_each_writes_files_of_its_kind_and_a_card(made: Path) -> None:
    names = {
        "lora-t": ["pytorch_lora_weights.safetensors"],
        "lora-au": [f"{name}.safetensors" for name in AUS],
        "dreambooth": ["unet/config.json", "unet/diffusion_pytorch_model.safetensors"],
    }
    for method in METHODS:
        folder = made / method / method
        files = [path.relative_to(folder).as_posix() for path in folder.rglob("*.*")]
        assert sorted(files) == sorted([*names[method], "baseline.json", "card.json"])
        about = json.loads((folder / "baseline.json").read_text())
        assert about == {"method": method, "action_units": list(AUS)}
        card = json.loads((folder / "card.json").read_text())
        assert (card["steps"], card["examples_seen"]) == (4, 8)
        assert card["configuration"]["method"] == method
        assert len(card["sha256"]) == (12 if method == "lora-au" else 1)
        assert (made / method / "samples" / "00000004.png").is_file()
        text = (folder / "unet" / "config.json").read_text() if method == "dreambooth" else ""
        assert str(made.parent) not in text


@pytest.mark.parametrize("method", METHODS)
def test_stopped_and_continued_it_ends_in_the_same_bits(
    method: str, made: Path, base: Path, tmp_path: Path
) -> None:
    config = configured(tmp_path, base, method)
    stopped = train_by_method(config, tmp_path / "parts", stop_at=1)
    assert not stopped.exists()
    parts = tensors(train_by_method(config, tmp_path / "parts"))
    whole = tensors(made / method / method)
    assert parts.keys() == whole.keys()
    assert all(torch.equal(parts[name], value) for name, value in whole.items())
    history = [(folder / "history.jsonl").read_text()
               for folder in (tmp_path / "parts", made / method)]  # fmt: skip
    assert history[0] == history[1]


def test_each_is_estimated_and_what_learns_is_what_is_written(
    made: Path, base: Path, tmp_path: Path
) -> None:
    for method in METHODS:
        lines = estimate_by_method(configured(tmp_path, base, method))
        learned = sum(value.numel() for value in tensors(made / method / method).values())
        assert lines[:2] == [
            "steps: 4 of 2; each of 1 process(es) computes 1 part(s) of 2",
            f"learns: {learned:,} parameters",
        ]
        assert lines[5] == "latents: 40 × 2 kB = 0.00 GB on the disk (reckoned)"
        assert lines[6:] == (
            ["the base's 3 images of 2 steps, which are painted first, are not counted"]
            if method == "dreambooth"
            else []
        )
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    still = sum(value.numel() for value in unet.parameters())
    assert learned == still  # of DreamBooth: nothing of the UNet is frozen
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".yaml"] * 3


def painted(pipeline: StableDiffusionPipeline, *asked: object) -> torch.Tensor:
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    settings = {"num_inference_steps": 2, "output_type": "latent", "guidance_scale": 3.0}
    return pipeline("a boy", *asked, latents=noise, **settings).images


@pytest.mark.parametrize("method", METHODS)
def test_what_it_wrote_changes_the_picture(method: str, made: Path, base: Path) -> None:
    pipeline = BaselinePipeline.from_pretrained(base)
    before = painted(pipeline, {"AU12": 5})
    pipeline.load_trained(made / method / method)
    after = painted(pipeline, {"AU12": 5})
    assert after.isfinite().all()
    assert not torch.equal(after, before)
    if method != "lora-au":
        return
    # Only the LoRAs of the first four AUs had a step; none acts on a neutral face.
    plain = painted(StableDiffusionPipeline.from_pretrained(base))
    assert torch.equal(painted(pipeline, {}), plain)
    assert torch.equal(after, plain)
    assert not torch.equal(painted(pipeline, {"AU2": 5}), after)


def test_a_lora_of_au_learns_in_its_own_step_alone(made: Path, base: Path, tmp_path: Path) -> None:
    learned = {
        name: bool(load_file(made / "lora-au" / "lora-au" / f"{name}.safetensors")[up].any())
        for name in AUS
        for up in ["unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_B.weight"]
    }
    assert [name for name, has in learned.items() if has] == list(AUS[:4])


def test_the_base_paints_the_prior_once(made: Path, base: Path, tmp_path: Path) -> None:
    latents = made / "dreambooth" / "prior" / "latents.npy"
    found = np.load(latents)
    assert found.shape == (3, 4, 16, 16)
    assert np.isfinite(found).all()
    config = configured(tmp_path, base, "dreambooth")
    shutil.copytree(made / "dreambooth", tmp_path / "out")
    kept = tmp_path / "out" / "prior" / "latents.npy"
    before = kept.stat().st_mtime_ns
    (tmp_path / "out" / "checkpoint.pt").unlink()
    train_by_method(config, tmp_path / "out", stop_at=1)
    assert kept.stat().st_mtime_ns == before
    (tmp_path / "again").mkdir()
    train_by_method(config, tmp_path / "again", stop_at=1)
    assert np.array_equal(np.load(tmp_path / "again" / "prior" / "latents.npy"), found)
    lines = (made / "dreambooth" / "history.jsonl").read_text().splitlines()
    for one in map(json.loads, lines):
        assert one["loss"] == pytest.approx(one["diffusion"] + one["prior"])


def test_the_unet_of_dreambooth_is_diffusers_own(made: Path, base: Path) -> None:
    folder = made / "dreambooth" / "dreambooth" / "unet"
    before = UNet2DConditionModel.from_pretrained(base / "unet").state_dict()
    after = UNet2DConditionModel.from_pretrained(folder).state_dict()
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], value) for name, value in after.items())
