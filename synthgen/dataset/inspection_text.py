"""An inspection in words, for a terminal."""

import math

from synthgen.dataset.card_faces import faces_line
from synthgen.dataset.inspection import Inspection
from synthgen.dataset.shortfall import describe_short
from synthgen.dataset.statistics import Statistics


def describe_inspection(inspection: Inspection) -> str:
    """Write what an inspection found, a fact a line; problems come last."""
    statistics = inspection.statistics
    lines = [
        f"{inspection.name or 'dataset'} in {inspection.url}",
        f"samples: {statistics.total} of {inspection.samples} in {inspection.shards} shards",
        *_splits(statistics),
        f"acceptance: {_acceptance(statistics)}",
    ]
    if statistics.rejected or statistics.errors:
        lines.append(f"rejected attempts: {_reasons(statistics)}")
    lines += _lacking(statistics)
    if statistics.categories:
        lines.append(f"emotions: {_categories(statistics)}")
    lines += faces_line(statistics.faces)
    if not inspection.problems:
        return "\n".join([*lines, _verdict(statistics)])
    return "\n".join([*lines, "problems:", *(f"  {problem}" for problem in inspection.problems)])


def _verdict(statistics: Statistics) -> str:
    if statistics.missing:
        return "less than asked, but what is there is whole: all checksums agree"
    return "no problems: all checksums agree"


def _lacking(statistics: Statistics) -> list[str]:
    lines = []
    if statistics.missing:
        lines.append(f"missing samples: {len(statistics.missing)}")
    if kept := statistics.total - statistics.accepted:
        lines.append(f"unaccepted samples (accepted=false): {kept}")
    return lines + [f"  {line}" for line in describe_short(statistics.short, statistics.lacking)]


def _splits(statistics: Statistics) -> list[str]:
    return [
        f"  {split}: {rows} samples of {statistics.identities[split]} identities"
        for split, rows in statistics.rows.items()
    ]


def _acceptance(statistics: Statistics) -> str:
    share = statistics.acceptance
    percent = "–" if math.isnan(share) else f"{100 * share:.1f} %"
    return f"{percent} ({statistics.accepted} accepted of {statistics.attempts} attempts)"


def _reasons(statistics: Statistics) -> str:
    reasons = dict(statistics.rejected)
    if statistics.errors:
        reasons["error"] = statistics.errors
    return ", ".join(f"{reason} {number}" for reason, number in reasons.items())


def _categories(statistics: Statistics) -> str:
    return ", ".join(
        f"{name} {sum(counts.values())}" for name, counts in statistics.categories.items()
    )
