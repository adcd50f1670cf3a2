"""Curves of a training: figures step by step, as a file and as a picture."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw
from PIL.Image import Image
from tqdm import tqdm

from pipelines.training.files import write_text_whole, write_whole, writing
from synthgen.installation import install_command

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


HISTORY = "history.jsonl"
CURVES = "curves.png"
SHEETS = "samples"
BOARD = "tensorboard"


class Curves:
    """Writes `history.jsonl`, `curves.png`, `samples/*.png`, and TensorBoard's files.

    Points after `step`, left by a training that was killed, are taken away first. Without
    TensorBoard, which is in the extra `training`, one printed line says so.

    Args:
        folder: folder of the training.
        step: step that the training goes on from.

    Raises:
        OutputError: here and in each method, if a file cannot be written.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._folder = folder
        with writing(folder / HISTORY):
            self._points = _points_until(folder / HISTORY, step)
        write_text_whole(folder / HISTORY, "".join(map(_line, self._points)))
        with writing(folder / HISTORY):
            self._file = (folder / HISTORY).open("a", encoding="utf-8")
        self._board = _board(folder / BOARD, step)

    def add(self, step: int, values: dict[str, float]) -> None:
        """Add a point to each curve."""
        self._points.append({"step": step, **values})
        with writing(self._folder / HISTORY):
            self._file.write(_line(self._points[-1]))
            self._file.flush()
        if self._board is not None:
            with writing(self._folder / BOARD):
                for name, value in values.items():
                    self._board.add_scalar(name, value, step)

    def draw(self) -> None:
        """Draw all curves as one picture."""
        if self._points:
            with write_whole(self._folder / CURVES) as partial:
                draw_curves(self._points).save(partial, "PNG")

    def show(self, step: int, sheet: Image) -> None:
        """Keep a sample sheet."""
        path = self._folder / SHEETS / f"{step:08d}.png"
        with writing(path):
            path.parent.mkdir(exist_ok=True)
        with write_whole(path) as partial:
            sheet.save(partial, "PNG")
        if self._board is not None:
            with writing(self._folder / BOARD):
                self._board.add_image("samples", np.asarray(sheet), step, dataformats="HWC")

    def __enter__(self) -> "Curves":
        return self

    def __exit__(self, *_: object) -> None:
        with writing(self._folder / HISTORY):
            self._file.close()
        if self._board is not None:
            with writing(self._folder / BOARD):
                self._board.close()


def _points_until(path: Path, step: int) -> list[Point]:
    """Read the points up to a step; what a kill left after them may end in half a line."""
    points: list[Point] = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            point = json.loads(line) if line.endswith("}\n") else {"step": step + 1}
            if point["step"] > step:
                break
            points.append(point)
    return points


def _line(point: Point) -> str:
    return json.dumps(point) + "\n"


def _board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        tqdm.write(
            f"no TensorBoard, so curves are {HISTORY} and {CURVES} alone; "
            f"{install_command('training')} brings it"
        )
        return None
    with writing(folder):
        return SummaryWriter(str(folder), purge_step=step + 1)
