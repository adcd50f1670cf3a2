"""Reference images of photographs and of a run's own dataset, aligned as FFHQ's."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw
from tiny_face_embedder import face_embedder, portrait
from typer.testing import CliRunner

from pipelines.faceid.photographs import Quality, embed_photos
from pipelines.faceid.references import REFERENCE_SIDE, aligned_face
from pipelines.procedural.geometry import EYE_LEFT, EYE_RIGHT, MOUTH
from samplers.identities.store import read_store
from synthgen.cli.commands import app
from synthgen.errors import StoreError

runner = CliRunner()
EVERYTHING = Quality(0.0, 0.0, 0.0)


def marked(size, points):
    """Draw a picture with a white dot at each point."""
    image = Image.new("RGB", size, (60, 90, 120))
    draw = ImageDraw.Draw(image)
    for x, y in points:
        draw.ellipse([x - 6, y - 6, x + 6, y + 6], fill="white")
    return image


def bright(image):
    """Return the middle of each of three bright dots, from the left to the right."""
    mask = np.asarray(image.convert("L")) > 200
    columns = np.flatnonzero(mask.any(axis=0))
    parts = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
    return [(part.mean(), np.flatnonzero(mask[:, part].any(axis=1)).mean()) for part in parts]


@pytest.mark.parametrize("angle", [0.0, 0.5])
def test_eyes_and_mouth_come_to_where_ffhq_has_them(angle):
    # Eyes 120 apart, the mouth 130 below: half-side max(2·120, 1.8·130) = 240, so that 512 pixels
    # stand for 480; the centre lies 13 below the eyes.
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    face = np.array([[-60.0, 0], [60, 0], [0, 130]]) @ turn + (600, 500)
    found = bright(aligned_face(marked((1200, 1100), face), face))
    scale = 512 / 480
    expected = [(x * scale + 256, (y - 13) * scale + 256) for x, y in [(-60, 0), (0, 130), (60, 0)]]
    assert np.array(found) == pytest.approx(np.array(expected), abs=2.0)


def test_a_large_face_is_not_undersampled():
    x = np.broadcast_to(np.arange(3000), (3000, 3000))
    stripes = Image.fromarray(np.where((x // 2) % 2, 255, 0).astype(np.uint8)).convert("RGB")
    points = np.array([[1260.0, 1400], [1740, 1400], [1500, 1900]])
    crop = np.asarray(aligned_face(stripes, points), np.int64)[8:-8, 8:-8]
    assert np.abs(crop - 127).max() < 12


def people(folder, **seeds):
    for name, sizes in seeds.items():
        (folder / name).mkdir(parents=True)
        for seed, size in sizes.items():
            portrait(int(seed[1:]), size).save(folder / name / f"{seed}.png")


def test_each_person_keeps_the_picture_of_the_largest_face(tmp_path):
    photos = tmp_path / "photos"
    people(photos, anna={"s1": 128, "s2": 200, "s3": 200}, ben={"s4": 128})
    embedder = face_embedder(tmp_path)
    store, left = embed_photos(photos, embedder, EVERYTHING, keep_images=True)
    assert left == []
    assert [one is not None for one in store.references] == [False, True, False, True]
    image = Image.open(io.BytesIO(store.reference("anna").data))
    assert (image.size, image.mode, image.format) == ((REFERENCE_SIDE,) * 2, "RGB", "PNG")
    points = 200 * np.array([EYE_LEFT, EYE_RIGHT, MOUTH])
    expected = aligned_face(portrait(2, 200), points)
    assert np.abs(np.asarray(image, np.int64) - np.asarray(expected)).max() <= 1
    again, _ = embed_photos(photos, embedder, EVERYTHING, keep_images=True)
    assert again.reference_digest == store.reference_digest
    plain, _ = embed_photos(photos, embedder, EVERYTHING)
    assert plain.references is None
    assert plain.fingerprint == store.fingerprint


class TwoFaces:
    """The embedder of drawn faces, which sees two in a picture that is wider than high."""

    def __init__(self, embedder):
        self._embedder = embedder
        self.name, self.licence = embedder.name, embedder.licence
        self.fingerprint, self.files = embedder.fingerprint, embedder.files
        self.provenance = embedder.provenance

    def embed(self, images):
        found = self._embedder.embed(images)
        found.faces[:] = [1 + (image.width > image.height) for image in images]
        return found


def test_a_picture_of_several_faces_is_no_reference(tmp_path):
    photos = tmp_path / "photos"
    people(photos, anna={"s1": 128})
    wide = Image.new("RGB", (256, 128))
    wide.paste(portrait(2), (64, 0))
    (photos / "ben").mkdir()
    wide.save(photos / "ben" / "wide.png")
    embedder = TwoFaces(face_embedder(tmp_path))
    store, left = embed_photos(photos, embedder, EVERYTHING, keep_images=True)
    assert list(store.rows) == ["anna"]
    assert [(one.name, one.reason) for one in left] == [
        ("ben/wide.png", "it shows 2 faces; a reference image shows one")
    ]
    with pytest.raises(StoreError) as caught:
        embed_photos(photos / "ben", embedder, EVERYTHING, keep_images=True)
    assert str(caught.value) == (
        f"none of the photographs in {photos}/ben can be taken; the first, wide.png: it shows 2 "
        "faces; a reference image shows one"
    )
    assert len(embed_photos(photos, embedder, EVERYTHING)[0]) == 2


def test_pictures_are_kept_where_the_command_asks_for_them(tmp_path):
    photos = tmp_path / "photos"
    people(photos, anna={"s1": 128}, ben={"s2": 128})
    face_embedder(tmp_path)
    to, weights = tmp_path / "store.parquet", tmp_path / "tiny.safetensors"
    words = ["faces", "embed", str(photos), "--embedder", "mini", "--model", str(weights)]
    words += ["--keep-images", "--to"]
    done = runner.invoke(app, [*words, str(to)], catch_exceptions=False)
    assert done.stdout == (
        f"{to}: 2 people in 2 of 2 photographs; a reference image of each; licence: CC0-1.0\n"
    )
    assert len(read_store(to).reference("ben").data) > 1000
    with pytest.raises(StoreError) as caught:
        runner.invoke(app, [*words, str(tmp_path / "s.safetensors")], catch_exceptions=False)
    assert str(caught.value) == (
        f"{tmp_path}/s.safetensors cannot keep reference images; a store that does ends in .parquet"
    )
