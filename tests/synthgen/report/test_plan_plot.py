import sys
from pathlib import Path

import pytest
from PIL import Image

from samplers import build_plan
from samplers.summary import summarise
from synthgen.config import load_config
from synthgen.errors import MissingDependencyError
from synthgen.report.plan_plot import draw_plan, write_plot

QUICKSTART = Path(__file__).parents[3] / "examples" / "quickstart.yaml"


@pytest.fixture
def summary():
    def make(*overrides):
        return summarise(build_plan(load_config(QUICKSTART, ["samples=60", *overrides])))

    return make


def test_a_plan_becomes_a_picture(summary, tmp_path):
    write_plot(summary(), tmp_path / "deep" / "plan.png")
    picture = Image.open(tmp_path / "deep" / "plan.png")
    assert picture.format == "PNG"
    assert picture.size == (1650, 1045)
    assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 50


@pytest.mark.parametrize(
    ("override", "title"),
    [
        ("seed=1", "Categories"),
        ("expressions={prior: builtin, name: disfa-rates}", "Most frequent strata"),
        ("expressions.quotas={category: {happy: 0.5}}", "Quota cells"),
    ],
)
def test_the_panels_have_titles(summary, override, title):
    figure = draw_plan(summary(override))
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:5] == [
        "How often each AU is active, and how strongly",
        "Number of active AUs",
        title,
        "P(both active), by the configuration",
        "P(both active), planned",
    ]


def test_without_matplotlib_the_install_line_is_told(summary, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError) as caught:
        draw_plan(summary())
    assert str(caught.value) == (
        "the plot of a plan needs matplotlib: pip install '.[plots]' in a checkout of synthgen"
    )
