import hashlib

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pipelines.checkpoints import read_safetensors
from pipelines.training.initial import same_rows, start_from
from synthgen.errors import WeightsError


def network(seed, outputs, width=4):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, outputs))


def saved(module, tmp_path):
    file = tmp_path / "start.safetensors"
    save_file(module.state_dict(), file)
    return file, read_safetensors(file)[0]


def test_layers_of_equal_name_and_shape_are_copied_and_others_stay(tmp_path):
    old, new = network(1, 2), network(2, 3)
    before = {name: value.clone() for name, value in new.state_dict().items()}
    file, tensors = saved(old, tmp_path)

    start = start_from(new, tensors, file)

    for name, value in new.state_dict().items():
        kept = before if name.startswith("2.") else old.state_dict()
        assert torch.equal(value, kept[name]), name
    assert start.new == ("2.weight", "2.bias")
    assert (start.taken, start.numbers) == (16 + 17, 16 + 17 + 15)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert start.facts() == {"init_sha256": digest}
    assert start.summary() == {
        "sha256": digest,
        "numbers_taken": 33,
        "numbers": 48,
        "rows_taken": {},
        "new": ["2.weight", "2.bias"],
    }


def test_rows_that_both_know_are_copied_and_new_ones_start_fresh(tmp_path):
    old, new = network(1, 2), network(2, 3)
    fresh = new[2].weight.detach().clone()
    file, tensors = saved(old, tmp_path)
    pairs = same_rows(("AU4", "AU7", "AU9"), ("AU9", "AU4"))

    start = start_from(new, tensors, file, {"2.weight": pairs, "2.bias": pairs})

    assert torch.equal(new[2].weight[[0, 2]], old[2].weight[[1, 0]])
    assert torch.equal(new[2].bias[[0, 2]], old[2].bias[[1, 0]])
    assert torch.equal(new[2].weight[1], fresh[1])
    assert (dict(start.grown), start.new) == ({"2.weight": 2, "2.bias": 2}, ())


def test_half_numbers_become_whole_ones(tmp_path):
    old, new = network(1, 2), network(2, 2)
    file, tensors = saved(old.half(), tmp_path)
    start_from(new, tensors, file)
    assert new[0].weight.dtype == torch.float32
    assert torch.equal(new[0].weight, old[0].weight.float())


def test_a_file_of_another_network_is_refused_and_changes_nothing(tmp_path):
    old, new = network(1, 2, width=5), network(2, 2)
    before = {name: value.clone() for name, value in new.state_dict().items()}
    file, tensors = saved(old, tmp_path)

    with pytest.raises(WeightsError) as refused:
        start_from(new, tensors, file)

    assert str(refused.value) == (
        f"{file} does not fit as a start: it holds 3 of the network's 43 numbers in layers of "
        "equal name and shape, at least 50% are needed; the first other layer is 0.weight, "
        "[4, 3] here and [5, 3] there"
    )
    assert all(torch.equal(value, before[name]) for name, value in new.state_dict().items())


def test_a_file_with_numbers_that_are_not_finite_is_refused(tmp_path):
    old = network(1, 2)
    with torch.no_grad():
        old[0].bias[1] = float("nan")
    file, tensors = saved(old, tmp_path)
    with pytest.raises(WeightsError) as refused:
        start_from(network(2, 2), tensors, file)
    assert str(refused.value) == (
        f"{file}: 0.bias holds values that are not finite numbers (1 of 4); take another file, or "
        "download it again"
    )
