import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from pipelines.libreface.alignment import (
    CenteredAligner,
    FaceSquare,
    MediaPipeAligner,
    cut_square,
    face_square,
)
from pipelines.procedural import random_identity, render
from pipelines.procedural.geometry import EYE_LEFT, EYE_RIGHT, MOUTH

NEUTRAL = (0.0,) * 12


@pytest.fixture(scope="module")
def mediapipe():
    return MediaPipeAligner()


def portrait(seed, size=300):
    return render(random_identity(seed=seed), NEUTRAL, size)


def points(*pairs):
    return tuple(np.array(pair, dtype=np.float64) for pair in pairs)


def test_square_of_an_upright_face_by_the_formula():
    # Eye distance 60, eye to mouth 70: half-side max(2·60, 1.8·70) = 126 around (130, 107).
    square = face_square(*points((100, 100), (160, 100), (130, 170)))
    assert square.side == pytest.approx(252)
    assert square.corners == pytest.approx(
        np.array([[4, -19], [4, 233], [256, 233], [256, -19]], dtype=np.float64)
    )


@given(st.floats(-3.1, 3.1), st.floats(0.1, 20))
def test_square_turns_and_grows_with_the_face(angle, scale):
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    marks = points((-30, 0), (30, 0), (4, 70))
    turned = face_square(*(mark @ turn for mark in marks))
    assert turned.corners == pytest.approx(face_square(*marks).corners @ turn, abs=1e-6)


def test_square_inside_the_image_is_cut_without_padding():
    y, x = np.mgrid[:700, :700]
    pixels = np.stack([x / 4, y / 4, 0 * x], axis=-1).astype(np.uint8)
    corners = np.array([[90, 80], [90, 592], [602, 592], [602, 80]], dtype=np.float64)
    crop = np.asarray(cut_square(Image.fromarray(pixels), FaceSquare(corners=corners, side=512.0)))
    expected = pixels[80:592, 90:602].astype(np.int64)
    assert np.abs(crop - expected).max() <= 1  # half a pixel off, as LibreFace's own
    assert (crop[..., 2] == 0).all()


def test_padding_fades_from_the_edge_and_keeps_the_picture():
    image = Image.new("RGB", (200, 200), (40, 90, 160))
    square = face_square(*points((10, 90), (70, 90), (40, 150)))
    crop = np.asarray(cut_square(image, square))
    assert crop[256, 400].tolist() == [40, 90, 160]
    assert crop[256, 0].tolist() != [40, 90, 160]


def test_centered_crop_is_the_formula_on_the_known_position():
    size = 400
    image = Image.new("RGB", (size, size))
    draw = ImageDraw.Draw(image)
    for x, y in (EYE_LEFT, EYE_RIGHT, MOUTH):
        draw.ellipse([x * size - 4, y * size - 4, x * size + 4, y * size + 4], fill="white")
    alignment = CenteredAligner(side=256).align(image)
    square = face_square(*(size * np.array(point) for point in (EYE_LEFT, EYE_RIGHT, MOUTH)))
    theirs = cut_square(image, square).resize((256, 256), Image.Resampling.BILINEAR)
    assert alignment.faces == 1
    assert alignment.crop.size == (256, 256)
    difference = np.asarray(alignment.crop, np.int64) - np.asarray(theirs)
    assert np.abs(difference).mean() < 0.5


def test_centered_crop_of_a_wide_picture_is_that_of_its_middle_square():
    face = portrait(3, 200)
    wide = Image.new("RGB", (300, 200))
    wide.paste(face, (50, 0))
    crops = [CenteredAligner(side=128).align(image).crop for image in (face, wide)]
    assert np.array_equal(*crops)


def test_no_face_is_an_answer(mediapipe):
    found = mediapipe.align(Image.new("RGB", (240, 180), "gray"))
    assert (found.faces, found.crop) == (0, None)


def test_largest_of_several_faces_is_cut_out(mediapipe):
    scene = Image.new("RGB", (900, 500), (120, 130, 140))
    large = portrait(5, 420)
    for face, place in (
        (portrait(8, 220), (20, 140)),
        (large, (260, 40)),
        (portrait(9, 200), (690, 150)),
    ):
        scene.paste(face, place)
    found = mediapipe.align(scene)
    assert found.faces == 3
    alone = Image.new("RGB", (900, 500), (120, 130, 140))
    alone.paste(large, (260, 40))
    difference = np.asarray(found.crop, np.int64) - np.asarray(mediapipe.align(alone).crop)
    assert np.abs(difference)[100:400, 100:400].mean() < 6


def test_crop_does_not_depend_on_what_was_aligned_before(mediapipe):
    first = mediapipe.align(portrait(4)).crop
    mediapipe.align(portrait(6, 500))
    assert np.array_equal(first, mediapipe.align(portrait(4)).crop)


def test_large_image_is_aligned(mediapipe):
    found = mediapipe.align(portrait(4, 1400))
    assert found.faces == 1
    assert found.crop.size == (512, 512)
