import json
import sys

import pytest
from PIL import Image

from pipelines.training.curves import Curves, draw_curves


def test_points_and_sheets_are_written(tmp_path):
    with Curves(tmp_path, 0) as curves:
        curves.add(10, {"loss": 0.5, "rate": 1e-4})
        curves.add(20, {"loss": 0.25, "rate": 1e-4})
        curves.show(20, Image.new("RGB", (4, 4), "red"))
        curves.draw()
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 10, "loss": 0.5, "rate": 1e-4},
        {"step": 20, "loss": 0.25, "rate": 1e-4},
    ]
    assert Image.open(tmp_path / "samples" / "00000020.png").size == (4, 4)
    assert Image.open(tmp_path / "curves.png").size == (800, 180)
    assert list((tmp_path / "tensorboard").glob("events.*"))


@pytest.mark.parametrize("rest", ["", '{"step": 30, "loss": 1.0}\n', '{"step": 30, "lo', "{"])
def test_what_a_kill_left_is_taken_away(tmp_path, rest):
    history = tmp_path / "history.jsonl"
    history.write_text('{"step": 10, "loss": 0.5}\n{"step": 20, "loss": NaN}\n' + rest)
    with Curves(tmp_path, 20) as curves:
        curves.add(30, {"loss": 0.1})
    assert history.read_text() == (
        '{"step": 10, "loss": 0.5}\n{"step": 20, "loss": NaN}\n{"step": 30, "loss": 0.1}\n'
    )


def test_without_tensorboard_a_line_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with Curves(tmp_path, 0) as curves:
        curves.add(10, {"loss": 0.5})
        curves.draw()
    assert capsys.readouterr().out == (
        "no TensorBoard, so curves are history.jsonl and curves.png alone; "
        "pip install '.[training]' in a checkout of synthgen brings it\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "history.jsonl"]


def test_a_curve_is_drawn_in_its_panel():
    points = [{"step": 10 * i, "loss": 1 / i, "nothing": float("nan")} for i in range(1, 20)]
    sheet = draw_curves(points)
    left, right = sheet.crop((0, 0, 400, 180)), sheet.crop((400, 0, 800, 180))
    blue = (0x1F, 0x5F, 0xBF)
    assert blue in {colour for _, colour in left.getcolors(100_000)}
    assert blue not in {colour for _, colour in right.getcolors(100_000)}
