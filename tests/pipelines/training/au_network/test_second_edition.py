"""The AU network of the second edition: 18 AUs, sides, a start from the first one's weights."""

import json

import numpy as np
import pytest
import torch
import yaml
from tiny_training import make_vae_folder

from pipelines.libreface import LibreFaceVerifier
from pipelines.libreface.network import LibreFaceNetwork, load_network, save_network
from pipelines.procedural import (
    DRAWN_AUS,
    SIDED_AUS,
    random_identity,
    render,
    renderer_version,
)
from pipelines.training.au_network.evaluation import Readings, not_drawn_by_skin
from pipelines.training.au_network.faces import TrainingFaces
from pipelines.training.au_network.learner import AUNetworkConfig
from pipelines.training.au_network.train import licence_of, start_network, train_au_network
from synthgen.action_units import AUS, DEFAULT_AUS, ActionUnitSet
from synthgen.config.loading import load_section
from synthgen.errors import ConfigError, OutputError, WeightsError

FACES = {
    "edition": 2,
    "aus": "drawn",
    "even": 0.5,
    "one_sided": 1.0,
    "size": 64,
    "expressions": [{"share": 1.0, "rate": 0.4}],
}
TINY = {
    "seed": 3,
    "cycles": [{"steps": 4, "emphasis": {"AU43": 2.0}}],
    "batch_size": 4,
    "input_size": 32,
    "faces": FACES,
    "workers": 0,
    "checkpoint_every": 2,
    "evaluation": {"faces": 8, "every": 100},
}


def write(folder, **changes):
    path = folder / "au-net.yaml"
    path.write_text(yaml.safe_dump(TINY | changes))
    return path


def twelve(folder, seed=1, sided=(), aus=DEFAULT_AUS):
    torch.manual_seed(seed)
    file = folder / "twelve.safetensors"
    network = LibreFaceNetwork(32, aus, sided)
    save_network(network, file, {"licence": "MIT"}, torch.float32)
    return file, network


def test_an_au_is_the_mean_of_its_sides_and_one_of_them_is_weaker():
    faces = TrainingFaces(AUNetworkConfig.model_validate(TINY))
    shown = [faces[index] for index in range(24)]
    aus = np.stack([face.aus.numpy() for face in shown])  # [n, 18]
    sides = np.stack([face.sides.numpy() for face in shown])  # [n, 2, 12]
    places = [DRAWN_AUS.index(name) for name in SIDED_AUS]
    np.testing.assert_allclose(sides.mean(1), aus[:, places], atol=1e-6)
    active = aus[:, places] > 0
    assert (sides[:, 0] != sides[:, 1])[active].all()
    stronger = (sides[:, 0] > sides[:, 1])[active]
    assert 0.3 < stronger.mean() < 0.7
    assert 0.2 < (sides.min(1)[active] == 0).mean() < 0.5


def test_without_one_sided_faces_both_sides_are_alike():
    config = AUNetworkConfig.model_validate(TINY | {"faces": FACES | {"one_sided": 0.0}})
    face = TrainingFaces(config)[1]
    assert torch.equal(face.sides[0], face.sides[1])
    assert face.aus.max() > 0


def test_stopped_and_continued_from_a_start_with_decoded_faces_it_ends_in_the_same_weights(
    tmp_path,
):
    file, _ = twelve(tmp_path)
    decoded = {"vae": str(make_vae_folder(tmp_path / "vae")), "share": 0.5}
    path = write(tmp_path, init=str(file), decoded=decoded)
    whole = train_au_network(path, tmp_path / "whole")
    assert not train_au_network(path, tmp_path / "parts", stop_at=2).exists()
    parts = train_au_network(path, tmp_path / "parts")
    one, other = load_network(whole).state_dict(), load_network(parts).state_dict()
    assert all(torch.equal(value, other[name]) for name, value in one.items())

    verifier = LibreFaceVerifier.from_pretrained(whole, aligner="centered")
    assert (verifier.action_units, verifier.sided) == (DRAWN_AUS, SIDED_AUS)
    pictures = [render(random_identity(seed, edition=2), (0.0,) * 18) for seed in (1, 2)]
    assert verifier.measure(pictures).aus.shape == (2, 18)
    assert verifier.sides(pictures).shape == (2, 2, 12)

    card = json.loads((tmp_path / "whole" / "au_network.json").read_text())
    assert card["renderer"] == renderer_version(2)
    assert (card["licence"], len(card["vae_sha256"])) == ("MIT", 64)
    assert "measures 18 AUs, 12 of them left and right apart," in card["what"]
    assert card["started_from"]["rows_taken"]["classifier.4.weight"] == 12
    for ending in ("", "_decoded"):
        assert list(card[f"held_out{ending}"]) == list(DRAWN_AUS.names)
        assert list(card[f"held_out_sides{ending}"]["left"]) == list(SIDED_AUS)
        assert list(card[f"not_drawn_by_skin{ending}"]["AU6"]) == [
            "pale", "light", "tan", "brown", "dark",
        ]  # fmt: skip


def test_a_start_of_twelve_grows_heads_and_tells_both_sides_what_it_told_of_the_whole(tmp_path):
    file, old = twelve(tmp_path)
    torch.manual_seed(9)
    new = LibreFaceNetwork(32, DRAWN_AUS, SIDED_AUS)
    fresh = new.classifier[4].weight.detach().clone()
    start = start_network(new, str(file))

    assert torch.equal(new.encoder[0].weight, old.encoder[0].weight)
    for place, name in enumerate(DRAWN_AUS.names):
        kept = old.classifier[4].weight[AUS.index(name)] if name in AUS else fresh[place]
        assert torch.equal(new.classifier[4].weight[place], kept), name
    row = old.classifier[4].weight[AUS.index("AU12")]
    here = SIDED_AUS.index("AU12")
    assert torch.equal(new.classifier_3[4].weight[here], row)
    assert torch.equal(new.classifier_3[4].weight[here + len(SIDED_AUS)], row)
    assert torch.equal(new.classifier_3[0].weight, old.classifier[0].weight)
    assert dict(start.grown)["classifier_3.4.bias"] == 2 * len(set(SIDED_AUS) & set(AUS))


def test_a_start_with_sides_keeps_them_apart(tmp_path):
    file, old = twelve(tmp_path, sided=("AU4", "AU6"))
    torch.manual_seed(9)
    new = LibreFaceNetwork(32, DRAWN_AUS, ("AU6", "AU7"))
    start_network(new, str(file))
    assert torch.equal(new.classifier_3[4].weight[[0, 2]], old.classifier_3[4].weight[[1, 3]])


def test_a_checkpoint_with_another_start_is_refused(tmp_path):
    file, _ = twelve(tmp_path)
    path = write(tmp_path, init=str(file))
    train_au_network(path, tmp_path / "out", stop_at=1)
    twelve(tmp_path, seed=2)
    with pytest.raises(OutputError, match=r"checkpoint\.pt was trained with init_sha256 '"):
        train_au_network(path, tmp_path / "out")
    path = write(tmp_path)
    with pytest.raises(OutputError) as caught:
        train_au_network(path, tmp_path / "out")
    assert str(caught.value) == (
        f"{tmp_path / 'out' / 'checkpoint.pt'} was trained with init '{file}', now it is None; "
        "train into another folder with --to"
    )


def test_a_start_that_is_missing_or_no_au_network_is_refused_and_nothing_is_written(tmp_path):
    path = write(tmp_path, init=str(tmp_path / "none.safetensors"))
    with pytest.raises(WeightsError) as caught:
        train_au_network(path, tmp_path / "out")
    assert str(caught.value) == (
        f"AU network {tmp_path}/none.safetensors does not exist; it must be a file or a folder"
    )
    vae = make_vae_folder(tmp_path / "vae") / "diffusion_pytorch_model.safetensors"
    path = write(tmp_path, init=str(vae))
    with pytest.raises(WeightsError) as caught:
        train_au_network(path, tmp_path / "out")
    assert str(caught.value).startswith(
        f"{vae} does not fit the network; missing: encoder.0.weight"
    )
    assert not (tmp_path / "out").exists()


def test_emphasis_may_name_what_the_faces_are_labelled_with(tmp_path):
    path = write(tmp_path, faces=FACES | {"aus": "disfa", "one_sided": 0.0})
    with pytest.raises(ConfigError) as caught:
        load_section(path, AUNetworkConfig)
    assert str(caught.value).startswith(f"{path}: cycles.0.emphasis: AU43 (eyes closed) exists")


def test_the_licence_of_the_start_holds(tmp_path):
    file, _ = twelve(tmp_path)
    assert licence_of(str(file)) == "MIT"
    assert licence_of("mini") == "Apache-2.0"


def test_bias_is_told_for_each_skin_where_an_au_is_not_drawn():
    drawn = np.array([[0.0], [0.0], [3.0], [0.0]])
    measured = np.array([[1.5], [0.5], [2.0], [0.1]])
    nothing = np.zeros((4, 2, 0))
    found = not_drawn_by_skin(
        Readings(drawn, measured, nothing, nothing),
        ActionUnitSet(("AU6",)),
        ["pale", "pale", "pale", "dark"],
    )
    assert found["AU6"]["pale"] == {"faces": 2, "mean": 1.0, "above": 0.5}
    assert found["AU6"]["dark"] == {"faces": 1, "mean": 0.1, "above": 0.0}
    assert found["AU6"]["tan"]["faces"] == 0
