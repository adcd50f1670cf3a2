"""Figures of the paper's protocol: sheets of images, the response of AUs, their cross-talk."""

import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL.Image import Image

from pipelines.evaluation.paper.readings import open_row
from pipelines.evaluation.paper.runs import PaperRun
from pipelines.evaluation.paper.statistics import cross_talk, responses
from pipelines.evaluation.paper.study import PaperResults, RunFindings
from pipelines.training.files import write_whole, writing
from synthgen.action_units import AU_COUNT, AUS
from synthgen.dataset import Storage, layout, read_markers
from synthgen.dataset.marks.xmp import Mark
from synthgen.dataset.parquet import read_columns
from synthgen.dataset.sheet import contact_sheet, encode_png
from synthgen.errors import MissingDependencyError
from synthgen.installation import install_command

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_SIDE = 96
_GRID_PROMPTS, _COMBINED_PROMPTS, _COMBINED = 6, 3, 12
"""Prompts of the grid and of the combinations, and combinations of each."""


def refuse_without_plots() -> None:
    """Refuse, before any work, to end without the figures.

    Raises:
        MissingDependencyError: if matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise MissingDependencyError(
            f"the figures need matplotlib, which is not installed: {install_command('plots')}"
        )


def write_figures(results: PaperResults, page: Path) -> dict[str, Path]:
    """Write the figures beside a page.

    Args:
        results: what was found.
        page: the page; a figure is named like it, with an ending of its own.

    Returns:
        Caption → file.

    Raises:
        OutputError: if a file cannot be written.
    """
    main = results.main
    mark = Mark(main.run.config.pipeline.digital_source(()))
    found: dict[str, Path] = {}

    def keep(name: str, caption: str, content: bytes) -> None:
        path = page.with_name(f"{page.stem}-{name}.png")
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(path) as partial:
            partial.write_bytes(content)
        found[caption] = path

    keep("grid", "Each AU at its highest intensity, a prompt a row", _png(_grid(results), mark))
    keep("sweeps", "Each AU from 0 on, a prompt", _png(_sweeps(results), mark))
    keep("combinations", "Combinations, a prompt a row", _png(_combinations(results), mark))
    keep("response", "Response of each AU to its own intensity", _plot(_response_plot(results)))
    keep("cross-talk", "Cross-talk of AUs", _plot(_cross_talk_plot(results)))
    return found


def _png(image: Image, mark: Mark) -> bytes:
    return encode_png(image, mark)


def _plot(drawing: "Drawing") -> bytes:
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _grid(results: PaperResults) -> Image:
    main, levels = results.main, results.settings.levels
    prompts = range(min(_GRID_PROMPTS, len(results.prompts)))
    cells = [0, *(1 + place * len(levels) + len(levels) - 1 for place in range(AU_COUNT))]
    captions = ["neutral", *(f"{name} {levels[-1]:g}" for name in AUS)]
    return _sheet(main, [(p, c) for p in prompts for c in cells], captions * len(prompts), 13)


def _sweeps(results: PaperResults) -> Image:
    main, levels = results.main, results.settings.levels
    cells, captions = [], []
    for place, name in enumerate(AUS):
        cells += [(0, 0), *((0, 1 + place * len(levels) + k) for k in range(len(levels)))]
        captions += [f"{name} {level:g}" for level in (0.0, *levels)]
    return _sheet(main, cells, captions, 2 * (1 + len(levels)))


def _combinations(results: PaperResults) -> Image:
    main, singles = results.main, AU_COUNT * len(results.settings.levels)
    asked = main.order.asked[singles:][:_COMBINED]
    prompts = range(min(_COMBINED_PROMPTS, len(results.prompts)))
    cells = [(p, 1 + singles + k) for p in prompts for k in range(len(asked))]
    captions = [
        " ".join(f"{name}={value:g}" for name, value in zip(AUS, row, strict=True) if value)
        for row in asked
    ]
    return _sheet(main, cells, captions * len(prompts), len(asked))


def _sheet(
    found: RunFindings, cells: Sequence[tuple[int, int]], captions: Sequence[str], columns: int
) -> Image:
    rows = [int(found.order.places[prompt, cell]) for prompt, cell in cells]
    pictures = _pictures(found.run, set(rows))
    return contact_sheet([pictures[row] for row in rows], captions, columns=columns, size=_SIDE)


def _pictures(run: PaperRun, wanted: set[int]) -> dict[int, Image]:
    """Return the pictures of some rows of a run, small."""
    storage, start = Storage(run.config.output.path), 0
    found: dict[int, Image] = {}
    for marker in sorted(read_markers(storage).values(), key=lambda marker: marker.key):
        if wanted & set(range(start, start + marker.rows)):
            file, number = layout.data_file(*marker.key), start
            for batch in read_columns(storage, file, ["sample_id", "image"], batch_rows=64):
                for row in batch.to_pylist():
                    if number in wanted:
                        picture = open_row(row).convert("RGB")
                        picture.thumbnail((_SIDE, _SIDE))
                        found[number] = picture
                    number += 1
        start += marker.rows
    return found


def _response_plot(results: PaperResults) -> "Drawing":
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(12, 8), layout="constrained")
    levels = [0.0, *results.settings.levels]
    panels = drawing.subplots(3, 4, sharex=True, sharey=True).ravel()
    for judge, found in results.main.measured.items():
        for name, of in responses(found, results.settings.seed).items():
            axes = panels[AUS.index(name)]
            means = [mean.value for mean in of.means]
            low = [mean.low for mean in of.means]
            high = [mean.high for mean in of.means]
            axes.plot(levels, means, marker="o", markersize=3, label=judge)
            axes.fill_between(levels, low, high, alpha=0.2)
    for axes, name in zip(panels, AUS, strict=True):
        axes.plot([0, levels[-1]], [0, levels[-1]], color="#bbbbbb", linestyle=":", linewidth=1)
        axes.set_title(name, fontsize=10)
        axes.set_ylim(0, 5)
    panels[0].legend(fontsize=8)
    drawing.supxlabel("intensity asked for")
    drawing.supylabel("mean measured, with 95 % intervals")
    return drawing


def _cross_talk_plot(results: PaperResults) -> "Drawing":
    from matplotlib.figure import Figure

    judges = results.main.measured
    drawing = Figure(figsize=(6.5 * len(judges), 5.5), layout="constrained")
    for axes, (judge, found) in zip(
        drawing.subplots(1, len(judges), squeeze=False)[0], judges.items(), strict=True
    ):
        slopes = cross_talk(found, results.settings.seed)
        values = np.array([[slopes[name][other].value for other in found.sees] for name in AUS])
        image = axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1)
        axes.set_xticks(range(len(found.sees)), found.sees, rotation=90)
        axes.set_yticks(range(AU_COUNT), AUS)
        axes.set_xlabel(f"read by {judge}")
        axes.set_ylabel("asked for")
        for (row, column), value in np.ndenumerate(values):
            if abs(value) >= 0.1:
                axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=7)
        drawing.colorbar(image, ax=axes, shrink=0.8, label="measured per intensity asked for")
    return drawing
