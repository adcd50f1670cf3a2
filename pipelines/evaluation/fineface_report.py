"""The report of a FineFace evaluation as text, tables and pictures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.evaluation.gallery import files_section
from pipelines.evaluation.study import Findings, Study, trait_shares
from synthgen.action_units import FACS
from synthgen.dataset.markdown import number, percent, table

_KINDS = {"singles": "individual AUs", "combined": "combinations"}


@dataclass(frozen=True, slots=True)
class Variant:
    """An adapter of Table 2 or 3.

    Attributes:
        label: what its row is called.
        budget: what it was trained with, in words.
        study: what was found.
    """

    label: str
    budget: str
    study: Study


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """All that the document tells.

    Attributes:
        command: the command that makes it again.
        files: what was used → sha256.
        judges: names of the judges, in order.
        main: the model.
        budget: what it was trained with, in words; None: its files do not say.
        plain: images that the base without adapter makes for the plain prompts, without AUs.
        worded: the base without adapter, told the AUs in words; None: it was left out.
        drawn: drawn faces, which show exactly what is asked for: what the judges can read at best;
            None for models that show other faces.
        encoders: rows of Table 2.
        smoothing: rows of Table 3.
    """

    command: str
    files: Mapping[str, str]
    judges: Sequence[str]
    main: Study
    budget: str | None
    plain: Findings
    worded: Study | None
    drawn: Study | None
    encoders: Sequence[Variant]
    smoothing: Sequence[Variant]


def document(results: Results) -> str:
    """Write the document."""
    parts = [
        _head(results),
        _accuracy(results),
        *(_control(results, judge) for judge in results.judges),
        _errors(results),
        _identity(results),
        _variants("AU encoders (Table 2 of the paper)", results.encoders, results),
        _variants("Label smoothing (Table 3 of the paper)", results.smoothing, results),
        files_section(results.files),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(results: Results) -> str:
    protocol = results.main.protocol
    aus = len(protocol.action_units)
    faceless = sum(
        results.main.errors(kind, judge).faceless for kind in _KINDS for judge in results.judges
    )
    lines = [
        "# How well the model shows what it is asked for",
        "",
        f"Made by `{results.command}`; every number is from the images of that run.",
        "",
        f"- {protocol.prompts} prompts in a form that no caption of a training has, each with a "
        "noise of its own that all its images start from.",
        f"- Individual AUs: {aus} AUs at {_listed(protocol.levels)}, one at a time; the neutral "
        "face is intensity 0.",
        f"- Combinations: {protocol.combinations} for each prompt, from the prior `emotions`.",
        f"- Images with AUs: {protocol.images}. Judges: {', '.join(results.judges)}. "
        f"Faces not found: {faceless}.",
        *_legend(results),
        f"- AU MSE is Eq. 3 of the paper, as a sum over the {aus} AUs and as their mean; CLIP-I is "
        "the mean cosine to the image of the base without AUs, and to the model's own neutral "
        "face, from the same noise.",
    ]
    return "\n".join(lines)


def _legend(results: Results) -> list[str]:
    lines = ["- *Its neutral face*: what doing nothing would give."]
    if (worded := results.worded) is not None:
        lines.append(
            f"- *{worded.name}*: the same base without adapter, told the AUs in the prompt by FACS "
            f"name and word of intensity; prompts: {worded.protocol.prompts}."
        )
    if results.drawn is not None:
        lines.append(
            f"- *{results.drawn.name}*: exactly what is asked for, as the renderer draws it: what "
            "the judges can read at best."
        )
    return lines


def _accuracy(results: Results) -> str:
    rows = []
    for kind, label in _KINDS.items():
        rows += [_accuracy_row(results, results.main, kind, label)]
        rows += [_neutral_row(results, kind, label)]
        rows += [_accuracy_row(results, study, kind, label) for study in _beside(results)]
    head = ["asked for", "model", *_mse_head(results.judges), *_LIKENESS, "images"]
    return f"## AU accuracy and likeness (Table 1 of the paper)\n\n{table(head, rows)}"


_LIKENESS = ("CLIP-I to the base", "CLIP-I to the neutral face")


def _mse_head(judges: Sequence[str]) -> list[str]:
    return [f"AU MSE {how}, {judge}" for judge in judges for how in ("sum", "mean")]


def _accuracy_row(results: Results, study: Study, kind: str, label: str) -> list[str]:
    errors = [study.errors(kind, judge) for judge in results.judges]
    cells = [number(value) for error in errors for value in (error.mse_sum, error.mse_mean)]
    images = str(len((study.singles if kind == "singles" else study.combined).requests))
    return [label, study.name, *cells, *_likeness(results, study, kind), images]


def _likeness(results: Results, study: Study, kind: str) -> list[str]:
    to_base = "–" if study is results.drawn else number(study.likeness(kind, results.plain))
    return [to_base, number(study.likeness(kind, study.neutral))]


def _neutral_row(results: Results, kind: str, label: str) -> list[str]:
    errors = [results.main.neutral_errors(kind, judge) for judge in results.judges]
    cells = [number(value) for error in errors for value in (error.mse_sum, error.mse_mean)]
    return [label, "its neutral face", *cells, "–", "–", "–"]


def _control(results: Results, judge: str) -> str:
    study, protocol = results.main, results.main.protocol
    found = study.controls(judge)
    levels = [f"mean at {level:g}" for level in (0.0, *protocol.levels)]
    head = ["AU", "", "Spearman", "Pearson r", *levels, "other AUs"]
    rows = [
        [name, FACS[name], number(of.spearman), number(of.pearson),
         *map(number, of.means), number(of.unasked)]
        for name, of in found.items()
    ]  # fmt: skip
    lowest = min(found, key=lambda name: _or_low(found[name].pearson))
    beside = "".join(
        f"; {other.name}: {number(other.overall_pearson(judge))}" for other in _beside(results)
    )
    said = (
        f"Over all AUs r = {number(study.overall_pearson(judge))}{beside}. Lowest: {lowest} with "
        f"{number(found[lowest].pearson)}."
    )
    return f"## Control of each AU, read by {judge}\n\n{said}\n\n{table(head, rows)}"


def _errors(results: Results) -> str:
    rows = []
    for kind, label in _KINDS.items():
        for judge in results.judges:
            found = {results.main.name: results.main.errors(kind, judge)}
            found["its neutral face"] = results.main.neutral_errors(kind, judge)
            found |= {study.name: study.errors(kind, judge) for study in _beside(results)}
            rows += [
                [label, judge, name, *map(number, (of.mae_asked, of.mae_unasked, of.pearson))]
                for name, of in found.items()
            ]
    head = ["asked for", "judge", "model", "AUs asked for", "other AUs", "Pearson r"]
    said = (
        "Mean absolute error [0–5] over the AUs asked for and over the others; r over all AUs and "
        "images."
    )
    return f"## Errors\n\n{said}\n\n{table(head, rows)}"


def _beside(results: Results) -> list[Study]:
    return [study for study in (results.worded, results.drawn) if study is not None]


def _identity(results: Results) -> str:
    without = trait_shares(results.plain)
    if not without:
        return ""
    rows = []
    for kind, label in (("neutral", "neutral face"), *_KINDS.items()):
        found = results.main.agreement(kind)
        for trait, share in found.items():
            kept = share / without[trait] if without[trait] else math.nan
            rows.append([trait, label, percent(without[trait]), percent(share), percent(kept)])
    head = ["trait", "asked for", "without AUs", "with AUs", "kept"]
    said = (
        "How often the second judge reads in an image the trait that its prompt names; without "
        "AUs: the base alone."
    )
    return f"## Identity\n\n{said}\n\n{table(head, rows)}"


def _variants(title: str, variants: Sequence[Variant], results: Results) -> str:
    if not variants:
        return ""
    rows = [
        [variant.label, _KINDS[kind], *_accuracy_row(results, variant.study, kind, "")[2:-1]]
        for variant in variants
        for kind in _KINDS
    ]
    budgets = sorted({variant.budget for variant in variants})
    protocol = variants[0].study.protocol
    above = f"; the model above with {results.budget}" if results.budget else ""
    said = (
        f"Each trained for this table, with {' or '.join(budgets)}{above}. Prompts: "
        f"{protocol.prompts}; images with AUs: {protocol.images} a row."
    )
    head = ["adapter", "asked for", *_mse_head(results.judges), *_LIKENESS]
    return f"## {title}\n\n{said}\n\n{table(head, rows)}"


def _listed(levels: Sequence[float]) -> str:
    return ", ".join(f"{level:g}" for level in levels)


def _or_low(value: float) -> float:
    return -math.inf if math.isnan(value) else value
