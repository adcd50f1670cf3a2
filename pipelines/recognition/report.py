"""Page, picture and figures of a trained recogniser's test."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.evaluation.outside_statistics import RESAMPLES
from pipelines.recognition.examples import say_left_out
from pipelines.recognition.scores import AUScores, ExpressionScores, Figure
from pipelines.training.files import write_whole
from synthgen.action_units import FACS
from synthgen.dataset.markdown import number, percent, table
from synthgen.errors import MissingDependencyError
from synthgen.installation import install_command

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

_BLUE, _RED, _GREY = "#2f7ebc", "#d1495b", "#bbbbbb"
_PARTS = 500
"""Shares of a row of a confusion that are written: from one in so many."""


@dataclass(frozen=True, slots=True)
class Used:
    """Pictures that were used, for people.

    Attributes:
        use: `learned` or `tested`.
        name: name of the source.
        kind: its layout.
        split: split of it.
        labels: which labels.
        pictures: number of pictures.
        people: number of people; 0 where nobody says.
        categories: category → pictures.
        left_out: reason → pictures that are not used.
        checksum: of the source.
    """

    use: str
    name: str
    kind: str
    split: str
    labels: str
    pictures: int
    people: int
    categories: dict[str, int]
    left_out: dict[str, int]
    checksum: str


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that is told of a trained recogniser.

    Attributes:
        command: the command that finds it again.
        used: what was learned and tested on.
        model: what was trained, for people.
        recipe: how.
        seeds: the seeds of the trainings.
        bootstrap_seed: seed of the intervals.
        shared_people: people of the test that were learned from.
        expressions: figures of the categories; None where none are known.
        aus: figures of the AUs.
        versions: package → version.
    """

    command: str
    used: tuple[Used, ...]
    model: str
    recipe: dict[str, Any]
    seeds: tuple[int, ...]
    bootstrap_seed: int
    shared_people: int
    expressions: ExpressionScores | None
    aus: dict[str, AUScores]
    versions: dict[str, str]


def tables(found: Found) -> str:
    """Write the tables."""
    parts = [_used_section(found), _figures_section(found)]
    if found.expressions is not None:
        parts += [_category_section(found.expressions), _confusion_section(found.expressions)]
    if found.aus:
        parts.append(_au_section(found.aus))
    return "\n\n".join(parts)


def document(found: Found, body: str, picture: Path | None) -> str:
    """Write the page.

    Args:
        found: what was found.
        body: its tables.
        picture: the drawing beside the page; None where there is none.
    """
    learned = " and ".join(one.name for one in found.used if one.use == "learned")
    tested = next(one.name for one in found.used if one.use == "tested")
    recipe = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in found.recipe.items())
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    head = (
        f"# Expressions recognised: learned on {learned}, tested on {tested}\n\n"
        f"Made by `{found.command}`.\n\n"
        f"- {found.model}; {recipe}. The weights are those of the last epoch: nothing is chosen by "
        "the test.\n"
        f"- {_seeds_said(found)} Intervals: 95 %, percentile bootstrap over the people of the test "
        f"(over its pictures where nobody says whom they show), {RESAMPLES} draws, seed "
        f"{found.bootstrap_seed}.\n"
        f"- {versions}."
    )
    drawn = [] if picture is None else [f"![Confusion, F1, calibration, AUs]({picture.name})"]
    return "\n\n".join([head, *drawn, body]) + "\n"


def figures(found: Found) -> dict[str, Any]:
    """Return the figures as JSON takes them: null in place of NaN."""
    return _plain(asdict(found))


def _seeds_said(found: Found) -> str:
    if len(found.seeds) == 1:
        return f"One training, seed {found.seeds[0]}."
    first, *_, last = found.seeds
    return f"{len(found.seeds)} trainings, seeds {first} to {last}; figures are means."


def _used_section(found: Found) -> str:
    rows = [
        [
            one.use,
            f"{one.name} ({one.kind})",
            one.split,
            one.labels,
            one.pictures,
            one.people or "–",
            say_left_out(one.left_out) or "–",
        ]
        for one in found.used
    ]
    shared = (
        f"\n\n{found.shared_people} people of the test were learned from."
        if found.shared_people
        else ""
    )
    head = ["", "source", "split", "labels", "pictures", "people", "left out"]
    return "## Pictures\n\n" + table(head, rows) + shared


def _figures_section(found: Found) -> str:
    rows: list[list[object]] = []
    scores = found.expressions
    if scores is not None:
        chance = percent(scores.most_common)
        rows.append(["accuracy", *_cells(scores.accuracy, percent), f"{chance} by one category"])
        rows.append(["macro-F1", *_cells(scores.macro_f1, number), "–"])
        rows.append(["calibration error (ECE)", *_cells(scores.ece, number), "0 is best"])
    for name, of in (("r", "mean r of the AUs"), ("icc", "mean ICC(3,1)"), ("mae", "mean error")):
        if found.aus:
            value, spread = mean_over_aus(found.aus, name)
            rows.append([of, number(value), "–", number(spread), "–"])
    head = ["figure", "value", "95 %", "over seeds (sd)", "beside"]
    return "## Figures\n\n" + table(head, rows)


def mean_over_aus(aus: dict[str, AUScores], name: str) -> tuple[float, float]:
    """Return the mean of a figure over the AUs in which every seed has it, and over the seeds.

    Args:
        aus: AU → its figures.
        name: `r`, `icc` or `mae`.

    Returns:
        The mean, and the standard deviation over the seeds; NaN where there are too few.
    """
    each = np.array([getattr(one, name).seeds for one in aus.values()], np.float64)
    each = each[np.isfinite(each).all(1)] if each.size else each
    if not each.size:
        return float("nan"), float("nan")
    means = each.mean(0)
    return float(means.mean()), float(np.std(means, ddof=1)) if len(means) > 1 else float("nan")


def _category_section(scores: ExpressionScores) -> str:
    rows = [
        [
            name,
            one.pictures,
            number(one.precision.estimate.value),
            number(one.recall.estimate.value),
            number(one.f1.estimate.value),
            _interval(one.f1, number),
            number(one.f1.spread),
        ]
        for name, one in scores.categories.items()
    ]
    head = ["category", "pictures", "precision", "recall", "F1", "95 %", "over seeds (sd)"]
    return "## Categories\n\n" + table(head, rows)


def _confusion_section(scores: ExpressionScores) -> str:
    names = list(scores.categories)
    rows = [
        [name, *(_share(value) for value in row)]
        for name, row in zip(names, scores.confusion, strict=True)
        if not math.isnan(row[0])
    ]
    return (
        "## Confusion\n\nOf the pictures of a category (row), the percentage that is called as the "
        "column says.\n\n" + table(["shown", *names], rows)
    )


def _au_section(aus: dict[str, AUScores]) -> str:
    rows = [
        [
            name,
            FACS[name],
            number(one.r.estimate.value),
            _interval(one.r, number),
            number(one.icc.estimate.value),
            _interval(one.icc, number),
            number(one.mae.estimate.value),
        ]
        for name, one in aus.items()
    ]
    head = ["AU", "", "r", "95 %", "ICC(3,1)", "95 %", "mean error"]
    return "## Action Units\n\n" + table(head, rows)


def _cells(figure: Figure, written: Callable[[float], str]) -> list[str]:
    return [written(figure.estimate.value), _interval(figure, written), written(figure.spread)]


def _interval(figure: Figure, written: Callable[[float], str]) -> str:
    one = figure.estimate
    return "–" if math.isnan(one.low) else f"{written(one.low)} to {written(one.high)}"


def _share(value: float) -> str:
    return f"{100 * value:.1f}" if value >= 1 / _PARTS else "·"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(child) for child in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_drawing(found: Found, to: Path) -> None:
    """Draw the figures as a PNG file.

    Raises:
        MissingDependencyError: if matplotlib is not installed.
        OutputError: if the file cannot be written.
    """
    drawing = draw(found)
    with write_whole(to) as partial:
        drawing.savefig(partial, format="png", dpi=110)


def draw(found: Found) -> "Drawing":
    """Draw confusion, F1 and calibration of the categories, and the agreement on the AUs.

    Raises:
        MissingDependencyError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure as Drawing
    except ImportError as error:
        raise MissingDependencyError(
            f"the picture of the figures needs matplotlib: {install_command('plots')}"
        ) from error
    drawing = Drawing(figsize=(12, 9), layout="constrained")
    learned = " and ".join(one.name for one in found.used if one.use == "learned")
    tested = next(one.name for one in found.used if one.use == "tested")
    drawing.suptitle(f"Learned on {learned}, tested on {tested}")
    (confusion, f1), (calibration, aus) = drawing.subplots(2, 2)
    if found.expressions is not None:
        _draw_confusion(confusion, found.expressions)
        _draw_f1(f1, found.expressions)
        _draw_calibration(calibration, found.expressions)
    else:
        for axes in (confusion, f1, calibration):
            axes.set_axis_off()
    if found.aus:
        _draw_aus(aus, found.aus)
    else:
        aus.set_axis_off()
    return drawing


def _draw_confusion(axes: "Axes", scores: ExpressionScores) -> None:
    names = list(scores.categories)
    values = np.array(scores.confusion)
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("called")
    axes.set_ylabel("shown")
    axes.set_title("Confusion, percent of a row")
    for (row, column), value in np.ndenumerate(values):
        if value >= 0.005:
            colour = "white" if value > 0.6 else "black"
            text = f"{100 * value:.0f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)


def _draw_f1(axes: "Axes", scores: ExpressionScores) -> None:
    names = list(scores.categories)
    _bars(axes, names, [scores.categories[name].f1 for name in names], "F1")
    axes.axhline(scores.macro_f1.estimate.value, color=_RED, lw=1, label="macro-F1")
    axes.legend(fontsize=8, loc="lower right")
    axes.set_title(f"F1; accuracy {percent(scores.accuracy.estimate.value)}")


def _draw_calibration(axes: "Axes", scores: ExpressionScores) -> None:
    axes.plot([0, 1], [0, 1], color=_GREY, lw=1)
    sure, right, share = np.array(scores.reliability).T
    axes.plot(sure, right, color=_BLUE, lw=1)
    axes.scatter(sure, right, s=10 + 200 * share, color=_BLUE)
    axes.set(xlim=(0, 1.03), ylim=(-0.03, 1.03), xlabel="confidence", ylabel="accuracy")
    axes.set_title(f"Calibration; ECE {number(scores.ece.estimate.value)}")


def _draw_aus(axes: "Axes", aus: dict[str, AUScores]) -> None:
    _bars(axes, list(aus), [one.icc for one in aus.values()], "ICC(3,1)")
    axes.set_title("Agreement on Action Units")


def _bars(axes: "Axes", names: list[str], figures: list[Figure], label: str) -> None:
    values = np.array([one.estimate.value for one in figures])
    low = np.array([one.estimate.low for one in figures])
    high = np.array([one.estimate.high for one in figures])
    errors = np.nan_to_num(np.maximum([values - low, high - values], 0))
    axes.bar(range(len(names)), np.nan_to_num(values), yerr=errors, color=_BLUE, ecolor="black")
    axes.set_xticks(range(len(names)), names, rotation=45)
    axes.set_ylim(min(0.0, float(np.nan_to_num(low).min(initial=0))), 1)
    axes.set_ylabel(label)
