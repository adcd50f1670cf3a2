"""Faults of a label table: its file, its lines, the values, what is allowed.

Only a table that was found to be malformed is read again, line by line.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np

from samplers.priors.labels.cells import read_cell, read_intensity
from samplers.priors.labels.columns import Columns
from samplers.priors.labels.dialect import open_rows
from samplers.priors.labels.filters import is_numeric, matches
from samplers.priors.labels.reading import Reading
from samplers.priors.labels.scales import USUAL_CODES, Scale, allowed, is_misfit
from synthgen.foreign import excerpt

_SHOWN = 60

_NAMED = 3
"""Lines that are named beside the first; the others are counted."""


@dataclass(frozen=True, slots=True)
class _Fault:
    """One malformed line: its place, what is wrong, and what would be right."""

    line: int
    wrong: str
    right: str
    value: float | None = None


def describe_faults(
    path: Path, columns: Columns, reading: Reading, scale: Scale | None = None
) -> str | None:
    """Count the malformed lines of a table and describe the first; None where there are none.

    Args:
        path: the table.
        columns: what is read of it.
        reading: what the user said of the values.
        scale: the scale that values must belong to; None: they need only be numbers.

    Raises:
        LabelsError: if a line is longer than any table's.
    """
    places = {name: place for place, name in enumerate(columns.header)}
    # Most lines are sound, and plain numbers of a scale are seen quickly to be so.
    plain = scale != "occurrence" and not columns.where and columns.weight is None
    numbers = [places[name] for name in (*columns.au_columns, columns.success) if name is not None]
    pick = itemgetter(*numbers, numbers[0])
    high = float(scale or 5) if plain else 0.0
    first: list[_Fault] = []
    count = 0
    with open_rows(path, columns.dialect) as lines:
        next(lines)
        for number, cells in lines:
            if plain and len(cells) == len(columns.header) and _within(pick(cells), high):
                continue
            fault = _fault(number, cells, columns, reading, scale, places) if cells else None
            if fault is not None:
                count += 1
                first += [fault][: _NAMED + 1 - len(first)]
    if not first:
        return None
    text = f"{excerpt(path)}, line {first[0].line}: {first[0].wrong}{first[0].right}"
    if first[1:]:
        named = "; ".join(f"line {fault.line}: {fault.wrong}" for fault in first[1:])
        text += f"; {count} lines in all are malformed, the next {named}"
    code = next((one.value for one in first if one.value in USUAL_CODES), None)
    if code is not None:
        text += (
            f"; if {code:g} stands for what was not coded, say missing {code:g} "
            f"(--missing {code:g}; key: missing)"
        )
    return text


def _within(cells: Sequence[str], high: float) -> bool:
    try:
        values = [float(cell) for cell in cells]
    except ValueError:
        return False
    return 0 <= min(values) <= max(values) <= high


def _fault(
    line: int,
    cells: Sequence[str],
    columns: Columns,
    reading: Reading,
    scale: Scale | None,
    places: Mapping[str, int],
) -> _Fault | None:
    if len(cells) != len(columns.header):
        wrong = f"{len(cells)} values, and line 1 names {len(columns.header)} columns"
        return _Fault(line, wrong, "")
    success = None if columns.success is None else read_cell(cells[places[columns.success]])
    if columns.success is not None and success is None:
        wrong = f"success is {_show(cells[places[columns.success]])}"
        return _Fault(line, wrong, "; it must be 0 or 1")
    for name, wanted in columns.where.items():
        cell = cells[places[name]]
        if is_numeric(wanted) and read_cell(cell, reading.missing_texts) is None:
            right = "; it must be a number, because where compares it"
            return _Fault(line, f"{name.strip()} is {_show(cell)}", right)
    row = {name: cells[places[name]] for name in columns.where}
    kept = (success is None or success == 1) and _is_wanted(row, columns, reading)
    for name in columns.au_columns:
        value = read_intensity(cells[places[name]], reading.missing_texts)
        judged = scale is not None and kept and value not in reading.missing
        if value is None or (judged and is_misfit(value, scale or 5)):
            wrong = f"{name.strip()} is {_show(cells[places[name]])}"
            right = f"; it must be {allowed(scale or reading.scale or 5)}"
            return _Fault(line, wrong, right, value)
    if columns.weight is not None and kept and not _is_weight(cells[places[columns.weight]]):
        wrong = f"weight {columns.weight.strip()} is {_show(cells[places[columns.weight]])}"
        return _Fault(line, wrong, "; it must be a number of 0 or more")
    return None


def _is_wanted(row: Mapping[str, str], columns: Columns, reading: Reading) -> bool:
    return all(
        matches(np.array([read_cell(row[name], reading.missing_texts)], dtype=float), wanted).all()
        if is_numeric(wanted)
        else row[name].strip() == wanted
        for name, wanted in columns.where.items()
    )


def _is_weight(cell: str) -> bool:
    number = read_cell(cell)
    return number is not None and math.isfinite(number) and number >= 0


def _show(cell: str) -> str:
    text = repr(cell.strip())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
