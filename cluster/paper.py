"""Evaluation by the paper's protocol: its runs, generated like any other, then judged.

Whatever is whole is found again: a stopped evaluation goes on when the command is given again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cluster.driver import ExecutorName, generate
from pipelines.evaluation.paper.figures import refuse_without_plots
from pipelines.evaluation.paper.report import write_report
from pipelines.evaluation.paper.runs import PLAIN, PaperEvaluation, PaperRun, find_runs
from pipelines.evaluation.paper.study import PaperResults, compare, look_at, seat
from synthgen.dataset import Storage, read_markers
from synthgen.errors import ConfigError, RunError
from synthgen.foreign import counted

Say = Callable[[str], None]

MEASURED = ".measured"
"""Folder of the measurements, beside the datasets."""


@dataclass(frozen=True, slots=True)
class PaperPlaces:
    """Places that an evaluation writes to.

    Attributes:
        page: Markdown file; tables as CSV and figures as PNG go beside it.
        datasets: folder of the datasets, a folder each, and of what was measured.
    """

    page: Path
    datasets: Path


def evaluate_paper(
    settings: PaperEvaluation,
    places: PaperPlaces,
    executor: ExecutorName = "ray",
    say: Say = lambda _: None,
) -> list[Path]:
    """Generate the images of the protocol, judge them, and write page, tables and figures.

    Args:
        settings: the evaluation.
        places: where it writes.
        executor: `ray`, or `inline` for this process.
        say: takes a line for each step.

    Returns:
        The files that were written, the page last.

    Raises:
        ConfigError: if something cannot be asked for, or the page does not end in .md.
        WeightsError, MissingDependencyError: if weights or packages are missing, or do not fit.
        OutputError: if a dataset is another's, or a file cannot be written.
        RunError: if a run ended before its dataset was whole.
        DatasetError: if a dataset lacks images, or cannot be read.
    """
    if places.page.suffix != ".md":
        raise ConfigError(
            f"--to {places.page} must end in .md: tables and figures are written beside the page, "
            "named like it"
        )
    refuse_without_plots()
    prompts = settings.asked()
    runs = find_runs(settings, prompts, places.datasets)
    seat(settings)  # whatever is missing is told before the work, not after it
    for run in {run.key: run for run in runs}.values():
        _generate(run, executor, say)
    panel, kept = seat(settings), places.datasets / MEASURED
    found = [look_at(run, settings, prompts, panel, kept) for run in runs]
    plain = next(one for one in found if one.run.label == PLAIN)
    rows = [one for one in found if one is not plain]
    fidelity = {}
    if panel.fidelity is not None:
        say(f"KID and FID against {counted(panel.fidelity.pictures, 'picture')}")
        fidelity = {row.run.key: compare(row, panel.fidelity, settings.seed) for row in rows}
    results = PaperResults(settings, prompts, panel, plain, rows, fidelity)
    return write_report(results, places.page)


def _generate(run: PaperRun, executor: ExecutorName, say: Say) -> None:
    """Make a run's dataset whole; one that is whole already is left alone."""
    storage = Storage(run.config.output.path)
    rows = sum(m.rows for m in read_markers(storage).values()) if _begun(storage) else 0
    left = run.config.samples - rows
    if left:
        say(f"{run.label}: {counted(left, 'image')} to {run.config.output.path}")
    made = generate(run.config, executor)
    if made.missing:
        raise RunError(
            f"{counted(made.missing, 'image')} of {run.config.output.path} could not be made; its "
            "rejects tell why, and the same command tries again"
        )


def _begun(storage: Storage) -> bool:
    return storage.exists(".synthgen/run.json")
