"""The summary of a plan as plain text."""

from samplers.spec import SampleSpec
from samplers.summary import PlanSummary
from synthgen.action_units import AU_NAMES, describe

SEEN = 0.0005
"""Smallest change of a rate that a table with one decimal shows."""

CELLS = 40
"""Quota cells that are shown at most."""


def render(summary: PlanSummary, most_images: int = 0, sooner: str = "") -> str:
    """Write a summary as plain text, without a newline at the end.

    Args:
        summary: the summary.
        most_images: images that a sample may take; 0: not told.
        sooner: what ends a run before so many images are made, in words.
    """
    blocks = [
        [*_head(summary), *_worst_case(summary.samples, most_images, sooner)],
        _category_table(summary),
        _quota_table(summary),
        _au_table(summary),
        _notes(summary),
        _first(summary),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _head(summary: PlanSummary) -> list[str]:
    sizes = ", ".join(f"{split} {size}" for split, size in summary.sizes.items())
    people = [f"people      {summary.people}"] if summary.people else []
    return [
        f"samples     {summary.samples} ({sizes})",
        f"identities  {summary.identities}{_series(summary)}",
        *people,
        f"shards      {summary.shards}",
    ]


def _worst_case(samples: int, most_images: int, sooner: str) -> list[str]:
    """Say how many images a run makes at most, where several may be made for a sample."""
    if most_images < 2:
        return []
    ends = f" ({sooner})" if sooner else ""
    most = f"at most {most_images:,} a sample, {samples * most_images:,} in all"
    return [f"images      {most}{ends}"]


def _series(summary: PlanSummary) -> str:
    """Say what the samples of an identity are, where there are several."""
    series = summary.series
    if series.size == 1:
        return ""
    each = f"{series.expressions} expression{'s' * (series.expressions > 1)}"
    neutral = ", a neutral image" if series.neutral else ""
    noise = ", one noise" if summary.noise == "identity" else ""
    return f" (each {each}{neutral}{noise})"


def _category_table(summary: PlanSummary) -> list[str]:
    if not summary.categories:
        return []
    width = max(len("category"), *(len(category.name) for category in summary.categories))
    rows = [
        f"{category.name:{width}}  {category.expected:8.1%}  {category.counted:8.1%}"
        for category in summary.categories
    ]
    same = [f"the same on the 12 AUs: {', '.join(group)}" for group in summary.ambiguous]
    return [f"{'category':{width}}  expected  {_source(summary)}", *rows, *same]


def _au_table(summary: PlanSummary) -> list[str]:
    names = max(len(name) for name in AU_NAMES.values())
    # What was asked has a column of its own only where rules or quotas change it.
    changed = any(abs(au.asked_rate - au.expected_rate) >= SEEN for au in summary.aus)
    rows = [
        f"{au.name:5} {AU_NAMES[au.name]:{names}}{f'  {au.asked_rate:8.1%}' * changed}"
        f"  {au.expected_rate:8.1%}  {au.counted_rate:8.1%}"
        f"  {_intensity(au.expected_mean):>8}  {_intensity(au.counted_mean):>8}"
        for au in summary.aus
    ]
    indent = " " * (6 + names)
    asked, active = f"  {'asked':>8}" * changed, f"  {'active':>8}"
    return [
        f"{indent}{active}{' ' * len(asked)}  {'':8}  {'mean intensity where active'}",
        f"{indent}{asked}  expected  {'planned':>8}  expected  {'planned':>8}",
        *rows,
    ]


def _notes(summary: PlanSummary) -> list[str]:
    return [f"note: {note}" for note in summary.notes]


def _quota_table(summary: PlanSummary) -> list[str]:
    if not summary.quotas:
        return []
    shown = summary.quotas[:CELLS]
    width = max(len("quota"), *(len(cell.name) for cell in shown))
    rows = [f"{cell.name:{width}}  {cell.asked or 0:8.1%}  {cell.counted:8.1%}" for cell in shown]
    more = len(summary.quotas) - len(shown)
    left = [f"… and {more} more"] if more else []
    return [f"{'quota':{width}}  {'asked':>8}  {_source(summary)}", *rows, *left]


def _first(summary: PlanSummary) -> list[str]:
    return [line for spec in summary.first for line in _spec_lines(spec)]


def _spec_lines(spec: SampleSpec) -> list[str]:
    return [
        f"{spec.sample_id}  {spec.split}  {spec.identity_id}  {spec.stratum}",
        f"    {describe(spec.aus)}",
        f"    {spec.prompt}",
    ]


def _source(summary: PlanSummary) -> str:
    if summary.counted == summary.samples:
        return f"{'planned':>8}"
    return f"{'planned':>8}  (first {summary.counted} samples)"


def _intensity(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
