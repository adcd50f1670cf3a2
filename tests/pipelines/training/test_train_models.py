"""VAE, CLIP and UNet, trained to the end at tiny sizes: resumed, exported, read again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tiny_training as tiny
import torch
from datasets import Dataset
from diffusers import AutoencoderKL, StableDiffusionPipeline
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizer

from pipelines.training.clip.train import train_clip
from pipelines.training.data.augmentation import to_pixels
from pipelines.training.data.config import ProceduralData
from pipelines.training.data.examples import examples_of
from pipelines.training.unet import train_unet
from pipelines.training.vae import aus_that_survive, train_vae


class Trained(NamedTuple):
    """A training that ran from its first step to its last."""

    train: Callable[..., Path]
    config: Path
    folder: Path


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    folder = tmp_path_factory.mktemp("trained")
    found: dict[str, Trained] = {}

    def add(name: str, train: Callable[..., Path], config: dict[str, Any]) -> None:
        path = tiny.write(folder / f"{name}.yaml", config)
        train(path, folder / name)
        found[name] = Trained(train, path, folder / name)

    add("vae", train_vae, tiny.vae())
    add("clip", train_clip, tiny.clip())
    add("unet", train_unet, tiny.unet(folder / "vae" / "vae", folder / "clip"))
    return found


@pytest.mark.parametrize("name", ["vae", "clip", "unet"])
def test_stopped_and_continued_the_curve_is_the_same_to_the_bit(trained, name, tmp_path):
    whole = trained[name]
    for stop in (1, 3):
        whole.train(whole.config, tmp_path / "parts", stop)
    whole.train(whole.config, tmp_path / "parts", overrides=["workers=1"])
    parts = tmp_path / "parts"
    assert (parts / "history.jsonl").read_bytes() == (whole.folder / "history.jsonl").read_bytes()
    assert [point["step"] for point in tiny.history(parts)] == [1, 2, 3, 4, 5, 6]
    for sheet in (whole.folder / "samples").glob("*.png"):
        assert (parts / "samples" / sheet.name).read_bytes() == sheet.read_bytes()


def test_points_after_the_checkpoint_of_a_killed_training_are_drawn_again(trained, tmp_path):
    whole = trained["vae"]
    train_vae(whole.config, tmp_path / "killed", 3)
    with (tmp_path / "killed" / "history.jsonl").open("a") as file:
        file.write('{"step": 4, "loss": 99.0}\n{"step": 5, "lo')
    train_vae(whole.config, tmp_path / "killed")
    assert tiny.history(tmp_path / "killed") == tiny.history(whole.folder)


def test_the_vae_is_read_by_diffusers(trained):
    folder = trained["vae"].folder
    vae = AutoencoderKL.from_pretrained(folder / "vae")
    assert vae.encode(torch.zeros(1, 3, 64, 64)).latent_dist.mode().shape == (1, 4, 16, 16)
    card = json.loads((folder / "vae" / "card.json").read_text())
    assert card["command"] == "synthgen train vae vae.yaml --to vae"
    assert (card["licence"], card["steps"], card["examples_seen"]) == ("Apache-2.0", 6, 12)
    assert (card["held_out"]["faces"], card["held_out"]["faceless"]) == (8, 8)
    assert Image.open(folder / "samples" / "00000006.png").size == (8 * 64, 4 * 64)
    assert Image.open(folder / "curves.png").width == 800


def test_images_without_a_face_before_or_after_the_vae_are_left_out_and_counted():
    data = ProceduralData.model_validate({**tiny.DRAWN, "size": 128})
    drawn = examples_of(data, 3, held_out=True)
    images = [drawn.image(row) for row in range(9)]
    decoded = torch.stack([to_pixels(image) for image in images])
    asked = np.stack([drawn.aus(row) for row in range(9)])
    kept = aus_that_survive(images[:7], decoded[:7], asked[:7])
    assert kept["faceless"] == 0
    decoded[7] = 0
    images[8] = Image.new("RGB", (128, 128), (90, 90, 90))
    found = aus_that_survive(images, decoded, asked)
    assert found["faceless"] == 2
    for name, values in found["aus"].items():
        assert values == pytest.approx(kept["aus"][name], nan_ok=True)
        assert values["r_image"] == pytest.approx(1)
    nobody = aus_that_survive(images, torch.zeros_like(decoded), asked)
    assert nobody["faceless"] == 9
    assert np.isnan(nobody["aus"]["AU12"]["r_drawn"])


def test_the_clip_pair_is_read_by_transformers(trained):
    folder = trained["clip"].folder
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    text = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    tokens = tokenizer("a portrait of a man", padding="max_length", return_tensors="pt")
    assert text(tokens.input_ids).last_hidden_state.shape == (1, 16, 16)
    card = json.loads((folder / "text_encoder" / "card.json").read_text())
    assert card["held_out"]["pairs"] == 8


def test_the_base_is_read_as_stable_diffusion(trained):
    folder = trained["unet"].folder
    pipeline = StableDiffusionPipeline.from_pretrained(
        folder / "base", dtype=torch.float32, safety_checker=None
    )
    pipeline.set_progress_bar_config(disable=True)
    image = pipeline("a portrait of a man", num_inference_steps=2, output_type="np").images[0]
    assert image.shape == (64, 64, 3)
    assert Image.open(folder / "samples" / "00000006.png").size == (8 * 64, 2 * 64)


def test_a_cycle_is_added_to_a_finished_training(trained, tmp_path):
    config = tiny.vae(cycles=[{"steps": 2}])
    path = tiny.write(tmp_path / "vae.yaml", config)
    train_vae(path, tmp_path / "out")
    tiny.write(path, {**config, "cycles": [{"steps": 2}, {"steps": 1, "crop": 16, "crops": 2}]})
    train_vae(path, tmp_path / "out")
    train_vae(path, tmp_path / "anew")
    assert tiny.history(tmp_path / "out") == tiny.history(tmp_path / "anew")
    assert len(tiny.history(tmp_path / "out")) == 3


def test_rows_of_a_dataset_serve_all_three(trained, tmp_path):
    rows = {
        "image": [Image.new("RGB", (70, 64), (9 * i, 90, 200)) for i in range(10)],
        "prompt": [f"a portrait of a man in room {i}" for i in range(10)],
        "aus": [[0.5 * i] * 12 for i in range(10)],
    }
    Dataset.from_dict(rows).save_to_disk(tmp_path / "rows")
    data = {"source": "dataset", "path": str(tmp_path / "rows"), "size": 64}
    changes = {"data": data, "cycles": [{"steps": 12}], "sample_every": 12}
    vae, clip = trained["vae"].folder / "vae", trained["clip"].folder
    for train, config in (
        (train_vae, tiny.vae(**changes)),
        (train_clip, tiny.clip(**changes)),
        (train_unet, tiny.unet(vae, clip, **changes, examples=None)),
    ):
        path = tiny.write(tmp_path / "config.yaml", config)
        folder = tmp_path / train.__name__
        train(path, folder)
        assert len(tiny.history(folder)) == 12
    aus = np.load(tmp_path / "train_unet" / "latents" / "aus.npy")
    assert aus.tolist() == rows["aus"]
