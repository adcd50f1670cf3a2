"""The extractor of drawn faces: its portraits, its crop, its training, its file."""

import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_training import make_vae_folder
from torch.nn import functional
from typer.testing import CliRunner

from pipelines.procedural import random_identity, render, renderer_version
from pipelines.procedural.flame import expression_of, flame_of
from pipelines.smirk import DrawnEncoder, load_extractor
from pipelines.smirk.extractors import MINI_FILE
from pipelines.smirk.faces import centered_face, crop_face
from pipelines.training.data.augmentation import augment
from pipelines.training.data.config import BatchAugmentation
from pipelines.training.data.drawing import expression_of_sides
from pipelines.training.flame_extractor import (
    FIRST_HELD_OUT,
    FIRST_IDENTITY,
    FlameExtractorConfig,
    LearnedPortraits,
    crop_grid,
    draw_portrait,
    train_flame_extractor,
)
from samplers.flame import Bank
from samplers.flame.drawn import CARRIED, MOVEMENTS, NAMES
from synthgen.cli.commands import app
from synthgen.config.loading import load_section
from synthgen.errors import ConfigError, OutputError, PictureError, WeightsError

TINY = {
    "seed": 3,
    "cycles": [{"steps": 2, "learning_rate": 0.01, "schedule": "constant", "warmup": 0.0}],
    "batch_size": 4,
    "faces": {"expressions": [{"share": 1.0, "rate": 0.4}], "one_sided": 1.0, "views": 2},
    "model": {"channels": [4, 4, 4, 4], "narrow": 2, "hidden": 8},
    "evaluation": {"faces": 8},
    "device": "cpu",
    "workers": 0,
    "log_every": 1,
}


@pytest.fixture
def config():
    return FlameExtractorConfig.model_validate(TINY)


def write(folder, **changes):
    path = folder / "flame-extractor.yaml"
    path.write_text(yaml.safe_dump(TINY | changes))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    decoded = {"vae": str(make_vae_folder(folder / "vae")), "share": 0.5}
    path = write(folder, decoded=decoded)
    return path, train_flame_extractor(path, folder / "out")


def test_a_portrait_is_a_function_of_its_index_and_shows_what_its_movements_say(config):
    one, again = LearnedPortraits(config)[3], LearnedPortraits(config)[3]
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one.pixels, LearnedPortraits(config)[4].pixels)
    drawn = draw_portrait(config, "train", 3, config.faces.expressions, config.faces.intensity, 1.0)
    assert np.array_equal(one.pixels.permute(1, 2, 0), np.asarray(drawn.picture))
    numbers = flame_of(expression_of_sides(drawn.sides))
    assert (one.movements.numpy() == 2 * numbers[: len(MOVEMENTS)]).all()
    left, right = one.movements[:24].reshape(12, 2).T
    assert (left != right).any()


def test_held_out_people_are_never_learned(config):
    assert FIRST_HELD_OUT - FIRST_IDENTITY > 10**8 * 4096
    asked = config.evaluation
    drawn = [
        draw_portrait(config, use, 0, config.faces.expressions, asked.intensity, 0.0).picture
        for use in ("train", "held-out")
    ]
    assert np.asarray(drawn[0]).tolist() != np.asarray(drawn[1]).tolist()


def test_it_is_learned_in_the_crop_in_which_it_reads():
    picture = render(random_identity(5, edition=2), [0.0] * 12, size=128)
    crop = crop_face(np.asarray(picture), centered_face(picture.size))
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()
    cut = functional.grid_sample(pixels, crop_grid(), align_corners=True)[0].permute(1, 2, 0)
    assert np.abs(cut.numpy() - crop).max() < 1.01  # bytes are cut off


def test_portraits_are_not_mirrored():
    pixels = torch.zeros(64, 3, 32, 32)
    pixels[..., :16] = 1.0
    bounds = BatchAugmentation(chance=0.0)
    assert torch.equal(augment(pixels, bounds, 32, mirrored=False).round(), pixels)
    assert not torch.equal(augment(pixels, bounds, 32).round(), pixels)


def test_stopped_and_continued_it_ends_in_the_same_weights(trained, tmp_path):
    path, whole = trained
    assert not train_flame_extractor(path, tmp_path / "parts", stop_at=1).exists()
    parts = train_flame_extractor(path, tmp_path / "parts")
    assert parts.name == "flame_extractor.safetensors"
    found, wanted = load_file(parts), load_file(whole)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_its_card_tells_r_per_number_and_sides(trained):
    _, file = trained
    card = json.loads((file.parent / "card.json").read_text())
    assert card["command"] == "synthgen train flame-extractor flame-extractor.yaml --to out"
    assert card["renderer"] == renderer_version(2)
    assert card["licence"] == "Apache-2.0"
    assert len(card["vae_sha256"]) == 64
    held_out = card["held_out"]
    assert held_out["faces"] == 8
    for name in ("drawn", "decoded"):
        assert list(held_out[name]) == [NAMES[place] for place in CARRIED]
        assert set(held_out[name]["jaw opening"]) == {"r", "mae"}
    for name in ("sides", "decoded_sides"):
        assert list(held_out[name]) == [one.name for one in MOVEMENTS if one.side == "left"]
    assert (file.parent / "curves.png").exists()


def test_a_folder_of_another_training_is_refused(trained, tmp_path):
    path, file = trained
    with pytest.raises(OutputError):
        train_flame_extractor(path, file.parent, overrides=["faces.one_sided=0.5"])


def test_what_it_reads_is_a_drawn_expression(trained):
    _, file = trained
    encoder = load_extractor(file)
    assert isinstance(encoder, DrawnEncoder)
    assert (encoder.name, encoder.licence) == (
        "mini",
        "extractor of drawn faces: Apache-2.0",
    )
    torch.manual_seed(1)
    numbers = encoder(torch.rand(3, 3, 224, 224))
    assert numbers.shape == (3, 55)
    for row in numbers.numpy():
        np.testing.assert_allclose(flame_of(expression_of(row)), row, atol=1e-5)


def test_it_stands_where_smirk_stands(trained, tmp_path):
    _, file = trained
    for seed in (1, 2):
        render(random_identity(seed), [0.0] * 12, size=128).save(tmp_path / f"{seed}.png")
    to = tmp_path / "bank.parquet"
    made = CliRunner().invoke(
        app,
        f"flame bank {tmp_path} --to {to} --smirk {file} --finder centered".split(),
    )
    assert made.exit_code == 0, made.output
    assert "read by mini; extractor of drawn faces: Apache-2.0\n" in made.output
    bank = Bank.read(to)
    assert bank.about.extractor == "mini"
    assert bank.about.extractor_fingerprint == load_extractor(file).fingerprint
    picture = Image.open(tmp_path / "1.png")
    crop = crop_face(np.asarray(picture), centered_face(picture.size))
    pixels = torch.from_numpy(crop).permute(2, 0, 1)[None] / 255
    read = load_extractor(file)(pixels)[0].numpy()
    assert any(np.array_equal(row, read) for row in bank.flame)


def test_other_files_are_refused(trained, tmp_path, monkeypatch):
    _, file = trained
    missing = tmp_path / "none.safetensors"
    wanted = "`synthgen train flame-extractor CONFIG --to FOLDER` makes one"
    assert refused(missing) == f"extractor {missing} does not exist; {wanted}"
    other = tmp_path / "other.safetensors"
    encoder = DrawnEncoder.from_file(file)
    encoder.save(other)
    save_file(load_file(other), other, {"format": "synthgen-judge-1"})
    assert refused(other) == (
        f"{other} is no extractor that `synthgen train flame-extractor` wrote: its format is "
        "'synthgen-judge-1', it must be 'synthgen-flame-extractor-1'"
    )
    with pytest.raises(WeightsError) as caught:
        load_extractor(file, bgr=True)
    assert str(caught.value) == (
        f"{file} reads drawn faces, which are RGB; leave --bgr out, which is for SMIRK"
    )
    monkeypatch.setattr("pipelines.smirk.extractors.MINI_FILE", missing)
    assert refused("mini") == f"extractor {missing} does not exist; {wanted}"
    with pytest.raises(PictureError) as said:
        encoder(torch.rand(1, 3, 112, 112))
    assert str(said.value) == (
        "the extractor of drawn faces takes images of shape [b, 3, 224, 224], and these have "
        "[1, 3, 112, 112]; crop_face makes faces of that size"
    )


def refused(named):
    with pytest.raises(WeightsError) as caught:
        load_extractor(named)
    return str(caught.value)


def test_the_embedded_one_lies_beside_the_embedded_weights():
    assert MINI_FILE.parent.name == "mini"
    assert (MINI_FILE.parent / "au_network.safetensors").exists()


def test_configurations_are_checked_and_the_example_is_allowed(tmp_path):
    config = load_section("examples/train/second/flame-extractor.yaml", FlameExtractorConfig)
    assert (config.faces.edition, config.faces.aus) == (2, "drawn")
    path = write(tmp_path, batch_size=4, accumulate=4)
    with pytest.raises(ConfigError) as caught:
        load_section(path, FlameExtractorConfig)
    assert str(caught.value).endswith(
        "batch_size 4 over accumulate 4 must leave at least 2 portraits in a part"
    )
