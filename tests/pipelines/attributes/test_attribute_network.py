"""The attribute network and its file."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipelines.attributes.network import SIDE, AttributeNetwork
from pipelines.procedural.vocabulary import TRAITS
from synthgen.errors import WeightsError

SHAPE = '{"channels": [4, 4, 4, 4], "narrow": 2, "hidden": 8}'


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(5)
    path = tmp_path / "attributes.safetensors"
    AttributeNetwork((4, 4, 4, 4), 2, 8).eval().save(path, {"licence": "free"})
    return path


def bent(file, **metadata):
    kept = {"format": "synthgen-attributes-1", "shape": SHAPE, "traits": json.dumps(TRAITS)}
    path = file.with_name("bent.safetensors")
    save_file(load_file(file), path, kept | metadata)
    return path


def test_it_tells_the_probability_of_each_value_of_each_trait(file):
    network = AttributeNetwork.from_file(file)
    found = network(torch.rand(3, 3, SIDE, SIDE))
    assert dict(network.traits) == TRAITS
    assert {name: tuple(values.shape) for name, values in found.items()} == {
        trait: (3, len(values)) for trait, values in TRAITS.items()
    }
    for values in found.values():
        torch.testing.assert_close(values.sum(1), torch.ones(3))


def test_what_an_image_shows_does_not_depend_on_the_others_nor_on_their_number(file):
    network = AttributeNetwork.from_file(file)
    images = torch.rand(5, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    whole, alone = network(images), network(images[3:4])
    assert all(torch.equal(whole[name][3:4], alone[name]) for name in TRAITS)
    assert {tuple(values.shape) for values in network(images[:0]).values()} == {
        (0, len(values)) for values in TRAITS.values()
    }


def test_images_of_another_size_are_scaled(file):
    network = AttributeNetwork.from_file(file)
    image = torch.rand(1, 3, 16, 16).repeat_interleave(8, 2).repeat_interleave(8, 3)  # 128×128
    large = image.repeat_interleave(4, 2).repeat_interleave(4, 3)
    for name, values in network(large).items():
        torch.testing.assert_close(values, network(image)[name], atol=0.02, rtol=0)


def test_a_file_keeps_the_traits_that_it_was_made_for(tmp_path):
    path = tmp_path / "two.safetensors"
    traits = {"glasses": ("no", "yes"), "age": ("young", "old")}
    AttributeNetwork((4, 4, 4, 4), 2, 8, traits).save(path)
    assert dict(AttributeNetwork.from_file(path).traits) == traits


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "none.safetensors"
    with pytest.raises(WeightsError) as caught:
        AttributeNetwork.from_file(path)
    assert str(caught.value) == (
        f"attribute network {path} does not exist; `synthgen train attributes CONFIG --to FOLDER` "
        "makes one"
    )


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (
            {"format": "other"},
            " is no attribute network that `synthgen train attributes` wrote: its format is "
            "'other', it must be 'synthgen-attributes-1'",
        ),
        ({"shape": "no"}, ": its metadata does not say what the attribute network looks like"),
        (
            {"shape": SHAPE.replace("8", "9000")},
            ": the attribute network's shape {'channels': [4, 4, 4, 4], 'narrow': 2, 'hidden': "
            "9000} must hold four channels, narrow and hidden, each from 1 to 4096",
        ),
        ({"traits": "[]"}, ": its metadata does not say which traits it reads"),
        (
            {"traits": '{"age": [["young"]]}'},
            " reads age as [['young']]; traits and their values are those of drawn faces: age, "
            "person, hair, hair_style, skin, beard, glasses, eyes, face",
        ),
        (
            {"traits": '{"height": ["small", "tall"]}'},
            " reads height as ['small', 'tall']; traits and their values are those of drawn "
            "faces: age, person, hair, hair_style, skin, beard, glasses, eyes, face",
        ),
    ],
)
def test_a_file_that_cannot_be_is_refused(file, metadata, said):
    path = bent(file, **metadata)
    with pytest.raises(WeightsError) as caught:
        AttributeNetwork.from_file(path)
    assert str(caught.value) == f"{path}{said}"


def test_tensors_must_be_exactly_the_networks(file):
    path = bent(file, traits='{"glasses": ["no", "yes"]}')
    with pytest.raises(WeightsError, match=r"does not fit the network; unexpected: heads\.age"):
        AttributeNetwork.from_file(path)
