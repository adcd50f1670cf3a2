"""Curves of a training as one picture: a panel for each value."""

import math
from collections.abc import Sequence
from typing import Any

from PIL import Image as PILImage
from PIL import ImageDraw
from PIL.Image import Image

_WIDTH, _HEIGHT, _MARGIN, _ACROSS = 400, 180, 24, 2
_PAPER, _INK, _FRAME, _LINE = "white", "black", "#bbbbbb", "#1f5fbf"

Point = dict[str, Any]
"""A step, and values by name."""


def draw_curves(points: Sequence[Point]) -> Image:
    """Draw each value of the points over their `step`.

    A panel's title gives the value's name, its last value, and its range. Values that are not
    finite are left out.

    Args:
        points: values by name; at least one point.
    """
    names = [name for name in points[-1] if name != "step"]
    rows = math.ceil(len(names) / _ACROSS)
    sheet = PILImage.new("RGB", (_ACROSS * _WIDTH, rows * _HEIGHT), _PAPER)
    for place, name in enumerate(names):
        panel = _panel(name, [(float(p["step"]), float(p[name])) for p in points if name in p])
        sheet.paste(panel, (place % _ACROSS * _WIDTH, place // _ACROSS * _HEIGHT))
    return sheet


def _panel(name: str, curve: Sequence[tuple[float, float]]) -> Image:
    panel = PILImage.new("RGB", (_WIDTH, _HEIGHT), _PAPER)
    draw = ImageDraw.Draw(panel)
    box = (_MARGIN, _MARGIN, _WIDTH - _MARGIN, _HEIGHT - _MARGIN)
    draw.rectangle(box, outline=_FRAME)
    curve = [(step, value) for step, value in curve if math.isfinite(value)]
    if not curve:
        draw.text((_MARGIN, 6), f"{name}: no finite value", fill=_INK)
        return panel
    values = [value for _, value in curve]
    title = f"{name}: {values[-1]:.4g} (from {min(values):.4g} to {max(values):.4g})"
    draw.text((_MARGIN, 6), title, fill=_INK)
    draw.text((_MARGIN, _HEIGHT - 18), f"steps {curve[0][0]:g} to {curve[-1][0]:g}", fill=_INK)
    places = _placed(curve, box)
    draw.line(places if len(places) > 1 else places * 2, fill=_LINE, width=1)
    return panel


def _placed(
    curve: Sequence[tuple[float, float]], box: tuple[int, int, int, int]
) -> list[tuple[float, float]]:
    """Scale a curve to a box of pixels."""
    left, top, right, bottom = box
    steps, values = zip(*curve, strict=True)
    return [
        (
            left + (right - left) * _share(step, min(steps), max(steps)),
            bottom - (bottom - top) * _share(value, min(values), max(values)),
        )
        for step, value in curve
    ]


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5
