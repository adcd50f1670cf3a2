"""AU networks whose file names other AUs than LibreFace's, and sides that are measured apart."""

import numpy as np
import pytest
import torch
from embedded import EDITION, MEASURED
from safetensors.torch import load_file, save_file

from pipelines.libreface import LibreFaceVerifier
from pipelines.libreface.network import LibreFaceNetwork, load_network, save_network
from pipelines.libreface.section import LibreFaceCheck
from pipelines.loading import doubts
from pipelines.procedural import random_identity, render
from synthgen.action_units import AUS, ActionUnitSet
from synthgen.config import load_config
from synthgen.errors import WeightsError

FOURTEEN = ActionUnitSet.of((*AUS, "AU7", "AU43"))
SIDED = ("AU1", "AU43")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(2)
    file = tmp_path_factory.mktemp("weights") / "au.safetensors"
    save_network(LibreFaceNetwork(56, FOURTEEN, SIDED), file, dtype=torch.float32)
    return file


def face(seed):
    return render(random_identity(seed=seed), (0.0,) * 12)


def test_a_file_tells_its_aus_and_those_whose_sides_it_measures(weights):
    network = load_network(weights)
    assert (network.action_units, network.sided, network.input_size) == (FOURTEEN, SIDED, 56)
    assert network.classifier[4].out_features == 14
    assert network.classifier_2[4].out_features == 12


def test_a_verifier_measures_them_and_the_sides(weights):
    verifier = LibreFaceVerifier.from_pretrained(weights, aligner="centered")
    pictures = [face(seed) for seed in range(3)]
    found = verifier.measure(pictures)
    assert found.action_units == FOURTEEN
    assert found.aus.shape == (3, 14)
    assert found.aus_of(ActionUnitSet(("AU43",)))[:, 0].tolist() == found.aus[:, -1].tolist()
    sides = verifier.sides(pictures)
    assert sides.shape == (3, 2, 2)
    assert not np.array_equal(sides[:, 0], sides[:, 1])
    assert np.array_equal(sides[1:2], verifier.sides(pictures[1:2]))
    assert verifier.measure([]).aus.shape == (0, 14)


def test_the_check_can_measure_what_its_weights_name(weights, tmp_path):
    section = LibreFaceCheck(name="libreface", weights=str(weights))
    assert section.action_units == frozenset(FOURTEEN.names)
    gone = LibreFaceCheck(name="libreface", weights=str(tmp_path / "gone.safetensors"))
    assert gone.action_units == frozenset(AUS)  # those of LibreFace, until the file is there
    assert LibreFaceCheck(name="libreface").action_units == frozenset(MEASURED.names)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (
            {"action_units": "AU2,AU1"},
            "action_units in its metadata: 'AU2,AU1' must be in the order of FACS: AU1,AU2",
        ),
        (
            {"sided_action_units": "AU10"},
            "sided_action_units in its metadata: AU10 are not among the AUs that the network "
            "measures",
        ),
    ],
)
def test_what_a_file_names_wrongly_is_refused(weights, tmp_path, texts, said):
    path = tmp_path / "odd.safetensors"
    save_file(load_file(weights), path, {"input_size": "56", **texts})
    with pytest.raises(WeightsError) as caught:
        load_network(path)
    assert str(caught.value) == f"{path}, {said}"


def test_sides_are_none_of_libreface_s_own(tmp_path):
    file = tmp_path / "of_libreface.safetensors"
    save_network(LibreFaceNetwork(56), file, dtype=torch.float32)
    verifier = LibreFaceVerifier.from_pretrained(file, aligner="centered")
    assert verifier.sided == ()
    with pytest.raises(ValueError, match="the network measures no sides"):
        verifier.sides([face(1)])


def test_drawn_faces_of_another_edition_than_the_check_has_learned_are_told(weights):
    def told(edition, check_weights):
        drawn = [f"pipeline.edition={edition}", f"verify.weights={check_weights}"]
        return doubts(load_config("examples/drawn-faces.yaml", drawn))

    other = 3 - EDITION
    assert told(EDITION, "mini") == told(2, weights) == []
    assert told(other, "mini") == [
        f"pipeline.edition is {other}, but the check's weights 'mini' have learned drawn faces of "
        f"edition {EDITION}: much of what they measure is wrong; give the check weights of "
        "`synthgen train au-net`, or the run no verifier"
    ]
