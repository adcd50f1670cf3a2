import json

import pytest
import torch

from pipelines.libreface.presence import load_presence
from pipelines.training.au_network.presence import train_presence

CONFIG = """
seed: 3
cycles: [{steps: 4}]
batch_size: 4
faces: {expressions: [{share: 1, rate: 0.3}]}
workers: 0
checkpoint_every: 2
evaluation: {faces: 10, faceless: 8}
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "presence.yaml"
    path.write_text(CONFIG)
    return path


def test_stopped_and_continued_it_ends_in_the_same_weights(config, tmp_path):
    whole = train_presence(config, tmp_path / "whole")
    parts = train_presence(config, tmp_path / "parts", stop_at=2)
    train_presence(config, tmp_path / "parts")
    one, other = (load_presence(folder / "presence.safetensors") for folder in (
        tmp_path / "whole", tmp_path / "parts"))  # fmt: skip
    assert one[1] == other[1]
    both = zip(one[0].state_dict().values(), other[0].state_dict().values(), strict=True)
    assert all(torch.equal(first, second) for first, second in both)
    assert whole.parent.parent == parts.parent.parent


def test_the_card_counts_what_is_refused_of_each_kind(config, tmp_path):
    train_presence(config, tmp_path / "out")
    card = json.loads((tmp_path / "out" / "presence.json").read_text())
    assert (card["steps"], card["held_out"]["faces"]) == (4, 10)
    assert set(card["held_out"]["refused_unseen"]) == {
        "checkerboard", "code", "landscape", "leaves", "wood", "chart", "stars",
    }  # fmt: skip
