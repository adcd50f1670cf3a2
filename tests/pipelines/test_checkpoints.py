import hashlib
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pipelines.checkpoints import (
    check_tensors,
    load_strictly,
    read_pickled_tensors,
    read_safetensors,
)
from pipelines.weight_files import file_sha256
from synthgen.errors import WeightsError


class Bomb:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


def test_pickle_with_code_is_refused_and_not_run(tmp_path):
    file, target = tmp_path / "bad.pt", tmp_path / "written"
    torch.save({"model": Bomb(target)}, file)
    with pytest.raises(WeightsError) as caught:
        read_pickled_tensors(file)
    assert str(caught.value) == (
        f"{file} is refused: it is no PyTorch file of plain tensors, and a pickle can run code"
    )
    assert not target.exists()


def test_bare_pickle_with_code_is_refused_and_not_run(tmp_path):
    file, target = tmp_path / "bad.ckpt", tmp_path / "written"
    file.write_bytes(pickle.dumps(Bomb(target), protocol=2))
    with pytest.raises(WeightsError, match="is refused"):
        read_pickled_tensors(file)
    assert not target.exists()


@pytest.mark.parametrize("content", [b"not a checkpoint", b"PK\x03\x04 half a zip"])
def test_damaged_file_is_refused(tmp_path, content):
    file = tmp_path / "damaged.pt"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=r"damaged\.pt (is refused|cannot be read as)"):
        read_pickled_tensors(file)


def test_cut_file_is_refused(tmp_path):
    file = tmp_path / "cut.pt"
    torch.save({"a": torch.zeros(1000)}, file)
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(WeightsError, match=r"cut\.pt"):
        read_pickled_tensors(file)


@pytest.mark.parametrize("read", [read_pickled_tensors, read_safetensors])
def test_missing_file_is_named(tmp_path, read):
    with pytest.raises(WeightsError) as caught:
        read(tmp_path / "none")
    assert str(caught.value) == f"weight file {tmp_path / 'none'} does not exist"


def test_damaged_safetensors_is_refused(tmp_path):
    file = tmp_path / "damaged.safetensors"
    file.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{broken}")
    with pytest.raises(WeightsError, match=r"the header of .*damaged\.safetensors is no JSON"):
        read_safetensors(file)


def test_safetensors_come_back_with_their_metadata(tmp_path):
    file = tmp_path / "whole.safetensors"
    save_file({"a": torch.arange(3.0)}, file, {"input_size": "112"})
    tensors, metadata = read_safetensors(file)
    assert tensors["a"].tolist() == [0.0, 1.0, 2.0]
    assert metadata == {"input_size": "112"}


def test_missing_and_unexpected_names_are_told():
    found = {f"extra{i}": torch.zeros(1) for i in range(7)} | {"weight": torch.zeros(2, 3)}
    with pytest.raises(WeightsError) as caught:
        check_tensors(found, nn.Linear(3, 2).state_dict(), "x.pt")
    assert str(caught.value) == (
        "x.pt does not fit the network; missing: bias; "
        "unexpected: extra0, extra1, extra2, extra3, extra4 and 2 more"
    )


def test_wrong_shape_is_told():
    found = {"weight": torch.zeros(2, 4), "bias": torch.zeros(2)}
    with pytest.raises(WeightsError) as caught:
        load_strictly(nn.Linear(3, 2), found, "x.pt")
    assert str(caught.value) == "x.pt: weight has shape [2, 4]; it must have [2, 3]"


@pytest.mark.parametrize("found", [[torch.zeros(1)], {"a": 1.0}, {1: torch.zeros(1)}, None])
def test_anything_but_a_dict_of_tensors_is_refused(found):
    with pytest.raises(WeightsError) as caught:
        check_tensors(found, {}, "x.pt")
    assert str(caught.value) == "x.pt must hold a dict of tensors by name, and holds something else"


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "f").write_bytes(b"abc" * 1000)
    assert file_sha256(tmp_path / "f") == hashlib.sha256(b"abc" * 1000).hexdigest()
