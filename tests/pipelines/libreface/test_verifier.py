import hashlib

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.interfaces import ActionUnitReader
from pipelines.libreface import LibreFaceVerifier
from pipelines.libreface import verifier as verifier_module
from pipelines.libreface import weights as files_module
from pipelines.libreface.network import LibreFaceNetwork, fetch_libreface, save_network
from pipelines.libreface.weights import libreface_file
from pipelines.procedural import random_identity, render
from synthgen.errors import ConfigError, MissingDependencyError, WeightsError


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(1)
    network = LibreFaceNetwork(input_size=64)
    with torch.no_grad():
        network.classifier[4].weight.mul_(8)
    file = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_network(network, file)
    return file


@pytest.fixture(scope="module")
def centered(weights):
    return LibreFaceVerifier.from_pretrained(weights, aligner="centered")


@pytest.fixture(scope="module")
def mediapipe(weights):
    return LibreFaceVerifier.from_pretrained(weights, aligner="mediapipe")


def faces(count, size=128):
    rng = np.random.default_rng(0)
    return [
        render(random_identity(seed=seed), rng.uniform(0, 5, 12).tolist(), size)
        for seed in range(count)
    ]


def test_batch_is_measured_in_order(centered):
    assert isinstance(centered, ActionUnitReader)
    found = centered.measure(faces(3))
    assert found.aus.shape == (3, 12)
    assert found.aus.dtype == np.float32
    assert found.faces.tolist() == [1, 1, 1]
    assert 0 <= found.aus.min() < found.aus.max() <= 5
    assert found.aus.std(axis=0).max() > 0.01


def test_measurement_does_not_depend_on_the_rest_of_the_batch(centered):
    images = faces(5)
    together = centered.measure(images).aus
    alone = np.concatenate([centered.measure([image]).aus for image in images])
    assert np.abs(together - alone).max() < 2e-6
    others = centered.measure([images[0], *[Image.new("RGB", (128, 128))] * 4]).aus
    assert np.array_equal(others[0], together[0])


def test_call_of_many_images_equals_one_full_batch(centered, monkeypatch):
    images = faces(6)
    monkeypatch.setattr(verifier_module, "_MAX_BATCH", 4)
    many = centered.measure(images).aus
    assert many.shape == (6, 12)
    assert np.array_equal(many[4:], centered.measure([*images[4:], *images[:2]]).aus[:2])


def test_no_images_give_no_rows(centered):
    found = centered.measure([])
    assert found.aus.shape == (0, 12)
    assert found.faces.shape == (0,)


def test_other_modes_are_read_as_rgb(centered):
    gray = faces(1)[0].convert("L")
    assert np.array_equal(centered.measure([gray]).aus, centered.measure([gray.convert("RGB")]).aus)


def test_image_without_a_face_is_nan_and_disturbs_no_other(mediapipe):
    first, second = faces(2, size=256)
    found = mediapipe.measure([first, Image.new("RGB", (256, 256), "gray"), second])
    assert found.faces.tolist() == [1, 0, 1]
    assert np.isnan(found.aus[1]).all()
    assert np.isfinite(found.aus[[0, 2]]).all()
    whole = mediapipe.measure([first, first, second])
    assert np.array_equal(found.aus[[0, 2]], whole.aus[[0, 2]])


def test_fingerprint_names_weights_licences_and_versions(weights, centered, mediapipe):
    found = centered.fingerprint()
    assert found["weights"] == {weights.name: hashlib.sha256(weights.read_bytes()).hexdigest()}
    assert found["licences"] == {weights.name: "not stated"}
    assert set(found["versions"]) == {"numpy", "pillow", "torch"}
    assert "mediapipe" in mediapipe.fingerprint()["versions"]
    assert centered.name == "libreface-small"


def test_missing_mini_weights_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(files_module, "MINI_FILE", tmp_path / "au_network.safetensors")
    with pytest.raises(WeightsError) as caught:
        LibreFaceVerifier.from_pretrained("mini")
    assert str(caught.value) == (
        f"mini AU network {tmp_path / 'au_network.safetensors'} is missing; "
        "`synthgen train au-net` makes it"
    )


def test_missing_libreface_weights_say_how_to_fetch_them(monkeypatch, tmp_path):
    monkeypatch.setenv("SYNTHGEN_CACHE", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        LibreFaceVerifier.from_pretrained("libreface")
    assert str(caught.value) == (
        f"LibreFace's weights {tmp_path / 'libreface' / 'combined_resnet.pt'} are missing; "
        "fetch them with `synthgen weights fetch CONFIG`, or put them there"
    )


def test_fetched_libreface_weights_are_found(monkeypatch, tmp_path):
    monkeypatch.setenv("SYNTHGEN_CACHE", str(tmp_path))
    file = libreface_file()
    file.parent.mkdir()
    torch.save({"model": LibreFaceNetwork().state_dict()}, file)
    assert fetch_libreface() == file
    verifier = LibreFaceVerifier.from_pretrained("libreface", aligner="centered")
    assert verifier.name == "libreface"
    assert "USC" in verifier.fingerprint()["licences"]["combined_resnet.pt"]


def test_unknown_aligner_and_device_are_refused(weights):
    with pytest.raises(ConfigError) as caught:
        LibreFaceVerifier.from_pretrained(weights, aligner="centered", device="moon")
    assert str(caught.value).startswith("device 'moon' cannot be used: ")


def test_missing_mediapipe_says_how_to_install_it(weights, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mediapipe.python.solutions.face_mesh", None)
    with pytest.raises(MissingDependencyError) as caught:
        LibreFaceVerifier.from_pretrained(weights, aligner="mediapipe")
    assert str(caught.value) == (
        "aligner mediapipe needs the package mediapipe, which is not installed; "
        "install it with: pip install '.[alignment]' in a checkout of synthgen"
    )
