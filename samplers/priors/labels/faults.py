"""Where a label table is malformed: its file, its line, the value, what is allowed.

Only a table that was found to be malformed is read again, line by line.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from samplers.priors.labels.filters import Where, is_numeric
from synthgen.action_units import MAX_INTENSITY, MIN_INTENSITY
from synthgen.errors import LabelsError

NO_VALUE = ("", " ", "nan", "NaN", "NA", "-nan", "-nan(ind)", "null")
"""Cells that say that there is no value."""

_SHOWN = 60


@runtime_checkable
class TableColumns(Protocol):
    """What is read of a table; see `samplers.priors.labels.tables.Columns`."""

    @property
    def header(self) -> tuple[str, ...]:
        """All columns."""
        ...

    @property
    def aus(self) -> Mapping[str, str]:
        """AU → its column."""
        ...

    @property
    def success(self) -> str | None:
        """Column of the success."""
        ...

    @property
    def weight(self) -> str | None:
        """Column of the weights."""
        ...

    @property
    def where(self) -> Where:
        """Column → what it must hold."""
        ...


def read_header(path: Path) -> tuple[str, ...]:
    """Return the columns of a table, as it writes them.

    Raises:
        LabelsError: if the file cannot be read or is empty.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = next(csv.reader(file), None)
    except OSError as error:
        raise LabelsError(f"cannot read the labels {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise LabelsError(f"{path}, line 1: this is no CSV file in UTF-8") from error
    if not header:
        raise LabelsError(f"{path} is empty; its first line must name the columns")
    return tuple(header)


def describe_fault(path: Path, columns: TableColumns) -> str | None:
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


def _fault(cells: Sequence[str], columns: TableColumns, places: Mapping[str, int]) -> str | None:
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
