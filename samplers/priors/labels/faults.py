"""Where a label table is malformed: its file, its line, the value, what is allowed.

Only a table that was found to be malformed is read again, line by line.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from samplers.priors.labels.columns import Columns
from samplers.priors.labels.filters import is_numeric
from synthgen.action_units import MAX_INTENSITY, MIN_INTENSITY

NO_VALUE = ("", " ", "nan", "NaN", "NA", "-nan", "-nan(ind)", "null")
"""Cells that say that there is no value."""

_SHOWN = 60


def describe_fault(path: Path, columns: Columns) -> str | None:
    """Say what is wrong with the first malformed line of a table; None where nothing is found.

    Args:
        path: the table.
        columns: what is read of it.
    """
    places = {name: place for place, name in enumerate(columns.header)}
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        lines = csv.reader(file)
        next(lines)
        for cells in lines:
            if cells and (fault := _fault(cells, columns, places)):
                return f"{path}, line {lines.line_num}: {fault}"
    return None


def _fault(cells: Sequence[str], columns: Columns, places: Mapping[str, int]) -> str | None:
    if len(cells) != len(columns.header):
        return f"{len(cells)} values, and line 1 names {len(columns.header)} columns"
    row = {name: cells[place] for name, place in places.items()}
    success = None if columns.success is None else row[columns.success]
    if success is not None and success not in NO_VALUE and _number(success) is None:
        return f"success is {_show(success)}; it must be 0 or 1"
    failed = success is not None and _number(success) != 1
    for name in columns.aus.values():
        if not _is_number(row[name], failed):
            return f"{name.strip()} is {_show(row[name])}; it must be a number from 0 to 5"
    if columns.weight is not None and not _is_weight(row[columns.weight]):
        value = _show(row[columns.weight])
        return f"weight {columns.weight.strip()} is {value}; it must be a number of 0 or more"
    for name, wanted in columns.where.items():
        if is_numeric(wanted) and row[name] not in NO_VALUE and _number(row[name]) is None:
            value = _show(row[name])
            return f"{name.strip()} is {value}; it must be a number, because where compares it"
    return None


def _is_number(cell: str, anything: bool) -> bool:
    if cell in NO_VALUE:
        return True
    number = _number(cell)
    return number is not None and (anything or MIN_INTENSITY <= number <= MAX_INTENSITY)


def _is_weight(cell: str) -> bool:
    number = _number(cell)
    return number is not None and math.isfinite(number) and number >= 0


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _show(cell: str) -> str:
    text = repr(cell.strip())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
