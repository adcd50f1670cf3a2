import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from pipelines.libreface import LibreFaceVerifier
from pipelines.libreface import weights as files_module
from pipelines.libreface.presence import (
    FacePresence,
    PresenceNetwork,
    has_structure,
    load_presence,
    save_presence,
)
from pipelines.libreface.weights import PRESENCE_FILE, find_presence
from pipelines.procedural import random_identity, render
from pipelines.training.data.faceless import KINDS, UNSEEN
from synthgen.errors import WeightsError

EMOTIONS = [{}, {0: 4.0, 3: 5.0, 10: 3.0}, {4: 5.0, 6: 5.0, 10: 5.0}, {2: 5.0, 8: 4.0}]


@pytest.fixture(scope="module")
def mini():
    return LibreFaceVerifier.from_pretrained("mini")


def drawn(seed):
    shown = EMOTIONS[seed % len(EMOTIONS)]
    return render(random_identity(seed=seed), [shown.get(au, 0.0) for au in range(12)], size=128)


def gradient():
    return Image.fromarray(np.tile(np.linspace(20, 230, 128).astype(np.uint8), (128, 1)))


def test_drawn_people_are_faces(mini):
    found = mini.measure([drawn(seed) for seed in range(40)])
    assert found.faces.tolist() == [1] * 40
    assert not np.isnan(found.aus).any()


@pytest.mark.parametrize("name", [*KINDS, *UNSEEN])
def test_pictures_without_a_face_show_none(mini, name):
    make = KINDS[name][1] if name in KINDS else UNSEEN[name]
    pictures = [make(np.random.default_rng((7, number))) for number in range(8)]
    found = mini.measure(pictures)
    assert found.faces.tolist() == [0] * 8
    assert np.isnan(found.aus).all()


def test_a_grey_picture_is_no_face_beside_a_face(mini):
    grey = Image.new("RGB", (128, 128), (128, 128, 128))
    alone, both = mini.measure([drawn(3)]), mini.measure([grey, drawn(3)])
    assert both.faces.tolist() == [0, 1]
    assert np.allclose(both.aus[1], alone.aus[0], atol=1e-4)


def test_without_the_network_pictures_without_structure_alone_are_refused():
    noise = np.random.default_rng(0).integers(0, 255, (128, 128, 3), dtype=np.uint8)
    flat = Image.new("RGB", (90, 90), (10, 200, 30))
    pictures = [flat, gradient().convert("RGB"), Image.fromarray(noise), drawn(1)]
    assert FacePresence().of(pictures) == [False, False, True, True]
    assert [has_structure(picture) for picture in pictures] == [False, False, True, True]


def test_the_verifier_names_both_files(mini):
    files = sorted(mini.fingerprint()["weights"])
    assert files == ["au_network.safetensors", "presence.safetensors"]


def test_only_the_mini_network_with_the_aligner_centered_has_a_presence_network():
    assert find_presence("mini", "centered") == PRESENCE_FILE
    assert find_presence("mini", "mediapipe") is None
    assert find_presence("libreface", "centered") is None


def test_a_missing_network_is_refused_with_the_command_that_makes_it(monkeypatch, tmp_path):
    monkeypatch.setattr(files_module, "PRESENCE_FILE", tmp_path / "presence.safetensors")
    with pytest.raises(WeightsError) as caught:
        LibreFaceVerifier.from_pretrained("mini")
    assert str(caught.value) == (
        f"mini presence network {tmp_path / 'presence.safetensors'} is missing; "
        "`synthgen train presence` makes it"
    )


def test_a_network_is_read_as_it_was_written(tmp_path):
    torch.manual_seed(0)
    network = PresenceNetwork((4, 8, 8, 8)).eval()
    save_presence(network, -1.25, tmp_path / "p.safetensors", {})
    loaded, threshold = load_presence(tmp_path / "p.safetensors")
    pixels = torch.rand(3, 3, 64, 64) * 2 - 1
    assert threshold == -1.25
    assert torch.allclose(loaded(pixels), network(pixels), atol=0.02)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (
            {"format": "other"},
            "is no presence network that `synthgen train presence` wrote: its format is 'other', "
            "it must be 'synthgen-presence-1'",
        ),
        (
            {"format": "synthgen-presence-1", "threshold": "nan", "channels": "[1, 1, 1, 1]"},
            "its metadata does not say what the presence network looks like",
        ),
    ],
)
def test_another_file_is_refused(tmp_path, metadata, said):
    path = tmp_path / "p.safetensors"
    save_file({"x": torch.zeros(1)}, path, metadata)
    with pytest.raises(WeightsError, match=str(path)) as caught:
        load_presence(path)
    assert str(caught.value).endswith(said)


def test_the_card_says_what_was_measured():
    card = json.loads(Path(PRESENCE_FILE.with_suffix(".json")).read_text())
    held_out = card["held_out"]
    assert held_out["faces_accepted"] >= 0.999
    assert min(held_out["refused"].values()) >= 0.99
    assert min(held_out["refused_unseen"].values()) >= 0.99
