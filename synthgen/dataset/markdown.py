"""Tables and numbers in Markdown."""

import math
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Write a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def number(value: float) -> str:
    """Write a mean; a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:.2f}"


def percent(share: float | None) -> str:
    """Write a share; a dash for NaN and None."""
    return "–" if share is None or math.isnan(share) else f"{100 * share:.1f} %"


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
