"""The file of a fitted prior: YAML with its counts beside the numbers and its source in it."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from samplers.priors.dependence import latent_matrix
from samplers.priors.fit import FittedPrior, LabelCounts
from samplers.priors.labels import Labels, open_labels
from samplers.priors.labels.reading import AS_IT_STANDS, Reading
from samplers.priors.labels.source import ACTIVE_FROM
from samplers.priors.tetrachoric import latent_correlation
from synthgen.action_units import AUS, au_index
from synthgen.config import parse_expressions
from synthgen.config.priors.copula import CopulaConfig
from synthgen.errors import LabelsError, OutputError
from synthgen.foreign import excerpt

_LEAST_REPAIR = 0.05
"""Default of `max_repair`."""


@dataclass(frozen=True, slots=True)
class WrittenFit:
    """A prior that was fitted and written.

    Attributes:
        path: the file.
        rows: rows that it was fitted to.
        warnings: what its reader should know, a sentence each.
    """

    path: Path
    rows: int
    warnings: tuple[str, ...]


def write_fit(
    labels: str | Path,
    layout: str,
    to: Path,
    active_from: float = ACTIVE_FROM,
    reading: Reading = AS_IT_STANDS,
) -> WrittenFit:
    """Fit a copula prior to labels and write it.

    Args:
        labels: label file, or folder of label files.
        layout: one of `samplers.priors.labels.FORMATS`.
        to: YAML file to write; it must not be there yet.
        active_from: intensity from which an AU counts as active.
        reading: the scale of the values, missing codes, and what becomes of left and right.

    Raises:
        LabelsError: if the labels cannot be read, a line is malformed, or no row is left.
        OutputError: if the file is there already or cannot be written.
    """
    _refuse_existing(to)
    opened = open_labels(labels, layout, reading=reading)
    counts = LabelCounts.of(opened.batches(active_from))
    if not counts.rows:
        raise LabelsError(
            f"no row of {excerpt(labels)} is left to fit a prior to{_reasons(opened)}"
        )
    remarks = opened.remarks(ACTIVE_FROM)
    fitted = FittedPrior(counts, opened.aus, opened.occurrence_only, remarks)
    section = make_section(fitted, _source(opened, layout, counts, active_from))
    try:
        with to.open("x", encoding="utf-8") as file:
            file.write(render(fitted, section))
    except OSError as error:
        raise OutputError(f"cannot write {excerpt(to)}: {error.strerror}") from error
    warnings = fitted.warnings()
    if "max_repair" in section:
        warnings += (_repaired(section["max_repair"]),)
    return WrittenFit(to, counts.rows, warnings)


def make_section(fitted: FittedPrior, source: str) -> dict[str, Any]:
    """Return the section `expressions` of a fitted prior.

    Where the co-occurrences of the labels are those of no Gaussian copula, `max_repair` is as large
    as the repair needs.
    """
    section: dict[str, Any] = {
        "prior": "copula",
        "source": source,
        "marginals": {au: fitted.marginal(au) for au in fitted.aus},
    }
    if joint := fitted.joint():
        section["joint"] = joint
        moved = _largest_repair(section)
        if moved > _LEAST_REPAIR:
            section["max_repair"] = math.ceil(moved * 100 + 0.5) / 100
    return section


def render(fitted: FittedPrior, section: dict[str, Any]) -> str:
    """Write a fitted prior as YAML, its counts as comments."""
    together, rows = fitted.counts.together(), fitted.counts.rows
    lines = ["# Fitted by: synthgen prior fit", *(f"# {text}" for text in fitted.warnings())]
    lines += [f"prior: {section['prior']}", f"source: {_quoted(section['source'])}", "marginals:"]
    for au, marginal in section["marginals"].items():
        lines.append(f"  {au}: {_inline(marginal)}  # active in {fitted.active[au]} of {rows} rows")
    if "joint" in section:
        lines.append("joint:")
        for pair, share in section["joint"].items():
            one, other = (AUS.index(au) for au in pair.split("+"))
            lines.append(f"  {pair}: {share:.6f}  # {together[one, other]} rows")
    if "max_repair" in section:
        moved = section["max_repair"]
        lines += [f"# {_repaired(moved)}", f"max_repair: {moved}"]
    return "\n".join(lines) + "\n"


def _largest_repair(section: dict[str, Any]) -> float:
    """Return by how much the latent correlations must move to stand together."""
    config = parse_expressions({**section, "max_repair": 2.0})
    if not isinstance(config, CopulaConfig):
        raise TypeError(f"{config.prior} is no copula")
    rates = np.array([config.marginals[au].rate if au in config.marginals else 0.0 for au in AUS])
    found, _ = latent_matrix(config, rates)
    pairs = config.pairs()
    one, other = (np.array([au_index(pair[side]) for pair in pairs]) for side in (0, 1))
    asked = latent_correlation(rates[one], rates[other], np.array(list(pairs.values())))
    return float(np.abs(found[one, other] - asked).max())


def _source(labels: Labels, layout: str, counts: LabelCounts, active_from: float) -> str:
    files = len(labels.files)
    reading = f"; {labels.reading}" if labels.reading else ""
    return (
        f"fitted to {counts.rows} rows of {excerpt(labels.root.name)} ({layout}, {files} "
        f"file{'' if files == 1 else 's'}, sha256 {labels.sha256()}{reading}); "
        f"an AU is active from intensity {active_from:g}{_reasons(labels)}"
    )


def _reasons(labels: Labels) -> str:
    left_out = sorted(labels.left_out.items())
    return "".join(f"; {rows} rows left out: {why}" for why, rows in left_out)


def _repaired(moved: float) -> str:
    return (
        "the labels' co-occurrences are those of no Gaussian copula: latent correlations move by "
        f"up to {moved:g}; synthgen plan tells which, and the prior empirical keeps all"
    )


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise OutputError(f"{excerpt(path)} is there already; choose another file with --to")


def _inline(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6)
    return text.strip()


def _quoted(text: object) -> str:
    return json.dumps(text, ensure_ascii=False)
