"""The small recogniser: its size, its file, its embeddings."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_face_embedder import face_embedder, face_network, portrait

from pipelines.faceid.drawn import DrawnFaceEmbedder, middle_of
from pipelines.faceid.embedder import FaceEmbedder, sharpness_of
from pipelines.faceid.network import FaceNetwork, load_face_network, save_face_network
from synthgen.errors import WeightsError


def test_it_is_small():
    assert 1_800_000 < sum(p.numel() for p in FaceNetwork().parameters()) < 2_400_000


def test_a_saved_network_is_the_same(tmp_path):
    network = face_network()
    save_face_network(network, tmp_path / "a.safetensors", dtype=torch.float32)
    again, metadata = load_face_network(tmp_path / "a.safetensors")
    pixels = torch.rand(2, 3, 112, 112)
    assert torch.equal(again(pixels), network(pixels))
    assert metadata["format"] == "synthgen-face-embedder-1"
    assert again.shape == {"channels": [8, 8, 8, 8], "blocks": [1, 1, 1, 1]}


def test_half_precision_moves_directions_little(tmp_path):
    network = face_network()
    save_face_network(network, tmp_path / "a.safetensors")
    pixels = torch.rand(2, 3, 112, 112)
    with torch.inference_mode():
        again = load_face_network(tmp_path / "a.safetensors")[0](pixels)
        cosines = torch.nn.functional.cosine_similarity(again, network(pixels))
    assert cosines.min() > 0.999


def test_an_embedding_is_a_function_of_its_image(tmp_path):
    embedder = face_embedder(tmp_path)
    people = [portrait(seed) for seed in range(3)]
    together = embedder.embed(people)
    assert isinstance(embedder, FaceEmbedder)
    assert together.embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together.embeddings, axis=1), 1, atol=1e-6)
    alone = np.concatenate([embedder.embed([person]).embeddings for person in people])
    np.testing.assert_array_equal(alone, together.embeddings)
    assert together.faces.tolist() == [1, 1, 1]
    assert together.sides.tolist() == [128, 128, 128]
    assert embedder.fingerprint.startswith("sha256:")
    assert embedder.provenance()["licences"] == {"tiny.safetensors": "CC0-1.0"}
    assert embedder.embed([]).embeddings.shape == (0, 512)


def test_images_of_any_size_are_cut_alike():
    small, large = portrait(1), portrait(1, size=256)
    assert middle_of(large).size == (112, 112)
    assert middle_of(small).tobytes() == small.crop((8, 8, 120, 120)).tobytes()


def test_a_blurred_face_is_less_sharp():
    face = middle_of(portrait(1))
    blurred = face.resize((20, 20)).resize((112, 112))
    assert sharpness_of(face) > 4 * sharpness_of(blurred)


def test_what_is_no_embedder_is_refused(tmp_path):
    file = tmp_path / "a.safetensors"

    def said():
        with pytest.raises(WeightsError) as caught:
            load_face_network(file)
        return str(caught.value)

    assert said() == (
        f"face embedder {file} does not exist; `synthgen train face-embedder CONFIG --to FOLDER` "
        "makes one"
    )
    save_face_network(face_network(), file)
    tensors = load_file(file)
    save_file(tensors, file, {"format": "judge"})
    assert said() == (
        f"{file} is no face embedder that `synthgen train face-embedder` wrote: its format is "
        "'judge', it must be 'synthgen-face-embedder-1'"
    )
    ours = {"format": "synthgen-face-embedder-1"}
    save_file(tensors, file, ours)
    assert said() == f"{file}: its metadata does not say what the face embedder looks like"
    save_file(tensors, file, {**ours, "shape": json.dumps({"channels": [4], "blocks": [1]})})
    assert said().endswith("must hold 4 channels and 4 blocks, each from 1 to 1024")
    broken = tensors | {"projection.weight": tensors["projection.weight"].fill_(torch.nan)}
    save_file(broken, file, {**ours, "shape": json.dumps(face_network().shape)})
    assert said() == (
        f"{file}: projection.weight holds values that are not finite numbers "
        f"({tensors['projection.weight'].numel():,} of {tensors['projection.weight'].numel():,}); "
        "take another file, or download it again"
    )


def test_the_embedded_weights_say_how_they_are_made(monkeypatch, tmp_path):
    monkeypatch.setattr("pipelines.faceid.drawn.MINI_FILE", tmp_path / "none.safetensors")
    with pytest.raises(WeightsError) as caught:
        DrawnFaceEmbedder.from_pretrained("mini")
    assert str(caught.value) == (
        f"mini face embedder {tmp_path}/none.safetensors is missing; `synthgen train "
        "face-embedder` makes it"
    )
