"""Priors fitted to labels, and their files: a distribution shared without its data.

A copula is fitted to AUs, the prior `emotions` to categories.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jaxtyping import Float64, Int64

from samplers.priors.au_sets import SetCounts
from samplers.priors.copula import CopulaConfig
from samplers.priors.correlation import latent_correlation, latent_matrix, pair_indices
from samplers.priors.emotions import ambiguous_groups, choose_prototypes
from samplers.priors.labels import FORMATS, LabelBatch, Labels, open_labels
from samplers.priors.labels.emotions import EMOTION_FORMATS, read_emotions
from samplers.priors.labels.source import ACTIVE_FROM, AS_IT_STANDS, Reading
from synthgen.action_units import DEFAULT_AUS, MAX_INTENSITY, ActionUnitSet
from synthgen.config import parse_expressions
from synthgen.errors import LabelsError, OutputError
from synthgen.foreign import counted, excerpt

FEW = 30
"""Rows with an active AU below which its numbers are uncertain."""

_STEPS_PER_LEVEL = 1000
_BINS = int(MAX_INTENSITY) * _STEPS_PER_LEVEL + 1
_QUANTILES = 21


@dataclass(slots=True)
class LabelCounts:
    """Counts of labels, in memory that does not grow with their number.

    Attributes:
        vector: the AUs of a row.
        rows: rows that were counted.
        sets: rows of each set of active AUs.
        histogram: rows of each intensity of each AU where active, in steps of 0.001.
        whole: whether each intensity so far is a whole number.
    """

    vector: ActionUnitSet = DEFAULT_AUS
    rows: int = 0
    sets: SetCounts = field(init=False)
    histogram: Int64[np.ndarray, "aus bins"] = field(init=False)
    whole: bool = True

    def __post_init__(self) -> None:
        """Count from nothing."""
        self.sets = SetCounts(len(self.vector))
        self.histogram = np.zeros((len(self.vector), _BINS), dtype=np.int64)

    @classmethod
    def of(
        cls, batches: Iterable[LabelBatch], vector: ActionUnitSet = DEFAULT_AUS
    ) -> "LabelCounts":
        """Count the rows of labels."""
        counts = cls(vector)
        for batch in batches:
            counts.add(batch)
        return counts

    def add(self, batch: LabelBatch) -> None:
        """Count some more rows."""
        active = batch.intensities != 0
        self.rows += len(active)
        self.sets.add(active)
        _, au = active.nonzero()
        values = batch.intensities[active]
        steps = np.rint(values * _STEPS_PER_LEVEL).astype(np.int64)
        places = np.bincount(au * _BINS + steps, minlength=self.histogram.size)
        self.histogram += places.reshape(self.histogram.shape)
        self.whole = self.whole and bool((values == np.rint(values)).all())

    def together(self) -> Int64[np.ndarray, "aus aus"]:
        """Return the rows in which both AUs of each pair are active; the diagonal: each AU."""
        return self.sets.together()

    def levels(self, au: int) -> dict[str, int]:
        """Return the rows of each FACS level of an AU whose intensities are whole numbers."""
        return {
            level: int(self.histogram[au, number * _STEPS_PER_LEVEL])
            for number, level in enumerate("ABCDE", start=1)
        }

    def quantiles(self, au: int) -> Float64[np.ndarray, " quantiles"]:
        """Return the quantiles of an AU's intensity where active, at equal steps from 0 to 1.

        Each is the smallest intensity, in steps of 0.001, that the wanted share does not exceed.
        """
        below = np.cumsum(self.histogram[au])
        wanted = np.linspace(0, 1, _QUANTILES) * below[-1]
        return np.searchsorted(below, np.maximum(wanted, 0.5)) / _STEPS_PER_LEVEL


@dataclass(frozen=True)
class FittedPrior:
    """The numbers of a copula prior, from counts.

    Attributes:
        counts: what was counted.
        aus: AUs that the labels code.
        occurrence_only: those of them whose intensity is not coded.
        remarks: what is to be said of the labels, a sentence each.
    """

    counts: LabelCounts
    aus: tuple[str, ...]
    occurrence_only: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    @cached_property
    def active(self) -> dict[str, int]:
        """AU → rows in which it is active."""
        diagonal = self.counts.together().diagonal().tolist()
        return {au: diagonal[self.counts.vector.index(au)] for au in self.aus}

    @property
    def rates(self) -> dict[str, float]:
        """AU → share of rows in which it is active."""
        return {au: round(active / self.counts.rows, 6) for au, active in self.active.items()}

    def marginal(self, au: str) -> dict[str, Any]:
        """Return the entry of an AU: its rate and the distribution of its intensity."""
        marginal: dict[str, Any] = {"rate": self.rates[au]}
        if not self.active[au] or au in self.occurrence_only:
            return marginal
        place = self.counts.vector.index(au)
        if self.counts.whole:
            return marginal | {"levels": self.counts.levels(place)}
        return marginal | {"quantiles": self.counts.quantiles(place).tolist()}

    def joint(self) -> dict[str, float]:
        """Return the share of rows in which both AUs of each pair are active.

        A count at the end of what is possible is moved inwards by half a row: "never together" in
        n rows does not say that it cannot be. A pair with an AU that is always or never active is
        left out, since nothing is to be said of it.
        """
        rows, together = self.counts.rows, self.counts.together()
        place = self.counts.vector.index
        varying = [au for au in self.aus if 0 < self.active[au] < rows]
        joint = {}
        for number, one in enumerate(varying):
            for other in varying[number + 1 :]:
                low = max(self.active[one] + self.active[other] - rows, 0)
                high = min(self.active[one], self.active[other])
                count = int(together[place(one), place(other)])
                share = min(max(count, low + 0.5), high - 0.5) / rows
                joint[f"{one}+{other}"] = self._rounded(share, one, other)
        return joint

    def warnings(self) -> tuple[str, ...]:
        """Return what a reader of the prior should know, a sentence each."""
        never = [au for au, active in self.active.items() if not active]
        few = [au for au, active in self.active.items() if 0 < active < FEW]
        found = list(self.remarks)
        if never:
            found.append(f"{', '.join(never)}: never active")
        if few:
            found.append(f"{', '.join(few)}: active in fewer than {FEW} rows; uncertain")
        return tuple(found)

    def _rounded(self, share: float, one: str, other: str) -> float:
        low = max(self.rates[one] + self.rates[other] - 1, 0.0)
        return min(max(round(share, 6), low), min(self.rates[one], self.rates[other]))


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
    """Fit a prior to labels and write it: a copula, or emotions in their shares.

    Args:
        labels: label file, or folder of label files.
        layout: one of `samplers.priors.labels.FORMATS`, or of `EMOTION_FORMATS` beside them.
        to: YAML file to write; it must not be there yet.
        active_from: intensity from which an AU counts as active.
        reading: the scale of the values, missing codes, what becomes of left and right, and the
            AUs of a vector.

    Raises:
        LabelsError: if the labels cannot be read, a line is malformed, or no row is left.
        OutputError: if the file is there already or cannot be written.
    """
    _refuse_existing(to)
    if layout in EMOTION_FORMATS:
        return _write_emotions(labels, layout, to, active_from, reading)
    if layout not in FORMATS:
        raise LabelsError(
            f"unknown label format {layout!r}; those that exist: "
            f"{', '.join((*FORMATS, *EMOTION_FORMATS))}"
        )
    opened = open_labels(labels, layout, reading=reading)
    counts = LabelCounts.of(opened.batches(active_from), reading.aus)
    if not counts.rows:
        raise LabelsError(
            f"no row of {excerpt(labels)} is left to fit a prior to{_reasons(opened)}"
        )
    remarks = opened.remarks(ACTIVE_FROM)
    fitted = FittedPrior(counts, opened.aus, opened.occurrence_only, remarks)
    section = make_section(fitted, _source(opened, layout, counts, active_from))
    _write(to, render(fitted, section))
    warnings = fitted.warnings()
    if "max_repair" in section:
        warnings += (_repaired(section["max_repair"]),)
    return WrittenFit(to, counts.rows, warnings)


def _write_emotions(
    labels: str | Path, layout: str, to: Path, active_from: float, reading: Reading
) -> WrittenFit:
    """Fit the prior `emotions` to the shares of categories and write it."""
    if reading.scale is not None or reading.sides != "refuse" or active_from != ACTIVE_FROM:
        raise LabelsError(
            f"format {layout!r} holds categories and no intensities; leave --scale, --sides and "
            "--active-from out"
        )
    codes = [*reading.missing_texts, *(f"{code:g}" for code in reading.missing)]
    found = read_emotions(labels, layout, codes)
    names = list(found.counts)
    chosen = choose_prototypes(names, allow_ambiguous=True, aus=reading.aus)
    same = [", ".join(one.name for one in group) for group in ambiguous_groups(chosen)]
    files = counted(len(found.files), "file")
    source = (
        f"shares of {found.rows} rows of {excerpt(found.root.name)}; {found.how}, {files}, "
        f"sha256 {found.sha256()}"
    )
    warnings = (
        *found.notes,
        *(f"{group}: the same on the {len(reading.aus)} AUs of the prior" for group in same),
        "the labels tell no intensities: those of the prior emotions hold, 2 to 5, unless its key "
        "intensity says others",
    )
    lines = ["# Fitted by: synthgen prior fit", *(f"# {text}" for text in warnings)]
    lines.append("prior: emotions")
    if reading.aus != DEFAULT_AUS:
        lines.append(f"action_units: {_inline(list(reading.aus.names))}")
    lines += [f"source: {json.dumps(source, ensure_ascii=False)}", "categories:"]
    for name, rows in found.counts.items():
        share = max(round(rows / found.rows, 6), 1e-6)
        lines.append(f"  {name}: {share:.6f}  # {counted(rows, 'row')}")
    lines += ["allow_ambiguous: true"] * bool(same)
    _write(to, "\n".join(lines) + "\n")
    return WrittenFit(to, found.rows, warnings)


def _write(to: Path, text: str) -> None:
    try:
        with to.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise OutputError(f"cannot write {excerpt(to)}: {error.strerror}") from error


def make_section(fitted: FittedPrior, source: str) -> dict[str, Any]:
    """Return the section `expressions` of a fitted prior.

    Where the co-occurrences of the labels are those of no Gaussian copula, `max_repair` is as large
    as the repair needs.
    """
    vector = fitted.counts.vector
    section: dict[str, Any] = {
        "prior": "copula",
        **({} if vector == DEFAULT_AUS else {"action_units": list(vector.names)}),
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
    lines.append(f"prior: {section['prior']}")
    if "action_units" in section:
        lines.append(f"action_units: {_inline(section['action_units'])}")
    lines += [f"source: {json.dumps(section['source'], ensure_ascii=False)}", "marginals:"]
    for au, marginal in section["marginals"].items():
        lines.append(f"  {au}: {_inline(marginal)}  # active in {fitted.active[au]} of {rows} rows")
    if "joint" in section:
        lines.append("joint:")
        for pair, share in section["joint"].items():
            one, other = (fitted.counts.vector.index(au) for au in pair.split("+"))
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
    rates = np.array(
        [config.marginals[au].rate if au in config.marginals else 0.0 for au in config.action_units]
    )
    found, _ = latent_matrix(config, rates)
    pairs = config.pairs()
    one, other = np.array([pair_indices(pair, config.au_set) for pair in pairs]).T
    asked = latent_correlation(rates[one], rates[other], np.array(list(pairs.values())))
    return float(np.abs(found[one, other] - asked).max())


def _source(labels: Labels, layout: str, counts: LabelCounts, active_from: float) -> str:
    files = counted(len(labels.files), "file")
    reading = f"; {labels.reading}" if labels.reading else ""
    return (
        f"fitted to {counts.rows} rows of {excerpt(labels.root.name)} ({layout}, {files}, "
        f"sha256 {labels.sha256()}{reading}); "
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
