"""What a training shows while it goes on: curves and sample sheets."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image
from tqdm import tqdm

from pipelines.training.loop.curve_sheet import Point, draw_curves
from pipelines.training.loop.whole_files import write_text_whole, write_whole, writing

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
            "pip install 'synthgen[training]' brings it"
        )
        return None
    with writing(folder):
        return SummaryWriter(str(folder), purge_step=step + 1)
