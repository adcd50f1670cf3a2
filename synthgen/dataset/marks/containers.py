"""XMP packets in encoded pictures: found, and left out, without decoding a pixel.

PNG keeps one in an iTXt chunk (PNG 3, 11.3.3.4), JPEG in an APP1 segment (XMP part 3, 1.1.3), WebP
in the RIFF chunk "XMP ". Bytes of a mark differ from sample to sample: whoever looks for equal
pictures compares them without it.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from synthgen.dataset.marks.xmp import Mark, parse_packet

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_XMP = b"XML:com.adobe.xmp\0"
_JPEG = b"\xff\xd8"
_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_START_OF_SCAN = 0xDA
_ALONE = {0x01, *range(0xD0, 0xD8)}
"""Markers of JPEG that stand alone, without a length."""

_WEBP_XMP_FLAG = 0x04
_LONGEST_TEXT = 1 << 20
"""Bytes that a compressed packet may become."""


@dataclass(frozen=True, slots=True)
class _Part:
    start: int
    stop: int
    kind: bytes
    packet: bytes | None = None


def read_mark(data: bytes) -> Mark | None:
    """Return the mark of an encoded picture: PNG, JPEG or WebP; None where there is none."""
    for part in _parts(data):
        if part.packet is not None and (mark := parse_packet(part.packet)) is not None:
            return mark
    return None


def without_marks(data: bytes) -> bytes:
    """Return an encoded picture without XMP packets; what Pillow writes of it unmarked.

    Bytes that are no PNG, JPEG or WebP, or are cut off, come back as they are.
    """
    parts = list(_parts(data))
    if not any(part.packet is not None for part in parts):
        return data
    if data[:4] == b"RIFF":
        return _webp_without(data, [part for part in parts if part.packet is None])
    kept, place = [], 0
    for part in parts:
        if part.packet is not None:
            kept.append(data[place : part.start])
            place = part.stop
    return b"".join([*kept, data[place:]])


def _parts(data: bytes) -> Iterator[_Part]:
    if data[:8] == _PNG:
        return _png_chunks(data)
    if data[:2] == _JPEG:
        return _jpeg_segments(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp_chunks(data)
    return iter(())


def _png_chunks(data: bytes) -> Iterator[_Part]:
    place = len(_PNG)
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        stop = place + 12 + length
        if stop > len(data):
            return
        packet = None
        if kind == b"iTXt" and data.startswith(_PNG_XMP, place + 8):
            packet = _itxt(data[place + 8 + len(_PNG_XMP) : stop - 4])
        yield _Part(place, stop, kind, packet)
        place = stop


def _itxt(rest: bytes) -> bytes:
    """Return the text of an iTXt chunk: after flags, language and translated keyword."""
    text = rest[2:].split(b"\0", 2)[-1]
    if rest[:1] != b"\1":
        return text
    try:
        return zlib.decompressobj().decompress(text, _LONGEST_TEXT)
    except zlib.error:
        return b""


def _jpeg_segments(data: bytes) -> Iterator[_Part]:
    place = len(_JPEG)
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        if marker in _ALONE:
            place += 2
            continue
        stop = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == _START_OF_SCAN or stop > len(data):
            return
        packet = None
        if marker == 0xE1 and data.startswith(_JPEG_XMP, place + 4):
            packet = data[place + 4 + len(_JPEG_XMP) : stop]
        yield _Part(place, stop, bytes([marker]), packet)
        place = stop


def _webp_chunks(data: bytes) -> Iterator[_Part]:
    place = 12
    while place + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, place)
        stop = place + 8 + length + length % 2
        if stop > len(data):
            return
        packet = data[place + 8 : place + 8 + length] if kind == b"XMP " else None
        yield _Part(place, stop, kind, packet)
        place = stop


def _webp_without(data: bytes, kept: list[_Part]) -> bytes:
    """Join the chunks of a WebP again; one that has only its picture left has the simple form."""
    chunks = [data[part.start : part.stop] for part in kept]
    if chunks and kept[0].kind == b"VP8X":
        header = bytearray(chunks[0])
        header[8] &= ~_WEBP_XMP_FLAG & 0xFF
        chunks[0] = bytes(header)
        if not header[8] and [part.kind for part in kept[1:]] in ([b"VP8 "], [b"VP8L"]):
            del chunks[0]
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body
