"""A sheet of pictures with a few words under each."""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

_LINE = 13
_TEXT_SIZE = 11
_MARGIN = 8
_INK = (40, 40, 40)


def contact_sheet(
    images: Sequence[Image.Image],
    captions: Sequence[str],
    *,
    columns: int = 6,
    size: int = 160,
) -> Image.Image:
    """Lay out pictures in rows, each above its caption.

    Args:
        images: the pictures; each is fitted into a square.
        captions: one for each picture; lines are parted by newlines.
        columns: pictures in a row, at least 1.
        size: side of a square [pixels].

    Returns:
        An RGB image on white.
    """
    columns = max(1, min(columns, len(images)))
    lines = max((caption.count("\n") + 1 for caption in captions), default=0)
    width, height = size + _MARGIN, size + lines * _LINE + _MARGIN
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * width + _MARGIN, rows * height + _MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_TEXT_SIZE)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left = _MARGIN + number % columns * width
        top = _MARGIN + number // columns * height
        sheet.paste(_fit(image, size), (left, top))
        for line, text in enumerate(caption.split("\n")):
            where = left, top + size + line * _LINE
            draw.text(where, _shorten(text, font, size), fill=_INK, font=font)
    return sheet


def encode_png(image: Image.Image) -> bytes:
    """Return an image as a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _fit(image: Image.Image, size: int) -> Image.Image:
    scale = size / max(image.size)
    fitted = tuple(max(1, round(side * scale)) for side in image.size)
    square = Image.new("RGB", (size, size), "white")
    resized = image.convert("RGB").resize((fitted[0], fitted[1]), Image.Resampling.LANCZOS)
    square.paste(resized, ((size - fitted[0]) // 2, (size - fitted[1]) // 2))
    return square


def _shorten(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"
