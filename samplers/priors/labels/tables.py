"""Label tables: one row for each image or frame, one column for each AU; their faults.

Only a table that was found to be malformed is read again, line by line.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64
from pyarrow import csv

from samplers.priors.labels.columns import Columns, TableFormat, find_columns
from samplers.priors.labels.dialect import (
    LETTERS,
    NO_VALUE,
    files_below,
    open_rows,
    read_cell,
    read_intensity,
    say_aside,
    say_other_tables,
)
from samplers.priors.labels.scales import USUAL_CODES, Scale, allowed, is_misfit, misfits
from samplers.priors.labels.source import (
    AS_IT_STANDS,
    LabelFiles,
    Reading,
    Where,
    WrittenRows,
    is_numeric,
    matches,
)
from synthgen.errors import LabelsError
from synthgen.foreign import excerpt, first_line

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


_BLOCK_BYTES = 1 << 20

_NULLS = [f"{blank}{cell}" for cell in (*NO_VALUE, "NaN", "NA", "-1.#IND", "1.#QNAN")
          for blank in ("", " ")]  # fmt: skip

_AS_NUMBER = pa.float64()
_AS_TEXT = pa.dictionary(pa.int32(), pa.string())


def open_table(
    root: Path,
    table: TableFormat,
    where: Where | None = None,
    weights: str | None = None,
    reading: Reading = AS_IT_STANDS,
) -> LabelFiles:
    """Open a CSV file, or every CSV file below a folder.

    Args:
        root: the file or folder.
        table: how its columns are called.
        where: column → what it must hold.
        weights: column of the weights; without one each row weighs 1.
        reading: what the user said of the values.

    Raises:
        LabelsError: if there is no such file, or a column is missing or stands there twice.
    """
    files, aside = files_below(root, ".csv") if root.is_dir() else ((root,), 0)
    if not files:
        raise LabelsError(f"there is no .csv file below {excerpt(root)}")
    tables = {
        str(path): _Table(path, find_columns(path, table, where or {}, weights, reading), reading)
        for path in files
    }
    first = tables[str(files[0])].columns
    for name, one in tables.items():
        if one.columns.aus.keys() != first.aus.keys():
            raise LabelsError(
                f"{excerpt(name)} codes {', '.join(one.columns.aus)}, and {excerpt(files[0])} "
                f"{', '.join(first.aus)}; files of one folder must code the same AUs"
            )
    notes = dict.fromkeys(note for one in tables.values() for note in one.columns.notes)
    return LabelFiles(
        root=root,
        files=files,
        parts=tuple(tables),
        aus=tuple(first.aus),
        occurrence_only=(),
        read=lambda name: tables[name].read(),
        describe_misfits=lambda name, scale: tables[name].describe_misfits(scale),
        scale=_scale(table, first),
        notes=(*notes, *say_aside(aside), *say_other_tables(root)),
        unread=tuple(dict.fromkeys(note for one in tables.values() for note in one.columns.unread)),
    )


def _scale(table: TableFormat, columns: Columns) -> Scale | None:
    if columns.probabilities:
        return "occurrence"
    return 5 if table.writes_levels else None


class _NotReadError(Exception):
    """A table cannot be read in one of the two ways: as numbers, or as text."""


@dataclass(frozen=True, slots=True)
class _Table:
    """A table whose columns are known."""

    path: Path
    columns: Columns
    reading: Reading

    def read(self) -> Iterator[WrittenRows]:
        """Read the cells as numbers, and from where that fails as text.

        Text is slower, but takes numbers in all the ways of writing them. Both yield the same rows
        in the same order.
        """
        done = 0
        try:
            for record in self._records(_AS_NUMBER):
                yield self._rows(record)
                done += record.num_rows
            return
        except _NotReadError:
            pass
        try:
            for record in self._records(_AS_TEXT):
                again = min(done, record.num_rows)
                done -= again
                if again < record.num_rows:
                    yield self._rows(record.slice(again))
        except _NotReadError as error:
            found = describe_faults(self.path, self.columns, self.reading)
            raise LabelsError(found or f"{excerpt(self.path)}: {error}") from error

    def describe_misfits(self, scale: Scale) -> str:
        """Say which lines hold values that a scale does not have."""
        if self.columns.probabilities:
            scale = 1
        found = describe_faults(self.path, self.columns, self.reading, scale)
        return found or f"{excerpt(self.path)} changed while it was read"

    def _records(self, number: pa.DataType) -> Iterator[pa.RecordBatch]:
        dialect, types = self.columns.dialect, self._types(number)
        codes = [f"{blank}{code}" for code in self.reading.missing_texts for blank in ("", " ")]
        try:
            with self.path.open("rb") as file:
                yield from csv.open_csv(
                    file,
                    csv.ReadOptions(
                        use_threads=False,
                        block_size=_BLOCK_BYTES,
                        encoding=dialect.encoding.removesuffix("-sig"),
                    ),
                    csv.ParseOptions(
                        delimiter=dialect.separator, newlines_in_values=number == _AS_TEXT
                    ),
                    csv.ConvertOptions(
                        include_columns=list(types),
                        column_types=types,
                        null_values=[*_NULLS, *codes],
                        decimal_point=dialect.decimal,
                    ),
                )
        except (pa.ArrowException, UnicodeError) as error:
            raise _NotReadError(first_line(error)) from error
        except OSError as error:
            raise LabelsError(f"cannot read the labels {excerpt(self.path)}: {error}") from error

    def _types(self, number: pa.DataType) -> dict[str, pa.DataType]:
        """Return the type of each column that is read."""
        columns = self.columns
        numbers = [*columns.au_columns, columns.success, columns.weight]
        types = {name: number for name in numbers if name is not None}
        for name, wanted in columns.where.items():
            types.setdefault(name, number if is_numeric(wanted) else pa.string())
        return types

    def _rows(self, record: pa.RecordBatch) -> WrittenRows:
        columns = self.columns
        wanted = np.ones(record.num_rows, dtype=bool)
        for name, value in columns.where.items():
            wanted &= matches(self._column(record, name, read_cell), value)
        failed = np.zeros(record.num_rows, dtype=bool)
        if columns.success is not None:
            failed = self._column(record, columns.success, read_cell) != 1
        kept = wanted & ~failed
        vectors = np.full((int(kept.sum()), len(self.reading.aus)), np.nan)
        for au, names in columns.aus.items():
            vectors[:, self.reading.aus.index(au)] = self._intensities(record, names, kept)
        weights = np.ones(len(vectors))
        if columns.weight is not None:
            weights = self._column(record, columns.weight, read_cell)[kept]
        if not (np.isfinite(weights) & (weights >= 0)).all():
            raise _NotReadError("a weight is no number of 0 or more")
        left_out = {
            "other than where asks for": int((~wanted).sum()),
            "success 0": int((wanted & failed).sum()),
        }
        return WrittenRows(
            vectors,
            weights,
            {reason: rows for reason, rows in left_out.items() if rows},
            any(_has_letters(record.column(name)) for name in columns.au_columns),
        )

    def _intensities(
        self, record: pa.RecordBatch, names: tuple[str, ...], kept: Bool[np.ndarray, " rows"]
    ) -> Float64[np.ndarray, " kept"]:
        """Return an AU's values in the rows that are kept, of one column or of two sides."""
        found = [self._column(record, name, read_intensity)[kept] for name in names]
        if self.reading.missing:
            found = [np.where(np.isin(one, self.reading.missing), np.nan, one) for one in found]
        if self.columns.probabilities:
            found = [np.where(misfits(one, 1) | np.isnan(one), one, one >= 0.5) for one in found]
        if len(found) == 1:
            return found[0]
        left, right = found
        return np.maximum(left, right) if self.reading.sides == "max" else (left + right) / 2

    def _column(
        self,
        record: pa.RecordBatch,
        name: str,
        read: Callable[[str, frozenset[str]], float | None],
    ) -> np.ndarray:
        """Return a column's texts, or its numbers with NaN where there is none."""
        column = record.column(name)
        if pa.types.is_string(column.type):
            texts = [None if text is None else text.strip() for text in column.to_pylist()]
            return np.array(texts, dtype=object)
        if not isinstance(column, pa.DictionaryArray):
            return column.fill_null(np.nan).to_numpy(zero_copy_only=False)
        numbers = [read(text, self.reading.missing_texts) for text in column.dictionary.to_pylist()]
        used = column.indices.fill_null(len(numbers)).to_numpy(zero_copy_only=False)
        table = np.array([*(np.inf if one is None else one for one in numbers), np.nan])
        if np.isposinf(found := table[used]).any():
            raise _NotReadError(f"column {excerpt(name)} holds what is no number")
        return found


def _has_letters(column: pa.Array) -> bool:
    if not isinstance(column, pa.DictionaryArray):
        return False
    return any(text.strip().upper() in LETTERS for text in column.dictionary.to_pylist())
