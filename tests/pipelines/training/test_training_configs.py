"""What configurations of trainings refuse, and that the examples are allowed."""

from pathlib import Path

import pytest
import tiny_training as tiny

from pipelines.training.clip.config import CLIPConfig
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


def test_a_number_that_nobody_writes_so_is_blamed_on_who_wrote_it(tmp_path):
    path = tiny.write(tmp_path / "x.yaml", tiny.vae())
    for override in ("seed=1_000", "data.size=064"):
        with pytest.raises(ConfigError) as caught:
            load_section(path, VAEConfig, [override])
        key, _, value = override.partition("=")
        assert str(caught.value) == (
            f"--set {override}: {key} is {value}; it must be a number, in plain decimal digits"
        )
    path.write_text(path.read_text().replace("seed: 3", "seed: 0_3"))
    with pytest.raises(ConfigError) as caught:
        load_section(path, VAEConfig, ["data.size=72"])
    assert str(caught.value).startswith(f"{path}: line 1: seed is 0_3; it must be a number")


def test_a_key_of_a_training_that_is_misspelt_is_answered_with_the_nearest(tmp_path):
    data = {**tiny.DRAWN, "source": "procedual"}
    assert refusal(tmp_path, "vae", tiny.vae(data=data)) == (
        "data.source is 'procedual'; did you mean 'procedural'? It must be 'procedural' or "
        "'dataset'"
    )
    data = {**tiny.DRAWN, "sise": 64}
    assert refusal(tmp_path, "vae", tiny.vae(data=data)) == (
        "line 18: unknown key data.sise; did you mean 'size'? There are expressions, intensity, "
        "edition, aus, even, one_sided, source, size, expression_words"
    )


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
