"""insightface's detector and recogniser, on made models of its formats."""

import importlib.util

import numpy as np
import pytest
from PIL import Image, ImageOps
from tiny_face_embedder import portrait

from pipelines.faceid.photographs import LICENCE, InsightFaceEmbedder, Quality, embed_photos
from synthgen.errors import StoreError, WeightsError

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("insightface") is None, reason="needs the extra 'faceid'"
)


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    from made_onnx import make_pack

    return make_pack(tmp_path_factory.mktemp("packs") / "made")


def test_the_largest_face_is_embedded(pack):
    embedder = InsightFaceEmbedder.from_pretrained(str(pack))
    found = embedder.embed([portrait(1), Image.new("RGB", (128, 128)), portrait(2)])
    assert found.faces.tolist() == [2, 0, 2]
    assert found.sides[[0, 2]].tolist() == pytest.approx([60, 60], abs=1e-3)
    assert found.scores[0] == pytest.approx(0.85, abs=0.02)
    assert np.isnan(found.embeddings[1]).all()
    assert np.isnan([found.sides[1], found.scores[1], found.sharpness[1]]).all()
    np.testing.assert_allclose(np.linalg.norm(found.embeddings[[0, 2]], axis=1), 1, atol=1e-6)
    alone = embedder.embed([portrait(2)])
    np.testing.assert_array_equal(alone.embeddings[0], found.embeddings[2])
    assert found.sharpness[0] > 0


def test_a_face_that_fills_its_picture_is_found_with_a_border(tmp_path):
    from made_onnx import make_pack

    embedder = InsightFaceEmbedder.from_pretrained(str(make_pack(tmp_path / "made", True)))
    close = portrait(1)
    close.paste((255, 255, 255), (0, 0, 128, 4))
    found = embedder.embed([close, Image.new("RGB", (128, 128)), close.resize((90, 70))])
    assert found.faces.tolist() == [2, 0, 2]
    bordered = embedder.embed([ImageOps.expand(close, 64)])
    np.testing.assert_array_equal(found.embeddings[0], bordered.embeddings[0])
    assert found.sides[0] == bordered.sides[0] == pytest.approx(120, abs=1e-3)


def test_eyes_and_mouth_are_told_in_pixels_of_the_picture(pack, tmp_path):
    from made_onnx import LARGE, make_pack

    left, top, right, bottom = LARGE
    places = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.8)])  # the mouth between its corners
    expected = places * (right - left, bottom - top) + (left, top)
    found = InsightFaceEmbedder.from_pretrained(str(pack)).embed(
        [portrait(1), Image.new("RGB", (128, 128))]
    )
    np.testing.assert_allclose(found.points[0], expected, atol=0.01)
    assert np.isnan(found.points[1]).all()
    close = portrait(1)
    close.paste((255, 255, 255), (0, 0, 128, 4))
    embedder = InsightFaceEmbedder.from_pretrained(str(make_pack(tmp_path / "made", True)))
    bordered = embedder.embed([close]).points[0]  # found in a picture twice as large
    np.testing.assert_allclose(bordered, 2 * expected - 64, atol=0.01)


def test_a_photograph_of_two_faces_is_no_reference_image(pack, tmp_path):
    portrait(1).save(tmp_path / "two.png")
    embedder = InsightFaceEmbedder.from_pretrained(str(pack))
    everything = Quality(0.0, 0.0, 0.0)
    assert len(embed_photos(tmp_path, embedder, everything)[0]) == 1
    with pytest.raises(StoreError) as caught:
        embed_photos(tmp_path, embedder, everything, keep_images=True)
    assert str(caught.value) == (
        f"none of the photographs in {tmp_path} can be taken; the first, two.png: it shows 2 "
        "faces; a reference image shows one"
    )


def test_it_says_whose_it_is(pack):
    embedder = InsightFaceEmbedder.from_pretrained(str(pack))
    assert embedder.name == "insightface-made"
    assert embedder.licence == LICENCE
    provenance = embedder.provenance()
    assert set(provenance["weights"]) == {"detector.onnx", "recogniser.onnx"}
    assert embedder.fingerprint == f"sha256:{provenance['weights']['recogniser.onnx']}"
    assert provenance["licences"] == {"insightface-made": LICENCE}
    assert {"insightface", "onnxruntime", "opencv"} <= set(provenance["versions"])
    own = InsightFaceEmbedder.from_pretrained(str(pack), licence="MIT")
    assert own.licence == "MIT"


def test_a_folder_without_its_models_is_refused(pack, tmp_path):
    def said(folder):
        with pytest.raises(WeightsError) as caught:
            InsightFaceEmbedder.from_pretrained(str(folder))
        return str(caught.value)

    assert said(tmp_path) == f"{tmp_path} holds no face detector among its ONNX files"
    (tmp_path / "detector.onnx").write_bytes((pack / "detector.onnx").read_bytes())
    assert said(tmp_path) == f"{tmp_path} holds no recogniser among its ONNX files"
    (tmp_path / "recogniser.onnx").write_bytes(b"nothing of the kind")
    assert said(tmp_path).startswith(f"{tmp_path} cannot be used by insightface: ")
