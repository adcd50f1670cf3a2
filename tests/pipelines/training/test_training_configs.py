"""What configurations of trainings refuse, and that the examples are allowed."""

from pathlib import Path

import pytest
import tiny_training as tiny

from pipelines.training.clip import CLIPConfig
from pipelines.training.unet import UNetConfig, UNetModel
from pipelines.training.vae import VAEConfig
from synthgen.config.loading import load_section
from synthgen.errors import ConfigError

EXAMPLES = Path(__file__).parents[3] / "examples" / "train"
KINDS = {"vae": VAEConfig, "clip": CLIPConfig, "unet": UNetConfig}


def refusal(tmp_path: Path, name: str, config: dict) -> str:
    path = tiny.write(tmp_path / "x.yaml", config)
    with pytest.raises(ConfigError) as caught:
        load_section(path, KINDS[name])
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_of_models_are_allowed(path):
    if path.stem in KINDS:
        load_section(path, KINDS[path.stem])


def test_groups_of_a_unet_have_more_than_one_channel_by_default():
    model = UNetModel()
    assert model.norm_num_groups == 8
    assert min(model.block_out_channels) // model.norm_num_groups > 1


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("vae", {"accumulate": 3}, "batch_size 2 must be a multiple of accumulate 3"),
        ("vae", {"data": {**tiny.DRAWN, "size": 65}}, "data.size"),
        (
            "vae",
            {"cycles": [{"steps": 1, "crop": 72}]},
            "crop 72 must be a multiple of 4 and at most data.size 64",
        ),
        (
            "vae",
            {"cycles": [{"steps": 1, "crop": 32, "crops": 3}]},
            "batch_size 2 must be a multiple of crops 3",
        ),
        ("clip", {"accumulate": 2}, "accumulate is 2; CLIP tells each pair from all others"),
        (
            "clip",
            {"data": {**tiny.DRAWN, "size": 128}},
            "vision.image_size 64 must be data.size 128",
        ),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, name, changes, said):
    config = {"vae": tiny.vae, "clip": tiny.clip}[name](**changes)
    assert said in refusal(tmp_path, name, config)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"norm_num_groups": 5}, "96 channels are no multiple of norm_num_groups 5"),
        ({"heads": 5}, "96 channels are no multiple of heads 5"),
        (
            {"cross_attention": [True]},
            "cross_attention has 1 levels; block_out_channels has 3",
        ),
    ],
)
def test_a_unet_that_cannot_be_made_is_refused(tmp_path, model, said):
    config = {**tiny.unet(tmp_path, tmp_path), "model": model}
    assert said in refusal(tmp_path, "unet", config)
