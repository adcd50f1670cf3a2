"""A plan as a picture: marginals, co-occurrence, number of active AUs, strata."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from samplers.summary import PlanSummary, StratumShare
from synthgen.errors import MissingDependencyError, OutputError
from synthgen.installation import install_command

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_LEVEL_COLOURS = ("#dbe9f6", "#a9cee5", "#6aaed6", "#2f7ebc", "#0a4a90")
_BAR = "#2f7ebc"
_ASKED = "#d1495b"
_STRATA = 24
_NAME = 34
_COMFORTABLE = 12
"""Strata whose names are written at full size."""

_VISIBLE = 0.0005
"""Entries of a matrix from which their percentage is written."""


def write_plot(summary: PlanSummary, to: Path) -> None:
    """Draw a plan.

    Args:
        summary: the plan.
        to: PNG file to write.

    Raises:
        MissingDependencyError: if matplotlib is not installed.
        OutputError: if the file cannot be written.
    """
    figure = draw_plan(summary)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(to, format="png", dpi=110)
    except OSError as error:
        raise OutputError(f"cannot write {to}: {error.strerror}") from error


def draw_plan(summary: PlanSummary) -> "Figure":
    """Draw a plan as a figure of five panels.

    Raises:
        MissingDependencyError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            f"the plot of a plan needs matplotlib: {install_command('plots')}"
        ) from error
    figure = Figure(figsize=(15, 9.5), layout="constrained")
    figure.suptitle(
        f"{summary.samples:,} samples planned, the first {summary.counted:,} counted", fontsize=13
    )
    top, bottom = figure.subfigures(2, 1, height_ratios=[1, 1.25], squeeze=False)[:, 0]
    marginals, numbers, strata = top.subplots(1, 3, width_ratios=[1.5, 0.8, 1.1])
    _marginals(marginals, summary)
    _numbers(numbers, summary)
    _strata(strata, summary)
    asked, drawn = bottom.subplots(1, 2)
    largest = max(summary.joint_expected.max(), summary.joint_counted.max(), 1e-9)
    names = [au.name for au in summary.aus]
    _matrix(asked, summary.joint_expected, names, "P(both active), by the configuration", largest)
    image = _matrix(drawn, summary.joint_counted, names, "P(both active), planned", largest)
    bottom.colorbar(image, ax=[asked, drawn], shrink=0.85)
    return figure


def _marginals(axes: "Axes", summary: PlanSummary) -> None:
    places = np.arange(len(summary.aus))
    below = np.zeros(len(summary.aus))
    for level, colour in enumerate(_LEVEL_COLOURS):
        shares = summary.levels_counted[:, level]
        axes.bar(places, shares, bottom=below, color=colour, label=f"level {'ABCDE'[level]}")
        below += shares
    asked = [au.asked_rate for au in summary.aus]
    axes.scatter(places, asked, marker="_", s=220, lw=2.5, color=_ASKED, label="asked", zorder=3)
    axes.set_xticks(places, [au.name for au in summary.aus], rotation=60)
    axes.set_ylabel("share of samples")
    axes.set_title("How often each AU is active, and how strongly")
    axes.legend(fontsize=8, ncols=2)


def _numbers(axes: "Axes", summary: PlanSummary) -> None:
    numbers = range(len(summary.active_counted))
    axes.bar(numbers, summary.active_counted, color=_BAR)
    axes.set_xticks(numbers)
    axes.set_xlabel("active AUs")
    axes.set_title("Number of active AUs")


def _strata(axes: "Axes", summary: PlanSummary) -> None:
    title, strata = _shown_strata(summary)
    places = np.arange(len(strata))
    axes.barh(places, [stratum.counted for stratum in strata], color=_BAR, label="planned")
    marks = [(n, stratum.asked) for n, stratum in enumerate(strata) if stratum.asked is not None]
    if marks:
        rows, shares = zip(*marks, strict=True)
        axes.scatter(shares, rows, marker="|", s=160, lw=2.5, color=_ASKED, label="asked", zorder=3)
        axes.legend(fontsize=8)
    names = [_short(stratum.name) for stratum in strata]
    axes.set_yticks(places, names, fontsize=9 if len(strata) <= _COMFORTABLE else 7)
    axes.invert_yaxis()
    axes.set_title(title)


def _shown_strata(summary: PlanSummary) -> tuple[str, tuple[StratumShare, ...]]:
    if summary.quotas:
        more = len(summary.quotas) - _STRATA
        left = f" (first {_STRATA})" if more > 0 else ""
        return f"Quota cells{left}", summary.quotas[:_STRATA]
    if summary.categories:
        shares = (StratumShare(c.name, c.expected, c.counted) for c in summary.categories)
        return "Categories", tuple(shares)[:_STRATA]
    return "Most frequent strata", summary.common


def _matrix(
    axes: "Axes", values: np.ndarray, names: list[str], title: str, largest: float
) -> "AxesImage":
    image = axes.imshow(values, cmap="Blues", vmin=0, vmax=largest)
    axes.set_xticks(range(len(names)), names, rotation=60)
    axes.set_yticks(range(len(names)), names)
    axes.set_title(title)
    for (row, column), value in np.ndenumerate(values):
        if value >= _VISIBLE:
            colour = "white" if value > 0.6 * largest else "black"
            text = f"{100 * value:.2g}"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    return image


def _short(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"
