"""Arc2Face's own recogniser behind insightface's detector, on made models of their formats."""

import importlib.util
import sys

import numpy as np
import pytest
from tiny_face_embedder import portrait
from typer.testing import CliRunner

from pipelines.faceid.arcface import LICENCE, find_arcface, load_arcface
from pipelines.faceid.photographs import InsightFaceEmbedder
from pipelines.faceid.section import IdentityCheck
from pipelines.faceid.verifier import load_embedder
from pipelines.weight_files import file_sha256
from samplers.identities.store import read_store
from synthgen.cli.commands import app
from synthgen.config.verify import Arc2FaceEmbedderConfig, embedder_config
from synthgen.errors import ConfigError, MissingDependencyError, WeightsError

runner = CliRunner()

with_insightface = pytest.mark.skipif(
    importlib.util.find_spec("insightface") is None, reason="needs the extra 'faceid'"
)


@pytest.fixture
def folders(tmp_path):
    """Return a folder of a detector and a recogniser, and one of the same recogniser alone."""
    from made_onnx import make_pack

    pack = make_pack(tmp_path / "pack")
    own = tmp_path / "own"
    own.mkdir()
    (own / "arcface.onnx").write_bytes((pack / "recogniser.onnx").read_bytes())
    return pack, own


@with_insightface
def test_its_embeddings_are_those_of_the_file_and_so_is_its_fingerprint(folders):
    pack, own = folders
    found = load_arcface(str(own), str(pack))
    as_one = InsightFaceEmbedder.from_pretrained(str(pack))
    pictures = [portrait(1), portrait(2)]
    np.testing.assert_array_equal(
        found.embed(pictures).embeddings, as_one.embed(pictures).embeddings
    )
    assert found.fingerprint == f"sha256:{file_sha256(own / 'arcface.onnx')}"
    assert (found.name, found.licence) == ("arc2face", LICENCE)
    assert set(found.provenance()["weights"]) == {"detector.onnx", "arcface.onnx"}
    config = Arc2FaceEmbedderConfig(kind="arc2face", model=str(own / "arcface.onnx"))
    (own / "scrfd.onnx").write_bytes((pack / "detector.onnx").read_bytes())
    beside = load_embedder(config)
    assert beside.fingerprint == found.fingerprint
    assert [file.name for file in beside.files] == ["scrfd.onnx", "arcface.onnx"]


@with_insightface
def test_the_command_makes_a_store_that_names_it(folders, tmp_path):
    pack, own = folders
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(2):
        portrait(number).save(photos / f"{number}.png")
    to = tmp_path / "people.parquet"
    words = ["faces", "embed", str(photos), "--to", str(to), "--embedder", "arc2face"]
    more = ["--model", str(own), "--detector", str(pack), "--min-side", "30", "--min-sharpness"]
    done = runner.invoke(app, [*words, *more, "0"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    about = read_store(to).about
    assert about.embedder == f"sha256:{file_sha256(own / 'arcface.onnx')}"
    assert (about.embedder_name, about.licence) == ("arc2face", LICENCE)


@with_insightface
def test_what_is_no_recogniser_is_refused(folders):
    pack, own = folders
    (own / "arcface.onnx").write_bytes((pack / "detector.onnx").read_bytes())
    with pytest.raises(WeightsError) as caught:
        load_arcface(str(own), str(pack))
    assert str(caught.value) == (
        f"{own}/arcface.onnx is no face recogniser; Arc2Face's arcface.onnx takes faces of "
        "112×112 pixels and gives 512 numbers"
    )
    (own / "arcface.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(WeightsError) as caught:
        load_arcface(str(own), str(pack))
    assert str(caught.value).startswith(f"{own}/arcface.onnx cannot be used by insightface: ")


def test_a_folder_without_the_file_is_refused(tmp_path):
    with pytest.raises(WeightsError) as caught:
        find_arcface(str(tmp_path))
    assert str(caught.value) == (f"{tmp_path} has no file arcface.onnx; it must hold arcface.onnx")
    with pytest.raises(WeightsError) as caught:
        find_arcface("FoivosPar/Arc2Face", fetch=False)
    assert str(caught.value).startswith("FoivosPar/Arc2Face is not on this machine: ")


def test_without_insightface_its_install_line_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "insightface.app", None)
    (tmp_path / "arcface.onnx").write_bytes(b"something")
    with pytest.raises(MissingDependencyError) as caught:
        load_arcface(str(tmp_path))
    assert str(caught.value) == (
        "embedding photographs needs insightface, which is not installed: "
        "pip install '.[faceid]' in a checkout of synthgen"
    )


def test_a_detector_is_for_it_alone():
    with pytest.raises(ConfigError) as caught:
        embedder_config("insightface", detector="buffalo_l")
    assert str(caught.value) == (
        "the detector 'buffalo_l' is given for the embedder 'insightface', whose model has its "
        "own; it is for arc2face"
    )
    config = embedder_config("arc2face")
    assert (config.model, config.detector) == ("FoivosPar/Arc2Face", None)


def test_a_check_by_it_takes_its_files_along(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.faceid.section.find_spec", lambda name: object())
    (tmp_path / "arcface.onnx").write_bytes(b"something")
    embedder = {"kind": "arc2face", "model": str(tmp_path), "detector": "buffalo_l"}
    check = IdentityCheck.model_validate({"name": "faceid", "embedder": embedder})
    assert check.local_paths() == [str(tmp_path)]
    assert check.find_weights(fetch=False).files == (tmp_path / "arcface.onnx",)
    elsewhere = IdentityCheck.model_validate({"name": "faceid", "embedder": {"kind": "arc2face"}})
    with pytest.raises(WeightsError) as caught:
        elsewhere.find_weights(fetch=False)
    assert str(caught.value) == (
        "FoivosPar/Arc2Face (model of the check's embedder) is not on this machine: no folder "
        "of that name, and not in the Hub's cache; `synthgen weights fetch CONFIG` fetches it"
    )
