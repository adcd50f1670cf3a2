"""A VAE that begins from another: the images stay, latent channels are added."""

import json
from typing import Any

import pytest
import tiny_training as tiny
import torch
from diffusers import AutoencoderKL

from pipelines.training.vae import VAEModel, begin_from, make_vae, train_vae
from synthgen.errors import ConfigError, OutputError


def a_vae(channels: int, seed: int) -> Any:
    torch.manual_seed(seed)
    model = VAEModel(block_out_channels=(8, 8), latent_channels=channels, norm_num_groups=2)
    return make_vae(model, 64).eval()


@pytest.mark.parametrize("channels", [4, 7])
@torch.inference_mode()
def test_a_begun_vae_makes_the_images_of_the_other(channels):
    old, new = a_vae(4, seed=1), a_vae(channels, seed=2)
    before = {name: value.clone() for name, value in old.state_dict().items()}
    begin_from(new, old)
    pixels = torch.rand(2, 3, 64, 64) * 2 - 1
    wanted, found = old.encode(pixels).latent_dist, new.encode(pixels).latent_dist
    torch.testing.assert_close(found.mode()[:, :4], wanted.mode())
    torch.testing.assert_close(found.logvar[:, :4], wanted.logvar)
    torch.testing.assert_close(
        new.decode(found.mode()).sample, old.decode(wanted.mode()).sample, rtol=1e-4, atol=1e-5
    )
    assert all(torch.equal(value, before[name]) for name, value in old.state_dict().items())
    if channels > 4:  # what is added tells something of the image, and can be learned
        assert (found.mode()[:, 4:].std((0, 2, 3)) > 0.01).all()
        assert torch.allclose(found.logvar[:, 4:], torch.tensor(-6.0))


def test_another_size_or_fewer_channels_are_refused():
    with pytest.raises(ConfigError) as fewer:
        begin_from(a_vae(3, 1), a_vae(4, 2))
    size = "block_out_channels (8, 8), layers_per_block 1, latent_channels {}, norm_num_groups 2"
    assert str(fewer.value) == f"init is a VAE of {size.format(4)}; model asks for {size.format(3)}"
    model = VAEModel(block_out_channels=(8, 16), norm_num_groups=2)
    with pytest.raises(ConfigError, match=r"model asks for block_out_channels \(8, 16\)"):
        begin_from(make_vae(model, 64), a_vae(4, 1))


def test_a_training_begins_where_another_ended_and_knows_it(tmp_path):
    size = {**tiny.vae()["model"]}
    first = train_vae(tiny.write(tmp_path / "a.yaml", tiny.vae()), tmp_path / "a")
    wide = tiny.vae(init=str(first), model={**size, "latent_channels": 6})
    path = tiny.write(tmp_path / "b.yaml", wide)
    made = train_vae(path, tmp_path / "b")
    assert AutoencoderKL.from_pretrained(made).config["latent_channels"] == 6
    sha256 = json.loads((first / "card.json").read_text())["sha256"]
    assert json.loads((made / "card.json").read_text())["init_sha256"] == sha256
    other = tiny.write(tmp_path / "a2.yaml", tiny.vae(seed=9))
    wide["init"] = str(train_vae(other, tmp_path / "a2"))
    with pytest.raises(OutputError, match="was trained with init_sha256"):
        train_vae(tiny.write(path, wide), tmp_path / "b")
