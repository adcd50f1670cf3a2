import json

import pytest
import torch

from pipelines.libreface.network import load_network
from pipelines.training.au_network.train import train_au_network
from synthgen.action_units import AUS
from synthgen.errors import OutputError

CONFIG = """
seed: 3
cycles: [{steps: 4}]
batch_size: 4
input_size: 32
faces: {size: 64, expressions: [{share: 1, rate: 0.3}]}
dropout: 0.2
workers: 0
checkpoint_every: 2
evaluation: {faces: 10, every: 2}
"""


def same_weights(first, second):
    one, other = (load_network(path).state_dict() for path in (first, second))
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "au-net.yaml"
    path.write_text(CONFIG)
    return path


def test_stopped_and_continued_it_ends_in_the_same_weights(config, tmp_path):
    whole = train_au_network(config, tmp_path / "whole")
    parts = train_au_network(config, tmp_path / "parts", stop_at=2)
    assert not parts.exists()
    train_au_network(config, tmp_path / "parts")
    assert same_weights(parts, whole)


def test_a_cycle_is_added_to_a_finished_training(config, tmp_path):
    first = train_au_network(config, tmp_path / "first").rename(tmp_path / "short.safetensors")
    longer = tmp_path / "longer.yaml"
    longer.write_text(CONFIG.replace("{steps: 4}", "{steps: 4}, {steps: 2, learning_rate: 0.01}"))
    added = train_au_network(longer, tmp_path / "first")
    assert not same_weights(added, first)
    assert same_weights(added, train_au_network(longer, tmp_path / "anew"))


def test_it_writes_weights_that_load_and_a_card_that_describes_them(config, tmp_path):
    weights = train_au_network(config, tmp_path / "out")
    network = load_network(weights)
    assert network.input_size == 32
    assert torch.isfinite(network(torch.zeros(1, 3, 32, 32))).all()
    card = json.loads((weights.parent / "au_network.json").read_text())
    assert (card["faces_seen"], card["steps"]) == (16, 4)
    assert card["configuration"]["seed"] == 3
    assert list(card["held_out"]) == list(AUS)
    lines = (weights.parent / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2]


def test_a_checkpoint_of_another_configuration_is_refused(config, tmp_path):
    train_au_network(config, tmp_path / "out", stop_at=1)
    config.write_text(CONFIG.replace("batch_size: 4", "batch_size: 8"))
    with pytest.raises(OutputError) as caught:
        train_au_network(config, tmp_path / "out")
    assert str(caught.value) == (
        f"{tmp_path / 'out' / 'checkpoint.pt'} was trained with batch_size 4, now it is 8; "
        "train into another folder with --to"
    )


def test_a_folder_that_cannot_be_made_is_refused(config, tmp_path):
    with pytest.raises(OutputError, match=r"cannot make the folder .*au-net.yaml/out: "):
        train_au_network(config, config / "out")
