"""A sheet of pictures with a few words under each."""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from synthgen.dataset.marks.xmp import Mark, save_options

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
        captions: one for each picture, wrapped to its width; newlines begin a new line.
        columns: pictures in a row, at least 1.
        size: side of a square [pixels].

    Returns:
        An RGB image on white.
    """
    columns = max(1, min(columns, len(images)))
    font = ImageFont.load_default(_TEXT_SIZE)
    texts = [_wrap(caption, font, size) for caption in captions]
    lines = max((len(text) for text in texts), default=0)
    width, height = size + _MARGIN, size + lines * _LINE + _MARGIN
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * width + _MARGIN, rows * height + _MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (image, text) in enumerate(zip(images, texts, strict=True)):
        left = _MARGIN + number % columns * width
        top = _MARGIN + number // columns * height
        sheet.paste(_fit(image, size), (left, top))
        for line, words in enumerate(text):
            draw.text((left, top + size + line * _LINE), words, fill=_INK, font=font)
    return sheet


def encode_png(image: Image.Image, mark: Mark | None = None) -> bytes:
    """Return an image as a PNG file.

    Args:
        image: the image.
        mark: what it says of its origin; None: nothing.
    """
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True, **save_options(mark, "PNG"))
    return buffer.getvalue()


def _fit(image: Image.Image, size: int) -> Image.Image:
    scale = size / max(image.size)
    fitted = tuple(max(1, round(side * scale)) for side in image.size)
    square = Image.new("RGB", (size, size), "white")
    resized = image.convert("RGB").resize((fitted[0], fitted[1]), Image.Resampling.LANCZOS)
    square.paste(resized, ((size - fitted[0]) // 2, (size - fitted[1]) // 2))
    return square


def _wrap(
    caption: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> list[str]:
    """Break a caption between words into lines of at most `width` pixels."""
    lines = []
    for paragraph in caption.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines
