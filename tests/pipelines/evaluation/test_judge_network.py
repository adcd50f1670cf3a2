"""The second judge's network and its file."""

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_evaluation import make_judge_file

from pipelines.evaluation.judge_network import INPUT_SIDE, JUDGED_TRAITS, load_judge, save_judge
from pipelines.evaluation.judges import AUJudge, SecondJudge
from pipelines.procedural import random_identity, render
from pipelines.procedural.vocabulary import TRAITS
from synthgen.errors import WeightsError


@pytest.fixture
def file(tmp_path):
    return make_judge_file(tmp_path / "judge.safetensors")


def test_it_reads_aus_and_traits(file):
    found = load_judge(file)(torch.rand(3, 3, INPUT_SIDE, INPUT_SIDE))
    assert found.aus.shape == (3, 12)
    assert {name: logits.shape for name, logits in found.traits.items()} == {
        trait: (3, len(TRAITS[trait])) for trait in JUDGED_TRAITS
    }


def test_a_saved_judge_is_the_same_judge(file, tmp_path):
    network = load_judge(file)
    save_judge(network, tmp_path / "again.safetensors")
    again = load_judge(tmp_path / "again.safetensors")
    assert again.shape == network.shape
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


def test_a_judge_measures_images_of_any_size(file):
    judge: AUJudge = SecondJudge.from_file(file)
    face = render(random_identity(seed=5), [0.0] * 12, size=128)
    images = [face, face.resize((256, 256), Image.Resampling.BICUBIC), face.crop((0, 10, 128, 110))]
    aus = judge.measure(images)
    assert aus.shape == (3, 12)
    assert ((aus >= 0) & (aus <= 5)).all()
    assert len(judge.weights[file.name]) == 64
    traits = SecondJudge.from_file(file).traits(images)
    assert {trait: set(values) <= set(TRAITS[trait]) for trait, values in traits.items()} == (
        dict.fromkeys(JUDGED_TRAITS, True)
    )


def test_a_missing_judge_is_named(tmp_path):
    path = tmp_path / "none.safetensors"
    with pytest.raises(WeightsError) as caught:
        load_judge(path)
    assert str(caught.value) == (
        f"judge {path} does not exist; `synthgen train judge CONFIG --to FOLDER` makes one"
    )


def test_a_file_of_another_format_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsError) as caught:
        load_judge(path)
    assert str(caught.value) == (
        f"{path} is no judge that `synthgen train judge` wrote: its format is None, it must be "
        "'synthgen-judge-1'"
    )


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ("no", "its metadata does not say what the judge looks like"),
        ('{"channels": [4, 4], "narrow": 2, "hidden": 8}', "the judge's shape"),
        ('{"channels": [4, 4, 4, 4], "narrow": 2, "hidden": 9000}', "the judge's shape"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(tmp_path, file, shape, said):
    path = tmp_path / "bent.safetensors"
    save_file(load_file(file), path, {"format": "synthgen-judge-1", "shape": shape})
    with pytest.raises(WeightsError, match=f"^{path}: {said}"):
        load_judge(path)


def test_tensors_must_be_exactly_the_networks(tmp_path, file):
    tensors = load_file(file)
    del tensors["intensity.bias"]
    path = tmp_path / "half.safetensors"
    shape = '{"channels": [4, 4, 4, 4], "narrow": 2, "hidden": 8}'
    save_file(tensors, path, {"format": "synthgen-judge-1", "shape": shape})
    with pytest.raises(WeightsError) as caught:
        load_judge(path)
    assert str(caught.value) == f"{path} does not fit the network; missing: intensity.bias"
