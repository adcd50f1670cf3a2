"""A base that begins from another, and learns that its guesses show what captions tell."""

import json
import math
from typing import Any

import pytest
import tiny_training as tiny
import torch

from pipelines.procedural.vocabulary import TRAITS, traits_in
from pipelines.training.clip.train import train_clip
from pipelines.training.data.portraits import NOT_SHOWN
from pipelines.training.diffusion.loss import Guess
from pipelines.training.diffusion.reader import LatentReader
from pipelines.training.diffusion.traits import by_trait, told_classes, told_error
from pipelines.training.unet import UNetConfig, begin_unet, make_unet, train_unet
from pipelines.training.vae import train_vae
from synthgen.config.loading import load_section
from synthgen.errors import ConfigError, WeightsError

READING = {"weight": 0.2, "reader": {"seed": 5, "cycles": [{"steps": 3}], "channels": [8, 8]}}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("parts")
    narrow = {**tiny.vae()["model"], "latent_channels": 4}
    wide = {**narrow, "latent_channels": 6}
    vaes = [
        train_vae(tiny.write(folder / f"{n}.yaml", tiny.vae(model=model)), folder / n)
        for n, model in (("narrow", narrow), ("wide", wide))
    ]
    clip = folder / "clip"
    train_clip(tiny.write(folder / "clip.yaml", tiny.clip()), clip)
    config = tiny.write(folder / "unet.yaml", tiny.unet(vaes[0], clip))
    return {
        "narrow": vaes[0],
        "wide": vaes[1],
        "clip": clip,
        "base": train_unet(config, folder / "b"),
    }


def a_unet(parts: dict[str, Any], channels: int) -> Any:
    torch.manual_seed(8)
    config = UNetConfig.model_validate(tiny.unet(parts["narrow"], parts["clip"]))
    return make_unet(config, (channels, 16, 16), 16).eval()


@torch.inference_mode()
def test_a_begun_unet_predicts_what_the_other_does_in_the_channels_of_both(parts):
    old, new = a_unet(parts, 4), a_unet(parts, 6)
    begin_unet(old, parts["base"])
    start = begin_unet(new, parts["base"])
    latents, text = torch.randn(2, 6, 16, 16), torch.randn(2, 5, 16)
    times = torch.tensor([30, 700])
    wanted = old(latents[:, :4], times, text).sample
    torch.testing.assert_close(new(latents, times, text).sample[:, :4], wanted)
    assert start.grown == {"conv_out.weight": 4, "conv_out.bias": 4}
    assert start.new == ()


def test_a_training_begins_from_a_base_reads_traits_and_goes_on_to_the_bit(parts, tmp_path):
    config = tiny.unet(parts["wide"], parts["clip"], init=str(parts["base"]), reading=READING)
    path = tiny.write(tmp_path / "x.yaml", config)
    base = train_unet(path, tmp_path / "whole")
    for stop in (2, None):
        train_unet(path, tmp_path / "parts", stop)
    assert tiny.history(tmp_path / "parts") == tiny.history(tmp_path / "whole")
    last = tiny.history(tmp_path / "whole")[-1]
    assert last["loss"] == pytest.approx(last["diffusion"] + 0.2 * last["read"], rel=1e-5)
    card = json.loads((base / "unet" / "card.json").read_text())
    first = json.loads((parts["base"] / "unet" / "card.json").read_text())
    assert card["started_from"]["sha256"] == first["sha256"]


def test_a_base_without_a_unet_or_of_another_size_is_refused(parts, tmp_path):
    with pytest.raises(WeightsError) as missing:
        begin_unet(a_unet(parts, 4), tmp_path)
    file = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    assert str(missing.value) == f"UNet {file} does not exist"
    model = {
        "block_out_channels": [16, 32],
        "cross_attention": [True, False],
        "norm_num_groups": 4,
        "heads": 2,
    }
    config = tiny.unet(parts["narrow"], parts["clip"], model=model)
    wider = make_unet(UNetConfig.model_validate(config), (4, 16, 16), 16)
    with pytest.raises(WeightsError, match="does not fit as a start: it holds"):
        begin_unet(wider, parts["base"])


def test_traits_are_read_of_drawn_portraits_alone(parts, tmp_path):
    config = tiny.unet(parts["narrow"], parts["clip"], reading=READING)
    config["data"] = {"source": "dataset", "path": "faces", "size": 64}
    with pytest.raises(ConfigError, match=r"reading needs data\.source procedural"):
        load_section(tiny.write(tmp_path / "x.yaml", config), UNetConfig, ())


def test_told_traits_are_those_that_the_caption_names():
    told = told_classes(traits_in("a photo of an old bald man wearing glasses"))
    shown = {trait: told[i] for i, trait in enumerate(TRAITS) if told[i] != NOT_SHOWN}
    assert shown == {"age": 2, "person": 0, "hair_style": 6, "glasses": 1}


def test_an_error_counts_told_traits_alone_and_falls_when_they_are_shown():
    sizes = [len(values) for values in TRAITS.values()]
    reader = LatentReader((4, 8, 8), (8, 8), sum(sizes)).requires_grad_(False)
    reader.head[-1].weight.zero_()
    logits = reader.head[-1].bias.zero_()[None]
    guess = Guess(torch.zeros(2, 4, 8, 8), torch.tensor([1.0, 0.25]))
    told = torch.full((2, len(TRAITS)), NOT_SHOWN)
    assert float(told_error(reader, guess, told)) == 0.0
    told[:, list(TRAITS).index("glasses")] = 1
    unsure = float(told_error(reader, guess, told))
    assert unsure == pytest.approx((1 + 0.5) * math.log(2) / 2)
    by_trait(logits)["glasses"][:, 1] = 9
    assert float(told_error(reader, guess, told)) < 1e-3
    by_trait(logits)["age"][:] = torch.tensor([5.0, 0.0, -5.0])
    assert float(told_error(reader, guess, told)) < 1e-3
