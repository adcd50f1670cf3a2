"""Pictures from outside become upright RGB by what their pixels mean, or say why they cannot."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from datasets import Dataset
from datasets import Image as ImageColumn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_face_embedder import face_embedder

from pipelines.libreface import LibreFaceVerifier
from pipelines.libreface.network import LibreFaceNetwork, save_network
from pipelines.pictures import LARGEST_PIXELS, open_picture, to_rgb
from pipelines.procedural import random_identity, render
from pipelines.training.data.config import DatasetData
from pipelines.training.data.examples import DatasetExamples
from synthgen.errors import PictureError

AUS = (0.0,) * 12
FACE = render(random_identity(seed=2), AUS, 64)
GREY = FACE.convert("L")


def stored(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def hidden(mode):
    """Return the face with its upper half transparent, over bright red that nobody should see."""
    alpha = Image.new("L", FACE.size, 255)
    alpha.paste(0, (0, 0, 64, 32))
    base = (FACE if mode == "RGBA" else GREY).copy()
    base.paste((255, 0, 0) if mode == "RGBA" else 7, (0, 0, 64, 32))
    base.putalpha(alpha)
    return base


def sixteen_bits():
    wide = np.asarray(GREY).astype(np.uint16) * 257
    return Image.fromarray(wide)


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return stored(FACE.rotate(90, expand=True), exif=exif)


def palette_with_hole():
    image = FACE.quantize(16)
    return stored(image, transparency=image.getpixel((0, 0)))


def test_16_bit_grey_is_scaled_from_its_own_white():
    for image in (open_picture(stored(sixteen_bits())), to_rgb(sixteen_bits()),
                  open_picture(stored(sixteen_bits(), "TIFF"))):  # fmt: skip
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), np.asarray(GREY.convert("RGB")))
    big = Image.fromarray(np.asarray(sixteen_bits()).astype(">u2"))
    np.testing.assert_array_equal(np.asarray(to_rgb(big)), np.asarray(GREY.convert("RGB")))
    pgm = b"P5 64 64 65535 " + np.asarray(sixteen_bits()).astype(">u2").tobytes()
    np.testing.assert_array_equal(np.asarray(open_picture(pgm)), np.asarray(GREY.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_is_white(mode):
    for image in (open_picture(stored(hidden(mode))), to_rgb(hidden(mode))):
        pixels = np.asarray(image)
        assert (pixels[:32] == 255).all()
        whole = np.asarray((FACE if mode == "RGBA" else GREY).convert("RGB"))
        np.testing.assert_array_equal(pixels[32:], whole[32:])
    clear = to_rgb(hidden(mode).convert({"RGBA": "RGBa", "LA": "La"}[mode]))
    assert (np.asarray(clear)[:32] == 255).all()


def test_a_colour_that_stands_for_transparent_is_white():
    assert open_picture(palette_with_hole()).getpixel((0, 0)) == (255, 255, 255)
    keyed = stored(GREY, transparency=GREY.getpixel((0, 0)))
    assert open_picture(keyed).getpixel((0, 0)) == (255, 255, 255)


def test_other_kinds_keep_their_colours():
    rgb = np.asarray(FACE).astype(int)
    for mode in ("CMYK", "YCbCr", "HSV", "RGBX"):
        assert abs(np.asarray(to_rgb(FACE.convert(mode))).astype(int) - rgb).max() < 12, mode
    assert abs(np.asarray(open_picture(stored(FACE.convert("CMYK"), "JPEG", quality=98))) - rgb
               ).mean() < 6  # fmt: skip
    np.testing.assert_array_equal(to_rgb(GREY), np.asarray(GREY.convert("RGB")))
    assert to_rgb(FACE) is FACE


def test_a_camera_s_orientation_is_applied():
    np.testing.assert_array_equal(np.asarray(open_picture(turned())), np.asarray(FACE))
    np.testing.assert_array_equal(
        np.asarray(to_rgb(Image.open(io.BytesIO(turned())))), np.asarray(FACE)
    )


@pytest.mark.parametrize("mode", ["I", "F", "LAB"])
def test_pixels_without_a_known_white_are_refused(mode):
    image = Image.new(mode, (4, 4))
    with pytest.raises(PictureError) as caught:
        to_rgb(image)
    assert str(caught.value) == (
        f"its pixels are of the kind {mode!r}, for which no white is known; save it as RGB, or as "
        "grey of 8 or 16 bits"
    )
    with pytest.raises(PictureError, match=f"its pixels are of the kind {mode!r}"):
        open_picture(stored(image, "TIFF"))


def png_of(width, height):
    """Return a PNG of zeros that is never unpacked whole."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(
            ">I", zlib.crc32(kind + data))  # fmt: skip

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packer = zlib.compressobj()
    row = bytes(3 * width + 1)
    data = b"".join(packer.compress(row) for _ in range(min(height, 100))) + packer.flush()
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.filterwarnings("error")
def test_a_huge_picture_is_not_unpacked(tmp_path):
    (tmp_path / "huge.png").write_bytes(png_of(13_000, 13_000))
    for source in (tmp_path / "huge.png", (tmp_path / "huge.png").read_bytes()):
        with pytest.raises(PictureError) as caught:
            open_picture(source)
        assert str(caught.value) == (
            f"it has 13,000 × 13,000 pixels; at most {LARGEST_PIXELS:,} are read: make it smaller"
        )
    with pytest.raises(PictureError, match="it cannot be read: Image size"):
        open_picture(png_of(60_000, 60_000))


def test_a_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(PictureError) as caught:
        open_picture(tmp_path / "a.png")
    assert str(caught.value) == (
        f"the picture {tmp_path}/a.png is a named pipe; it must be a regular file"
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "BMP"])
def test_only_picture_errors_come_out_of_torn_pictures(kind):
    small = FACE.resize((9, 7))
    exif = Image.Exif()
    exif[0x0112] = 3
    whole = stored(small, kind, **({} if kind == "BMP" else {"exif": exif}))
    found = []

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=4),
           st.integers(1, len(whole)))  # fmt: skip
    def torn(changes, length):
        content = bytearray(whole)
        for place, value in changes:
            content[place] = value
        try:
            found.append(open_picture(bytes(content[:length])).mode)
        except PictureError as error:
            found.append(str(error))

    torn()
    assert set(found) - {"RGB"}
    assert max(map(len, found)) < 500


def test_everybody_reads_pictures_alike(tmp_path):
    """The verifier, the face embedders and the trainings see the same pixels."""
    verifier = _verifier(tmp_path)
    embedder = face_embedder(tmp_path)
    grey, whole = sixteen_bits(), GREY.convert("RGB")
    np.testing.assert_array_equal(verifier.measure([grey]).aus, verifier.measure([whole]).aus)
    np.testing.assert_array_equal(
        embedder.embed([grey]).embeddings, embedder.embed([whole]).embeddings
    )
    for content, expected in ((stored(grey), whole), (turned(), FACE)):
        images = {"image": [{"bytes": content, "path": None}]}
        rows = Dataset.from_dict(images).cast_column("image", ImageColumn())
        rows.save_to_disk(str(tmp_path / f"rows{len(content)}"))
        data = {"source": "dataset", "path": str(tmp_path / f"rows{len(content)}"), "size": 64,
                "caption": None, "aus": None}  # fmt: skip
        examples = DatasetExamples(DatasetData.model_validate(data))
        np.testing.assert_array_equal(np.asarray(examples.image(0)), np.asarray(expected))
    for measured in (verifier.measure, embedder.embed):
        with pytest.raises(PictureError) as caught:
            measured([FACE, Image.new("F", (8, 8))])
        assert str(caught.value) == (
            "image 1 (from 0) cannot be used: its pixels are of the kind 'F', for which no white "
            "is known; save it as RGB, or as grey of 8 or 16 bits"
        )


def _verifier(folder):
    save_network(LibreFaceNetwork(input_size=64), folder / "small.safetensors")
    return LibreFaceVerifier.from_pretrained(folder / "small.safetensors", aligner="centered")
