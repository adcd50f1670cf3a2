"""Pictures without a face, drawn: what a detector of drawn faces learns to refuse.

Each is a function of the generator that it is given. `KINDS` are learned from; `UNSEEN` are kept
for the evaluation alone, so that it says what becomes of pictures that nobody thought of.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from PIL.Image import Resampling

from pipelines.procedural import Identity, random_identity, render
from pipelines.procedural.body import draw_background, draw_clothes, draw_ears, draw_neck
from pipelines.procedural.canvas import new_canvas, to_image
from pipelines.procedural.geometry import geometry
from pipelines.procedural.hair import draw_back_hair, draw_front_hair
from pipelines.procedural.skin import draw_skin
from synthgen.action_units import AU_COUNT

SIZE = 128
"""Side of a picture [pixels]."""

Draw = np.random.Generator
Pixels = Float[np.ndarray, "128 128 3"]

_NEUTRAL = (0.0,) * AU_COUNT
_LARGEST_SEED = 2**52


def _image(values: np.ndarray) -> Image.Image:
    return Image.fromarray((np.clip(values, 0, 1) * 255).round().astype(np.uint8))


def _colour(draw: Draw) -> Float[np.ndarray, "3"]:
    return draw.random(3)


def _paint(draw: Draw) -> tuple[int, int, int]:
    red, green, blue = (int(part) for part in draw.integers(0, 256, 3))
    return red, green, blue


def _grid() -> tuple[np.ndarray, np.ndarray]:
    at = np.linspace(0.0, 1.0, SIZE)
    return at[None, :], at[:, None]


def _blended(share: np.ndarray, draw: Draw) -> Image.Image:
    share = share[..., None]
    return _image(share * _colour(draw) + (1 - share) * _colour(draw))


def _plain(draw: Draw) -> Image.Image:
    return _image(np.broadcast_to(_colour(draw), (SIZE, SIZE, 3)))


def _gradient(draw: Draw) -> Image.Image:
    x, y = _grid()
    if draw.random() < 0.5:
        angle = draw.random() * 2 * math.pi
        share = 0.5 + (np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5)) / math.sqrt(2)
    else:
        cx, cy, reach = draw.random(), draw.random(), 0.3 + draw.random()
        share = np.clip(np.hypot(x - cx, y - cy) / reach, 0, 1)
    return _blended(np.broadcast_to(share, (SIZE, SIZE)), draw)


def _spectral(draw: Draw, exponent: float, channels: int) -> Float[np.ndarray, "128 128 c"]:
    across, down = np.fft.rfftfreq(SIZE)[None, :], np.fft.fftfreq(SIZE)[:, None]
    fall = np.maximum(np.hypot(across, down), 1 / SIZE) ** -exponent
    noise = np.fft.rfft2(draw.standard_normal((channels, SIZE, SIZE))) * fall
    values = np.fft.irfft2(noise, (SIZE, SIZE)).transpose(1, 2, 0)
    return (values - values.mean()) / max(float(values.std()), 1e-9)


def _noise(draw: Draw) -> Image.Image:
    channels = 3 if draw.random() < 0.5 else 1
    values = _spectral(draw, draw.random() * 3, channels)
    return _image(_colour(draw) * 0.6 + 0.2 + (0.02 + 0.25 * draw.random()) * values)


def _blobs(draw: Draw) -> Image.Image:
    values = _spectral(draw, 1.5 + 2 * draw.random(), 1)[..., 0]
    return _blended((values > draw.standard_normal() * 0.5).astype(float), draw)


def _waves(draw: Draw) -> Image.Image:
    x, y = _grid()
    total = np.zeros((SIZE, SIZE))
    for _ in range(int(draw.integers(1, 4))):
        angle, waves = draw.random() * math.pi, 1 + 20 * draw.random()
        phase = 2 * math.pi * (waves * (np.cos(angle) * x + np.sin(angle) * y) + draw.random())
        total = total + np.sin(phase)
    share = 0.5 + 0.5 * total / max(float(np.abs(total).max()), 1e-9)
    return _blended(share if draw.random() < 0.5 else (share > 0.5).astype(float), draw)


def _cells(draw: Draw) -> Image.Image:
    count = int(draw.integers(3, 40))
    places, colours = draw.random((count, 2)), draw.random((count, 3))
    x, y = _grid()
    near = np.stack([np.hypot(x - px, y - py) for px, py in places]).argmin(0)
    return _image(colours[near])


def _shapes(draw: Draw) -> Image.Image:
    picture = _gradient(draw)
    pen = ImageDraw.Draw(picture)
    for _ in range(int(draw.integers(1, 16))):
        x, y = (draw.random(2) * 1.2 - 0.1) * SIZE
        wide, high = (0.03 + 0.4 * draw.random(2)) * SIZE
        box, kind = (x - wide, y - high, x + wide, y + high), draw.integers(0, 4)
        if kind == 0:
            pen.ellipse(box, _paint(draw))
        elif kind == 1:
            pen.rectangle(box, _paint(draw))
        elif kind == 2:
            pen.line(box, _paint(draw), int(draw.integers(1, 8)))
        else:
            corners = draw.random((int(draw.integers(3, 7)), 2)) * 2 - 1
            pen.polygon([(x + a * wide, y + b * high) for a, b in corners], _paint(draw))
    return picture


def _text(draw: Draw) -> Image.Image:
    picture = _plain(draw) if draw.random() < 0.7 else _gradient(draw)
    pen, y = ImageDraw.Draw(picture), -4.0
    while y < SIZE:
        size = int(draw.integers(8, 30))
        letters = "".join(chr(int(draw.integers(33, 127))) for _ in range(24))
        words = letters.replace("a", " ").replace("M", " ")
        pen.text(
            (float(draw.integers(-8, 12)), y), words, _paint(draw), ImageFont.load_default(size)
        )
        y += size * (1 + draw.random())
    return picture


def _egg(draw: Draw) -> Image.Image:
    """Paint a head-like oval on shoulders, with nothing in it."""
    picture, skin = _gradient(draw), _paint(draw)
    pen, middle = ImageDraw.Draw(picture), SIZE * (0.5 + 0.06 * draw.standard_normal())
    wide, high = SIZE * (0.2 + 0.15 * draw.random()), SIZE * (0.28 + 0.15 * draw.random())
    top = SIZE * (0.52 + 0.05 * draw.standard_normal())
    if draw.random() < 0.7:
        pen.ellipse((middle - 1.2 * wide, top - 1.2 * high, middle + 1.2 * wide, top), _paint(draw))
        pen.rectangle((middle - 2 * wide, 0.85 * SIZE, middle + 2 * wide, SIZE), _paint(draw))
    pen.ellipse((middle - wide, top - high, middle + wide, top + high), skin)
    return picture.filter(ImageFilter.GaussianBlur(3 * draw.random()))


def _person(draw: Draw) -> Identity:
    return random_identity(int(draw.integers(0, _LARGEST_SEED)))


def _portrait(draw: Draw) -> Image.Image:
    aus = np.where(draw.random(AU_COUNT) < 0.3, 5 * draw.random(AU_COUNT), 0.0)
    return render(_person(draw), aus.tolist(), SIZE)


def _left_out(draw: Draw) -> Image.Image:
    """Draw a portrait whose face is left out: the wall, the bust, or a head without features."""
    face = geometry(_person(draw), _NEUTRAL)
    surface, canvas = new_canvas(SIZE)
    much = draw.integers(0, 4)
    draw_background(canvas, face)
    if much >= 1:
        draw_back_hair(canvas, face)
        draw_neck(canvas, face)
        draw_clothes(canvas, face)
    if much >= 2:
        draw_ears(canvas, face)
        contour = draw_skin(canvas, face)
        if much == 3:
            draw_front_hair(canvas, face, contour)
    return to_image(surface)


def _shuffled(draw: Draw) -> Image.Image:
    pixels, parts = np.asarray(_portrait(draw)), int(draw.choice([2, 4, 8, 16]))
    side = SIZE // parts
    pieces = pixels.reshape(parts, side, parts, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
    order = draw.permutation(len(pieces))
    if parts == 2:
        order = np.roll(np.arange(4), int(draw.integers(1, 4)))
    mixed = pieces[order].reshape(parts, parts, side, side, 3).swapaxes(1, 2)
    return Image.fromarray(np.ascontiguousarray(mixed.reshape(SIZE, SIZE, 3)))


def _cut(draw: Draw) -> Image.Image:
    """Cut a part out of a portrait, so that no whole face stands in the middle."""
    portrait, kind = _portrait(draw), draw.integers(0, 3)
    if kind == 0:  # a part, large
        side = SIZE * (0.15 + 0.2 * draw.random())
        x, y = draw.random(2) * (SIZE - side)
        return portrait.resize((SIZE, SIZE), Resampling.BICUBIC, (x, y, x + side, y + side))
    if kind == 1:  # pushed aside
        angle, far = draw.random() * 2 * math.pi, SIZE * (0.4 + 0.3 * draw.random())
        shift = (1, 0, far * math.cos(angle), 0, 1, far * math.sin(angle))
        return portrait.transform(
            portrait.size, Image.Transform.AFFINE, shift, fillcolor=portrait.getpixel((0, 0))
        )
    small = int(SIZE * (0.12 + 0.23 * draw.random()))
    picture = _gradient(draw)
    x, y = (int(part) for part in draw.integers(0, SIZE - small, 2))
    picture.paste(portrait.resize((small, small), Resampling.BICUBIC), (x, y))
    return picture


def _turned(draw: Draw) -> Image.Image:
    return _portrait(draw).rotate(float(draw.choice([90, 180, 270])))


KINDS: Mapping[str, tuple[float, Callable[[Draw], Image.Image]]] = {
    "plain": (0.03, _plain),
    "gradient": (0.07, _gradient),
    "noise": (0.12, _noise),
    "blobs": (0.06, _blobs),
    "waves": (0.07, _waves),
    "cells": (0.06, _cells),
    "shapes": (0.1, _shapes),
    "text": (0.06, _text),
    "egg": (0.08, _egg),
    "left_out": (0.12, _left_out),
    "shuffled": (0.08, _shuffled),
    "cut": (0.1, _cut),
    "turned": (0.05, _turned),
}
"""Kind → its share of what is learned, and what draws it."""


def _checkerboard(draw: Draw) -> Image.Image:
    x, y = _grid()
    squares, offset = int(draw.integers(2, 24)), draw.random(2)
    odd = (np.floor(x * squares + offset[0]) + np.floor(y * squares + offset[1])) % 2
    return _blended(odd, draw)


def _code(draw: Draw) -> Image.Image:
    count = int(draw.integers(17, 34))
    bits = (draw.random((count, count)) < 0.5).astype(np.uint8)
    for row, column in ((0, 0), (0, count - 7), (count - 7, 0)):
        bits[row : row + 7, column : column + 7] = 1
        bits[row + 1 : row + 6, column + 1 : column + 6] = 0
        bits[row + 2 : row + 5, column + 2 : column + 5] = 1
    return Image.fromarray((1 - bits) * 255).resize((SIZE, SIZE), Resampling.NEAREST).convert("RGB")


def _landscape(draw: Draw) -> Image.Image:
    x, y = _grid()
    sky, haze = np.array([0.3, 0.5, 0.9]), np.array([0.95, 0.85, 0.7]) * (0.7 + 0.3 * draw.random())
    pixels = np.broadcast_to(sky + (haze - sky) * y[..., None], (SIZE, SIZE, 3)).copy()
    pixels[np.hypot(x - draw.random(), y - 0.3 * draw.random()) < 0.07] = (1, 0.95, 0.7)
    for layer in range(4):
        waves = 1 + 6 * draw.random(3)
        ridge = sum(np.sin(2 * math.pi * (w * x + draw.random())) / w for w in waves)
        edge = 0.35 + 0.16 * layer + 0.08 * ridge
        pixels[y > edge] = np.array([0.2, 0.35 + 0.3 * draw.random(), 0.2]) * (1 - 0.15 * layer)
    return _image(pixels + 0.03 * _spectral(draw, 1.0, 1))


def _leaves(draw: Draw) -> Image.Image:
    """Paint discs of all sizes over one another: the statistics of photographs."""
    picture = _plain(draw)
    pen = ImageDraw.Draw(picture)
    for _ in range(300):
        radius = 0.02 * SIZE / max(1e-3, 1 - draw.random()) ** 0.5
        x, y = draw.random(2) * SIZE
        grey, tint = draw.random(), 0.2 * draw.random(3)
        red, green, blue = (int(255 * part) for part in np.clip(grey * 0.8 + tint, 0, 1))
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), (red, green, blue))
    return picture


def _wood(draw: Draw) -> Image.Image:
    x, y = _grid()
    warp = 0.05 * _spectral(draw, 2.5, 1)[..., 0]
    rings = np.sin(2 * math.pi * (4 + 12 * draw.random()) * (np.hypot(0.2 * x, y - 0.5) + warp))
    brown = np.array([0.6, 0.4, 0.22]) * (0.6 + 0.6 * draw.random())
    return _image(brown * (1 + 0.2 * rings[..., None]) + 0.02 * _spectral(draw, 0.5, 1))


def _chart(draw: Draw) -> Image.Image:
    picture = Image.new("RGB", (SIZE, SIZE), "white")
    pen, bars = ImageDraw.Draw(picture), int(draw.integers(3, 12))
    pen.line((14, 6, 14, SIZE - 14, SIZE - 6, SIZE - 14), "black", 2)
    for bar in range(bars):
        left = 18 + bar * (SIZE - 26) / bars
        top = SIZE - 15 - draw.random() * (SIZE - 30)
        pen.rectangle((left, top, left + 0.7 * (SIZE - 26) / bars, SIZE - 15), _paint(draw))
    return picture


def _stars(draw: Draw) -> Image.Image:
    values = 0.05 * draw.random((SIZE, SIZE))
    values += (draw.random((SIZE, SIZE)) < 0.01) * draw.random((SIZE, SIZE)) * 2
    return _image(np.repeat(values[..., None], 3, 2)).filter(ImageFilter.GaussianBlur(0.6))


UNSEEN: Mapping[str, Callable[[Draw], Image.Image]] = {
    "checkerboard": _checkerboard,
    "code": _code,
    "landscape": _landscape,
    "leaves": _leaves,
    "wood": _wood,
    "chart": _chart,
    "stars": _stars,
}
"""Kind → what draws it; no training sees these."""


def draw_faceless(draw: Draw) -> Image.Image:
    """Draw a picture without a face, of a kind that is learned."""
    shares = np.array([share for share, _ in KINDS.values()])
    kind = int(np.searchsorted(np.cumsum(shares / shares.sum())[:-1], draw.random(), side="right"))
    return list(KINDS.values())[kind][1](draw)
