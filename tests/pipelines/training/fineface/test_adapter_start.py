"""An AU adapter that begins from another of fewer AUs."""

from pathlib import Path

import pytest
import tiny_fineface as tiny
import torch
from safetensors.torch import save_file

from pipelines.fineface.adapter import AUAdapter
from pipelines.fineface.checkpoint import write_au_adapter
from pipelines.fineface.weights import LORA_FILE
from pipelines.procedural import DRAWN_AUS
from pipelines.training.diffusion.adapter_start import AdapterFiles, begin_adapter
from synthgen.action_units import DEFAULT_AUS, ActionUnitSet
from synthgen.errors import WeightsError

HIDDEN = 14  # with 18 AUs as wide as the tiny text


@pytest.fixture
def old(tmp_path: Path) -> AUAdapter:
    adapter = an_adapter(DEFAULT_AUS, HIDDEN, seed=2)
    write_au_adapter(adapter, tmp_path, "", ".safetensors")
    return adapter


def an_adapter(aus: ActionUnitSet, hidden: int, seed: int) -> AUAdapter:
    torch.manual_seed(seed)
    return AUAdapter.for_unet(tiny.tiny_unet(1), hidden, lora_rank=4, action_units=aus.names)


@torch.no_grad()
def test_aus_of_both_act_as_before_and_others_not_yet(old, tmp_path):
    new = an_adapter(DRAWN_AUS, HIDDEN, seed=3)
    start = begin_adapter(new, AdapterFiles.find(str(tmp_path)))
    few = 5 * torch.rand(3, 12)
    many = 5 * torch.rand(3, 18)
    for place, name in enumerate(DEFAULT_AUS.names):
        many[:, DRAWN_AUS.index(name)] = few[:, place]
    for layer, wanted in old(few).items():
        torch.testing.assert_close(new(many)[layer], wanted, rtol=1e-4, atol=1e-4)
    for name, value in old.lora_state().items():
        assert torch.equal(new.state_dict()[name], value)
    assert all(name.endswith("au_to_k.weight") for name in start.new)


@torch.no_grad()
def test_a_lora_of_another_text_width_begins_at_nothing_there(old, tmp_path):
    path = tmp_path / LORA_FILE
    tensors = dict(old.lora_state())
    name = next(name for name in tensors if name.endswith("attn2.to_k.lora_A.weight"))
    tensors[name] = torch.ones(4, tensors[name].shape[1] + 3)
    save_file(tensors, path)
    new = an_adapter(DRAWN_AUS, HIDDEN, seed=3)
    before = {key: value.clone() for key, value in new.state_dict().items()}
    start = begin_adapter(new, AdapterFiles.find(str(tmp_path)))
    other = name.replace("lora_A", "lora_B")
    assert {name, other} <= set(start.new)
    assert torch.equal(new.state_dict()[other], before[other])


def test_what_fits_nowhere_is_refused(old, tmp_path):
    with pytest.raises(WeightsError) as error:
        begin_adapter(an_adapter(DRAWN_AUS, 13, seed=3), AdapterFiles.find(str(tmp_path)))
    assert str(error.value) == (
        f"{tmp_path / 'au_encoder.safetensors'} does not fit as a start: its encoder gives "
        "14 numbers beside the AUs, and this one 13"
    )
    (tmp_path / LORA_FILE).unlink()
    with pytest.raises(WeightsError) as error:
        AdapterFiles.find(str(tmp_path))
    assert str(error.value) == f"AU adapter {tmp_path / LORA_FILE} does not exist"
