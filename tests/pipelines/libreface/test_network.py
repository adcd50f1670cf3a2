import copy
import os

import pytest
import torch
from torch import nn

from pipelines.libreface.network import LibreFaceNetwork, for_inference, load_network, save_network
from pipelines.libreface.weights import find_weight_file
from synthgen.errors import WeightsError


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return LibreFaceNetwork(input_size=112).eval()


def pixels(batch, size=64, seed=0):
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))


def measured(network, images):
    with torch.inference_mode():
        return network(images)


def test_layout_is_that_of_combined_resnet(network):
    state = network.state_dict()
    assert len(state) == 120 + 2 * 9
    assert state["encoder.0.weight"].shape == (64, 3, 7, 7)
    assert state["encoder.1.running_var"].shape == (64,)
    assert state["encoder.7.0.downsample.0.weight"].shape == (512, 256, 1, 1)
    assert state["encoder.7.1.bn2.weight"].shape == (512,)
    for head in ("classifier", "classifier_2"):
        assert state[f"{head}.0.weight"].shape == (128, 512)
        assert state[f"{head}.2.running_mean"].shape == (128,)
        assert state[f"{head}.4.weight"].shape == (12, 128)


def test_intensities_are_five_times_the_first_head(network):
    with torch.inference_mode():
        first, second = network.heads(pixels(2))
        assert torch.equal(network(pixels(2)), 5 * first)
    assert first.shape == second.shape == (2, 12)
    assert 0 < first.min() < first.max() < 1
    assert not torch.equal(first, second)


def test_libreface_format_round_trips(network, tmp_path):
    file = tmp_path / "combined_resnet.pt"
    torch.save({"model": network.state_dict()}, file)
    loaded = load_network(file)
    assert loaded.input_size == 224
    assert not loaded.training
    assert torch.equal(measured(loaded, pixels(2)), measured(network, pixels(2)))


def test_our_format_round_trips_with_its_input_size(network, tmp_path):
    save_network(network, tmp_path / "au.safetensors", {"task": "aus"}, dtype=torch.float32)
    loaded = load_network(tmp_path)
    assert loaded.input_size == 112
    assert torch.equal(measured(loaded, pixels(2)), measured(network, pixels(2)))


def test_half_precision_file_is_half_as_large_and_close(network, tmp_path):
    save_network(network, tmp_path / "half.safetensors")
    save_network(network, tmp_path / "full.safetensors", dtype=torch.float32)
    half = load_network(tmp_path / "half.safetensors")
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "full")]
    assert sizes[0] < 0.52 * sizes[1]
    assert next(half.parameters()).dtype == torch.float32
    assert (measured(half, pixels(2)) - measured(network, pixels(2))).abs().max() < 0.01


def test_saving_under_another_suffix_is_refused(network, tmp_path):
    with pytest.raises(WeightsError) as caught:
        save_network(network, tmp_path / "au.pt")
    assert str(caught.value) == (
        f"{tmp_path / 'au.pt'} must end in .safetensors: that is our own format"
    )


def test_checkpoint_without_model_is_refused(network, tmp_path):
    file = tmp_path / "bare.pt"
    torch.save(network.state_dict(), file)
    with pytest.raises(WeightsError) as caught:
        load_network(file)
    assert str(caught.value) == f'{file} must hold {{"model": state_dict}}, as LibreFace writes it'


def test_missing_key_and_wrong_shape_are_named(network, tmp_path):
    state = dict(network.state_dict())
    state["classifier.4.bias"] = torch.zeros(8)
    torch.save({"model": state}, tmp_path / "shape.pt")
    with pytest.raises(WeightsError, match=r"classifier\.4\.bias has shape \[8\]; it must have"):
        load_network(tmp_path / "shape.pt")
    del state["classifier.4.bias"]
    torch.save({"model": state}, tmp_path / "missing.pt")
    with pytest.raises(WeightsError, match=r"does not fit the network; missing: classifier\.4\.b"):
        load_network(tmp_path / "missing.pt")


def test_weights_that_are_not_finite_are_refused(network, tmp_path):
    state = {**network.state_dict(), "classifier.0.bias": torch.full((128,), torch.nan)}
    torch.save({"model": state}, tmp_path / "nan.pt")
    with pytest.raises(WeightsError) as caught:
        load_network(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'nan.pt'}: classifier.0.bias holds values that are not finite numbers (128 "
        "of 128); take another file, or download it again"
    )


@pytest.mark.parametrize("size", ["0", "-3", "many", "5000"])
def test_input_size_that_cannot_be_is_refused(network, tmp_path, size):
    odd = LibreFaceNetwork()
    odd.load_state_dict(network.state_dict())
    odd.input_size = size
    save_network(odd, tmp_path / "odd.safetensors")
    with pytest.raises(WeightsError) as caught:
        load_network(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'odd.safetensors'}: input_size is {size!r}; "
        "it must be a whole number from 32 to 1024"
    )


def test_folder_must_hold_one_weight_file(tmp_path):
    with pytest.raises(WeightsError) as caught:
        find_weight_file(tmp_path)
    assert str(caught.value) == (
        f"folder {tmp_path} must hold exactly one weight file; it holds: none"
    )
    for name in ("a.pt", "b.safetensors", "notes.txt"):
        (tmp_path / name).touch()
    with pytest.raises(WeightsError, match=r"it holds: a\.pt, b\.safetensors$"):
        find_weight_file(tmp_path)
    with pytest.raises(WeightsError, match=r"notes\.txt is no weight file; allowed are"):
        find_weight_file(tmp_path / "notes.txt")


def test_missing_path_is_named(tmp_path):
    with pytest.raises(WeightsError) as caught:
        load_network(tmp_path / "gone")
    assert str(caught.value) == (
        f"AU network {tmp_path / 'gone'} does not exist; it must be a file or a folder"
    )


def test_network_for_inference_measures_the_same_and_leaves_the_network(network):
    trained = copy.deepcopy(network)
    with torch.no_grad():
        for name, value in trained.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2.0)
            elif name.endswith(("running_mean", "bias")):
                value.normal_(0, 0.3)
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    fast = for_inference(trained)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fast.modules())
    assert (measured(fast, pixels(3)) - measured(trained, pixels(3))).abs().max() < 1e-5
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())


def test_a_pipe_in_the_network_s_place_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "w.pt")
    with pytest.raises(WeightsError) as caught:
        load_network(tmp_path / "w.pt")
    assert str(caught.value) == (
        f"AU network {tmp_path}/w.pt is a named pipe; it must be a regular file"
    )
