import sys

import numpy as np
import pytest
from PIL import Image
from smirk_files import write_smirk

from pipelines.procedural import random_identity, render
from pipelines.smirk import SmirkEncoder, crop_face
from pipelines.smirk.faces import CenteredFinder, ExpressionReader, load_finder
from synthgen import au_vector
from synthgen.errors import MissingDependencyError, PictureError
from synthgen.installation import install_command


def square(low, high):
    return np.array([[low[0], low[1]], [high[0], high[1]]], np.float64)


def portrait(seed=3, size=256):
    return render(random_identity(seed=seed), au_vector({"AU12": 4}), size)


def test_a_square_of_224_pixels_is_cut_out_as_it_is():
    image = np.random.default_rng(1).integers(0, 256, (400, 500, 3), dtype=np.uint8)
    # 1.4 × 160 = 224 pixels lie between the centres of the first and the last one.
    crop = crop_face(image, square((132, 82), (292, 242)))
    assert (crop.shape, crop.dtype) == ((224, 224, 3), np.uint8)
    assert np.array_equal(crop[0, 0], image[50, 100])
    assert np.array_equal(crop[-1, -1], image[274, 324])
    place = 224 / 223 - 1  # the second pixel's centre lies that much further than a pixel on
    wanted = (1 - place) * image[50, 101] + place * image[50, 102]
    assert np.array_equal(crop[0, 1], wanted.astype(np.uint8))


def test_the_square_is_of_the_mean_side_and_black_outside():
    image = np.full((100, 100, 3), 200, np.uint8)
    crop = crop_face(image, square((10, 0), (110, 60)))  # side int(1.4 × 80) = 112, centre (60, 30)
    left, top = 60 - 56, 30 - 56
    inside_x = left + np.arange(224) * 112 / 223 <= 99
    inside_y = top + np.arange(224) * 112 / 223 >= 0
    assert (crop[inside_y][:, inside_x] >= 199).all()
    assert not crop[: np.flatnonzero(inside_y)[0] - 2].any()
    assert not crop[:, np.flatnonzero(~inside_x)[0] + 2 :].any()


def test_landmarks_and_images_of_another_kind_are_refused():
    image = np.zeros((50, 50, 3), np.uint8)
    box = square((10, 10), (40, 40))
    for picture, points, said in (
        (
            image.astype(np.float32),
            box,
            "a face is cut out of an image of shape [h, w, 3] and type uint8, and this one has "
            "[50, 50, 3] and float32",
        ),
        (
            image[..., 0],
            box,
            "a face is cut out of an image of shape [h, w, 3] and type uint8, and this one has "
            "[50, 50] and uint8",
        ),
        (image, box[:0], "landmarks of a face are of shape [n, 2], and these have [0, 2]"),
        (image, box[0], "landmarks of a face are of shape [n, 2], and these have [2]"),
        (
            image,
            box * np.nan,
            "landmarks of a face are in pixels and nearer than 1,000,000; one of these is not",
        ),
        (
            image,
            box / 100,
            "a face cannot be cut out: the square around it would have 0 pixels a side; at least 4 "
            "are needed",
        ),
    ):
        with pytest.raises(PictureError) as caught:
            crop_face(picture, points)
        assert str(caught.value) == said


def test_mediapipe_finds_478_landmarks_where_centered_takes_the_face_to_be():
    pytest.importorskip("mediapipe", reason="needs mediapipe")
    wide = Image.new("RGB", (400, 300), (90, 120, 150))
    wide.paste(portrait(size=300), (50, 0))
    (found,) = load_finder("mediapipe").find(wide)
    (taken,) = load_finder("centered").find(wide)
    assert found.shape == (478, 2)
    for corner in (np.min, np.max):
        assert np.abs(corner(found, axis=0) - corner(taken, axis=0)).max() < 0.05 * 300


def test_two_faces_are_counted_and_the_larger_one_read(tmp_path):
    pytest.importorskip("mediapipe", reason="needs mediapipe")
    both = Image.new("RGB", (700, 400), (90, 120, 150))
    both.paste(portrait(3, 400), (0, 0))
    both.paste(portrait(4, 256), (430, 60))
    encoder = SmirkEncoder.from_file(write_smirk(tmp_path / "SMIRK_em1.pt"))
    reader = ExpressionReader(encoder, load_finder("mediapipe"))
    found = reader.read(both)
    assert found is not None
    assert found.faces == 2
    assert 180 < found.side < 260
    assert set(reader.versions()) == {"mediapipe", "numpy", "torch"}


def test_centered_sees_whether_there_is_a_face(tmp_path):
    encoder = SmirkEncoder.from_file(write_smirk(tmp_path / "SMIRK_em1.pt"))
    reader = ExpressionReader(encoder, CenteredFinder())
    assert reader.read(Image.new("RGB", (256, 256), (90, 120, 150))) is None
    found, again = reader.read(portrait()), reader.read(portrait())
    other = reader.read(portrait(4))
    assert found is not None
    assert again is not None
    assert other is not None
    assert found.flame.tobytes() == again.flame.tobytes() != other.flame.tobytes()
    assert found.faces == 1
    assert found.side == pytest.approx(256 * (0.749 - 0.251 + 0.861 - 0.258) / 2)
    blurred = reader.read(portrait().resize((64, 64)))
    assert blurred is not None
    assert blurred.sharpness < found.sharpness


def test_a_missing_mediapipe_is_told_with_its_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe.python.solutions.face_mesh", None)
    with pytest.raises(MissingDependencyError) as caught:
        load_finder("mediapipe")
    assert str(caught.value) == (
        "finding faces in photographs needs the package mediapipe, which is not installed; "
        f"install it with: {install_command('alignment')}"
    )
