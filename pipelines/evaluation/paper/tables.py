"""Tables of the paper's protocol: values with intervals, for Markdown and for CSV."""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.evaluation.outside_statistics import Estimate
from pipelines.evaluation.paper.statistics import (
    LEAST_SLOPE,
    Acceptance,
    acceptances,
    cross_talk,
    responses,
)
from pipelines.evaluation.paper.study import KINDS, PaperResults, RunFindings
from pipelines.libreface.section import ActionUnitPolicy
from synthgen.action_units import AU_NAMES
from synthgen.dataset.markdown import number, percent, table
from synthgen.dataset.proportions import Proportion

Cell = str | int | float | Estimate | Proportion

PUBLISHED: dict[int, tuple[tuple[str, float, float, float, float], ...]] = {
    1: (("FineFace", 4.71, 0.92, 7.54, 0.83),),
    2: (
        ("none", 4.72, 0.94, 7.64, 0.86),
        ("MLP", 4.79, 0.86, 7.60, 0.76),
        ("Res + MLP", 4.77, 0.84, 7.61, 0.74),
        ("Res + 3 MLP", 4.97, 0.91, 7.70, 0.83),
        ("an MLP for each AU", 5.48, 0.85, 7.97, 0.70),
    ),
    3: (("labels as they are", 4.81, 0.81, 7.64, 0.72),),
}
"""Table of the paper (arXiv 2407.20175) → rows: AU MSE and CLIP-I of individual AUs, the same of
combinations."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table for people and for programs.

    Attributes:
        name: end of the name of its CSV file.
        title: its heading.
        said: what is said above it.
        head: names of the columns.
        rows: the cells.
        shown: whether the page shows it; else its CSV file alone holds it.
    """

    name: str
    title: str
    said: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    shown: bool = True

    def markdown(self) -> str:
        """Write its section of the page."""
        rows = [[_written(cell) for cell in row] for row in self.rows]
        parts = [f"## {self.title}", self.said, table(self.head, rows)]
        return "\n\n".join(part for part in parts if part)

    def csv(self) -> str:
        """Write it for programs: of each value its interval in two further columns."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        wide = [any(isinstance(row[i], Estimate | Proportion) for row in self.rows)
                for i in range(len(self.head))]  # fmt: skip
        writer.writerow(
            [name for head, has_interval in zip(self.head, wide, strict=True)
             for name in ([head, f"{head} low", f"{head} high"] if has_interval else [head])]
        )  # fmt: skip
        for row in self.rows:
            writer.writerow(
                [value for cell, has_interval in zip(row, wide, strict=True)
                 for value in _plain(cell, has_interval)]
            )  # fmt: skip
        return text.getvalue()


def _written(cell: Cell) -> str:
    if isinstance(cell, Proportion):
        return cell.text()
    if isinstance(cell, Estimate):
        if math.isnan(cell.value):
            return "–"
        if math.isnan(cell.low):
            return number(cell.value)
        return f"{number(cell.value)} ({number(cell.low)} to {number(cell.high)})"
    return number(cell) if isinstance(cell, float) else str(cell)


def _plain(cell: Cell, has_interval: bool) -> list[str]:
    if isinstance(cell, Proportion):
        return [_number(value) for value in (cell.share, cell.low, cell.high)]
    if isinstance(cell, Estimate):
        return [_number(value) for value in (cell.value, cell.low, cell.high)]
    text = _number(cell) if isinstance(cell, float) else str(cell)
    return [text, "", ""] if has_interval else [text]


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def all_tables(results: PaperResults, policy: ActionUnitPolicy) -> list[Table]:
    """Return all tables of an evaluation.

    Args:
        results: what was found.
        policy: what acceptance is judged by.
    """
    judges = [judge.name for judge in results.panel.judges]
    tables = [_accuracy(results, judges)]
    if len(results.scales) > 1:
        tables.append(_scales(results, judges))
    tables += list(_variants(results, judges))
    if results.fidelity:
        tables.append(_fidelity(results))
    tables.append(_errors(results, judges))
    for place, judge in enumerate(judges, 1):
        tables.append(_response(results, judge, place))
        tables += [_cross_talk(results, judge, place), _cross_talk_rows(results, judge, place)]
        tables.append(_acceptance(results, judge, place, policy))
    return tables


_LIKENESS = ("CLIP-I to the base", "CLIP-I to its neutral face")


def _mse_head(judges: Sequence[str]) -> list[str]:
    return [f"AU MSE {how}, {judge}" for judge in judges for how in ("sum", "mean")]


def _mse(
    found: RunFindings, kind: str, judges: Sequence[str], seed: int, neutral: bool = False
) -> list[Cell]:
    each = [found.accuracy(kind, judge, seed, neutral) for judge in judges]
    return [value for one in each for value in (one.mse_sum, one.mse_mean)]


def _likeness(results: PaperResults, found: RunFindings, kind: str) -> list[Cell]:
    seed = results.settings.seed
    return [found.likeness(kind, results.plain, seed), found.likeness(kind, found, seed)]


def _accuracy(results: PaperResults, judges: Sequence[str]) -> Table:
    seed = results.settings.seed
    rows: list[list[Cell]] = []
    for kind, asked in KINDS.items():
        for found in results.of_table(1):
            measured = next(iter(found.measured.values()))
            images = len(results.prompts) * len(measured.of(kind)[1])
            own = _mse(found, kind, judges, seed)
            rows.append([asked, found.run.label, *own, *_likeness(results, found, kind), images])
            if found is results.main:
                nothing = _mse(found, kind, judges, seed, neutral=True)
                rows.append([asked, "its neutral face", *nothing, "–", "–", "–"])
    return Table(
        "accuracy",
        "AU accuracy and likeness (Table 1 of the paper)",
        "AU MSE as a sum over the AUs that a judge sees (Eq. 3 of the paper; only a sum fits what "
        "it reports) and as their mean; CLIP-I is the mean cosine to the image of the base without "
        f"AUs, and to the model's own neutral face, from the same noise.{_as_published(1)}",
        ["asked for", "model", *_mse_head(judges), *_LIKENESS, "images"],
        rows,
    )


def _as_published(number_: int) -> str:
    said = "; ".join(
        f"{name} {mse:.2f} / {clip:.2f} and {mse_combined:.2f} / {clip_combined:.2f}"
        for name, mse, clip, mse_combined, clip_combined in PUBLISHED[number_]
    )
    return (
        " As published (AU MSE by LibreFace / CLIP-I by a CLIP that the paper does not name, of "
        f"individual AUs and of combinations): {said}."
    )


def _scales(results: PaperResults, judges: Sequence[str]) -> Table:
    seed = results.settings.seed
    rows: list[list[Cell]] = [
        [f"{found.run.scale:g}", asked, *_mse(found, kind, judges, seed),
         *_likeness(results, found, kind)]
        for found in results.scales
        for kind, asked in KINDS.items()
    ]  # fmt: skip
    return Table(
        "lora-scale",
        "Scale of the LoRA",
        "At which scale the paper's images were made is not known: today's loaders apply its files "
        "at 1, its training ran at 0.25.",
        ["lora_scale", "asked for", *_mse_head(judges), *_LIKENESS],
        rows,
    )


def _variants(results: PaperResults, judges: Sequence[str]) -> Iterator[Table]:
    seed = results.settings.seed
    titles = {2: "AU encoders (Table 2 of the paper)", 3: "Label smoothing (Table 3 of the paper)"}
    for place, title in titles.items():
        found = results.of_table(place)
        rows: list[list[Cell]] = [
            [one.run.label, asked, *_mse(one, kind, judges, seed), *_likeness(results, one, kind)]
            for one in found
            for kind, asked in KINDS.items()
        ]
        if rows:
            head = ["adapter", "asked for", *_mse_head(judges), *_LIKENESS]
            yield Table(f"table-{place}", title, _as_published(place).strip(), head, rows)


def _fidelity(results: PaperResults) -> Table:
    reference = results.settings.reference
    rows: list[list[Cell]] = []
    for key, found in results.fidelity.items():
        run = next(row.run for row in results.rows if row.run.key == key)
        scale = "–" if run.scale is None else f"{run.scale:g}"
        rows.append([run.label, scale, _small(found.kid), _small(found.kid_spread),
                     found.fid, found.images])  # fmt: skip
    pictures = results.panel.fidelity.pictures if results.panel.fidelity else 0
    return Table(
        "fidelity",
        "KID and FID",
        f"Distance of the images with AUs to {pictures:,} pictures of "
        f"`{'' if reference is None else reference.name}`, by torch-fidelity: lower is nearer. FID "
        "of so few images is biased; KID, a mean over subsets, is not.",
        ["model", "lora_scale", "KID", "KID, deviation", "FID", "images"],
        rows,
    )


def _small(value: float) -> str:
    return f"{value:.4f}"


def _errors(results: PaperResults, judges: Sequence[str]) -> Table:
    seed = results.settings.seed
    rows: list[list[Cell]] = []
    for kind, asked in KINDS.items():
        for judge in judges:
            for found in results.of_table(1):
                of = found.accuracy(kind, judge, seed)
                rows.append([asked, judge, found.run.label, of.mae_asked, of.mae_unasked, of.r])
    return Table(
        "errors",
        "Errors",
        "Mean absolute error [0–5] over the AUs asked for and over the others; r over all AUs and "
        "images.",
        ["asked for", "judge", "model", "AUs asked for", "other AUs", "Pearson r"],
        rows,
    )


def _response(results: PaperResults, judge: str, place: int) -> Table:
    found = responses(results.main.measured[judge], results.settings.seed)
    levels = [f"mean at {level:g}" for level in (0.0, *results.settings.levels)]
    rows: list[list[Cell]] = [
        [name, AU_NAMES[name], of.slope, of.r, of.spearman, *(mean.value for mean in of.means)]
        for name, of in found.items()
    ]
    return Table(
        f"response-{place}",
        f"Response of each AU, read by {judge}",
        "Slope: measured intensity per intensity asked for, from the neutral face on; 1 is ideal.",
        ["AU", "", "slope", "Pearson r", "Spearman", *levels],
        rows,
    )


def _cross_talk(results: PaperResults, judge: str, place: int) -> Table:
    found = cross_talk(results.main.measured[judge], results.settings.seed)
    read = results.main.measured[judge].sees
    told = [
        (abs(of.value), f"{name} moves {other} by {number(of.value)} "
         f"({number(of.low)} to {number(of.high)})")
        for name, row in found.items()
        for other, of in row.items()
        if other != name and abs(of.value) >= LEAST_SLOPE and not of.low <= 0 <= of.high
    ]  # fmt: skip
    sentences = "; ".join(text for _, text in sorted(told, reverse=True)[:12])
    rows: list[list[Cell]] = [
        [name, *(row[other].value for other in read)] for name, row in found.items()
    ]
    return Table(
        f"cross-talk-{place}-matrix",
        f"Cross-talk, read by {judge}",
        "What each AU asked for (row) does to each AU read (column): measured intensity per "
        "intensity asked for. Told are the largest, from "
        f"{LEAST_SLOPE:g} on, whose 95 % interval holds no 0: {sentences or 'none'}.",
        ["asked for", *read],
        rows,
    )


def _cross_talk_rows(results: PaperResults, judge: str, place: int) -> Table:
    found = cross_talk(results.main.measured[judge], results.settings.seed)
    rows = [[name, other, of] for name, row in found.items() for other, of in row.items()]
    head = ["asked for", "read", "slope"]
    return Table(f"cross-talk-{place}", f"Cross-talk, read by {judge}", "", head, rows, shown=False)


def _acceptance(results: PaperResults, judge: str, place: int, policy: ActionUnitPolicy) -> Table:
    traits = [prompt.traits for prompt in results.prompts]
    found = acceptances(results.main.measured[judge], traits, policy)
    rows: list[list[Cell]] = [[one.about, one.value, one.kept, one.others] for one in found]
    return Table(
        f"acceptance-{place}",
        f"Acceptance, judged by {judge}",
        "Share of all images with AUs that the usual policy of runs would keep, by the AU asked "
        "for and by what the prompt names, with that of the other images; intervals know that "
        f"images of a prompt go together. {_told(found)}",
        ["about", "value", "kept", "others"],
        rows,
    )


def _told(found: Sequence[Acceptance]) -> str:
    """Say in words which groups are refused more or less often than the others."""
    told = [
        f"{one.name} {percent(one.kept.share)} (others {percent(one.others.share)})"
        for one in found
        if one.differs
    ]
    if not told:
        return "No group differs from the others by more than chance."
    return f"Groups that differ from the others by more than chance: {'; '.join(told)}."
