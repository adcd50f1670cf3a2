"""Marks of pictures: written by Pillow, read without it, left out to the byte."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cluster.batches import encode_image
from synthgen.dataset.marks.containers import read_mark, without_marks
from synthgen.dataset.marks.xmp import Mark, packet, parse_packet

MARK = Mark("trainedAlgorithmicMedia", "sample-3f9a2c1b-00000013")
FORMATS = ["png", "jpeg", "webp"]


def picture():
    return Image.effect_mandelbrot((48, 40), (-2, -1, 1, 1), 50).convert("RGB")


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_mark_is_read_back_and_taken_out_to_the_byte(image_format):
    plain, marked = (encode_image(picture(), image_format, mark=mark) for mark in (None, MARK))
    assert read_mark(marked) == MARK
    assert read_mark(plain) is None
    assert without_marks(marked) == plain == without_marks(plain)
    assert encode_image(picture(), image_format, mark=MARK) == marked
    assert Image.open(io.BytesIO(marked)).tobytes() == Image.open(io.BytesIO(plain)).tobytes()


@pytest.mark.parametrize("image_format", FORMATS)
def test_pillow_finds_the_packet_where_programs_look_for_it(image_format):
    opened = Image.open(io.BytesIO(encode_image(picture(), image_format, mark=MARK)))
    opened.load()
    found = opened.info["xmp"]
    assert (found.encode() if isinstance(found, str) else found) == packet(MARK)


def test_other_parts_of_a_webp_stay():
    buffer = io.BytesIO()
    picture().save(buffer, "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0", xmp=packet(MARK))
    left = without_marks(buffer.getvalue())
    assert read_mark(left) is None
    opened = Image.open(io.BytesIO(left))
    opened.load()
    assert opened.getexif() is not None
    assert b"EXIF" in left


def test_a_packet_of_others_is_read_whether_it_holds_attributes_or_elements():
    elements = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Image::ExifTool 12.40">'
        b"<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
        b"<rdf:Description rdf:about='' "
        b"xmlns:Iptc4xmpExt='http://iptc.org/std/Iptc4xmpExt/2008-02-29/'>"
        b"<!-- written elsewhere --><Iptc4xmpExt:DigitalSourceType>"
        b"http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
        b"</Iptc4xmpExt:DigitalSourceType></rdf:Description></rdf:RDF></x:xmpmeta>\0\0"
    )
    mark = parse_packet(elements)
    assert mark == Mark("digitalCapture", None, None)
    assert not mark.synthetic
    assert MARK.synthetic


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no xml",
        b"\xff\xfe<\0a\0",
        b"<a/>",
        b'<!DOCTYPE a [<!ENTITY b "c">]>' + packet(MARK),
        packet(MARK) + b" " * (1 << 20),
    ],
)
def test_what_is_no_packet_of_a_mark_is_none(data):
    assert parse_packet(data) is None


def test_a_compressed_packet_is_read_and_cannot_grow_without_bound():
    from PIL.PngImagePlugin import PngInfo

    for text, found in ((packet(MARK).decode(), MARK), ("x" * (8 << 20), None)):
        info, buffer = PngInfo(), io.BytesIO()
        info.add_itxt("XML:com.adobe.xmp", text, zip=True)
        picture().save(buffer, "PNG", pnginfo=info)
        assert read_mark(buffer.getvalue()) == found


@pytest.mark.parametrize("image_format", FORMATS)
@given(data=st.data())
def test_damaged_pictures_raise_nothing(image_format, data):
    whole = encode_image(picture(), image_format, mark=MARK)
    cut = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for place in data.draw(st.lists(st.integers(0, max(len(cut) - 1, 0)), max_size=8)):
        if cut:
            cut[place] ^= data.draw(st.integers(1, 255))
    mark = read_mark(bytes(cut))
    assert mark is None or isinstance(mark, Mark)
    without_marks(bytes(cut))


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=40))
def test_any_id_comes_back(sample_id):
    found = parse_packet(packet(Mark("algorithmicMedia", sample_id)))
    assert found is not None
    # XML takes some characters for none (U+FFFE, U+FFFF); ids hold none of them.
    assert found.sample_id == sample_id
