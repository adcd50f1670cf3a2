"""Ways in which label tables are written: their bytes, their separators, their first line."""

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from synthgen.errors import LabelsError
from synthgen.foreign import counted, excerpt, regular_file

NO_VALUE = frozenset(
    (
        "",
        *("nan", "-nan", "+nan", "-nan(ind)", "nan(ind)", "-nan(snan)", "nan(snan)"),
        *("na", "n/a", "#n/a", "<na>", "null", "none", "-1.#ind", "1.#ind", "-1.#qnan", "1.#qnan"),
        *("-1.#snan", "1.#snan", "-1.#j", "1.#r"),
    )
)
"""Cells, in lower case and without blanks around, that say that there is no value. Those with `#`
are Microsoft's C library's."""

LETTERS = {letter: float(level) for level, letter in enumerate("ABCDE", start=1)}
"""FACS's letters of intensity."""

_LONGEST = 64
"""Characters of a number at most; longer ones are none."""

_NUMBER = re.compile(r"[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)


def read_cell(text: str, missing: frozenset[str] = frozenset()) -> float | None:
    """Return the number that a cell holds, NaN where it holds no value, None where neither.

    Args:
        text: the cell; a decimal comma is a point.
        missing: further texts that stand for no value, in lower case.
    """
    cell = text.strip()
    if len(cell) > _LONGEST:
        return None
    if _NUMBER.fullmatch(cell):
        return float(cell.replace(",", "."))
    folded = cell.lower()
    return float("nan") if folded in NO_VALUE or folded in missing else None


def read_intensity(text: str, missing: frozenset[str] = frozenset()) -> float | None:
    """Return what `read_cell` does, and the level of a letter of A–E."""
    level = LETTERS.get(text.strip().upper())
    return read_cell(text, missing) if level is None else level


LONGEST_LINE = 1 << 20
"""Characters of a line at most."""

_OTHER_TABLES = (".tsv", ".tab", ".txt", ".xls", ".xlsx", ".parquet")
"""Endings of tables that are not read below a folder."""

_NAMED = 3
"""Files that a note names."""

_MOST_COLUMNS = 10_000

_SEPARATORS = (",", ";", "\t", "|")

_OTHER_FILES = (
    (b"PK\x03\x04", "an Excel workbook or a ZIP archive; save its sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save its sheet as CSV"),
    (b"\x1f\x8b", "compressed by gzip; unpack it"),
    (b"PAR1", "a Parquet file; write it as CSV"),
    (b"\x00\x05\x16\x07", "a side file of macOS, which holds no table; read the one without '._'"),
    (b"version https://git-lfs", "a pointer of Git LFS; fetch the file itself (git lfs pull)"),
)

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


@dataclass(frozen=True, slots=True)
class Dialect:
    """The way in which a table is written.

    Attributes:
        encoding: of its characters, by Python's name.
        separator: what stands between two values.
        decimal: what stands before the decimals of a number.
        header: the columns, as the first line writes them.
    """

    encoding: str
    separator: str
    decimal: str
    header: tuple[str, ...]


def read_dialect(path: Path, is_sought: Callable[[str], bool]) -> Dialect:
    """Find out how a table is written, from its beginning.

    Args:
        path: the table.
        is_sought: tells, of a column's name without blanks around, whether it is one of those that
            are sought; the separator that yields most of them is taken.

    Raises:
        LabelsError: if it is no regular file, cannot be read, is empty, or is no table of text.
    """
    beginning = _read_beginning(path)
    encoding = _find_encoding(path, beginning)
    text = codecs.getincrementaldecoder(encoding)("replace").decode(beginning)
    lines = list(_cut_lines(io.StringIO(text, newline=""), 64))
    if not lines or not lines[0].strip():
        raise LabelsError(f"{excerpt(path)} is empty; its first line must name the columns")
    if "�" in lines[0]:
        raise LabelsError(f"{excerpt(path)}, line 1: this is no CSV file in UTF-8 or UTF-16")
    if len(lines[0]) >= LONGEST_LINE:
        raise _too_long(path, 1)
    headers = {separator: _columns(path, lines[0], separator) for separator in _SEPARATORS}
    separator = max(headers, key=lambda one: sum(is_sought(n.strip()) for n in headers[one]))
    if not any(is_sought(name.strip()) for name in headers[separator]):
        separator = max(headers, key=lambda one: len(headers[one]))
    header = headers[separator]
    if len(header) > _MOST_COLUMNS:
        raise LabelsError(
            f"{excerpt(path)}, line 1: it names {len(header):,} columns; a table of AUs has at "
            f"most {_MOST_COLUMNS:,}"
        )
    if separator == ",":
        _refuse_commas_for_both(path, header, lines[1:])
    decimal = "," if separator != "," and _has_decimal_commas(lines[1:]) else "."
    return Dialect(encoding, separator, decimal, header)


@contextmanager
def open_rows(path: Path, dialect: Dialect) -> Iterator[Iterator[tuple[int, list[str]]]]:
    """Open a table to read it line by line: the number of the line and its cells, the header too.

    Raises:
        LabelsError: where a line is longer than `LONGEST_LINE`.
    """
    largest = csv.field_size_limit(LONGEST_LINE)
    try:
        with path.open(newline="", encoding=dialect.encoding, errors="replace") as file:
            rows = csv.reader(_bounded_lines(path, file), delimiter=dialect.separator)
            yield ((rows.line_num, cells) for cells in rows)
    except csv.Error as error:
        raise LabelsError(f"{excerpt(path)} is no CSV file: {error}") from error
    finally:
        csv.field_size_limit(largest)


def files_below(root: Path, suffix: str) -> tuple[tuple[Path, ...], int]:
    """Return the files below a folder whose name ends so, in any case, in order of name.

    Returns:
        The files, and the number of those that macOS put beside them (`._x.csv`), left out.
    """
    found = sorted(path for path in root.rglob("*") if path.suffix.lower() == suffix)
    files = [path for path in found if not path.is_dir()]
    ours = [path for path in files if not path.name.startswith("._")]
    return tuple(ours), len(files) - len(ours)


def say_aside(count: int) -> tuple[str, ...]:
    """Say how many side files of macOS were left out, if any."""
    return (f"{counted(count, 'side file')} of macOS (._*) left out",) if count else ()


def say_other_tables(root: Path) -> tuple[str, ...]:
    """Say which files below a folder look like tables and are not read, if any."""
    others = sorted(
        path.name
        for path in root.rglob("*")
        if path.suffix.lower() in _OTHER_TABLES and not path.name.startswith("._")
    )
    if not others:
        return ()
    more = ", …" if len(others) > _NAMED else ""
    names = ", ".join(excerpt(name, 60) for name in others[:_NAMED])
    return (f"of a folder, files .csv are read; left out: {len(others)} ({names}{more})",)


def _read_beginning(path: Path) -> bytes:
    regular_file(path, "the label file", LabelsError)
    try:
        with path.open("rb") as file:
            return file.read(LONGEST_LINE)
    except OSError as error:
        raise LabelsError(f"cannot read the labels {excerpt(path)}: {error.strerror}") from error


def _find_encoding(path: Path, beginning: bytes) -> str:
    for magic, what in _OTHER_FILES:
        if beginning.startswith(magic):
            raise LabelsError(f"{excerpt(path)} is {what}")
    for mark, encoding in _MARKS:
        if beginning.startswith(mark):
            return encoding
    # Plain text in UTF-16 without a mark: each second byte is 0.
    if len(beginning) > 1 and beginning[1] == 0 != beginning[0]:
        return "utf-16-le"
    if len(beginning) > 1 and beginning[0] == 0 != beginning[1]:
        return "utf-16-be"
    return "utf-8"


def _columns(path: Path, line: str, separator: str) -> tuple[str, ...]:
    largest = csv.field_size_limit(LONGEST_LINE)
    try:
        return tuple(next(csv.reader([line], delimiter=separator)))
    except csv.Error as error:
        raise LabelsError(f"{excerpt(path)}, line 1: this is no CSV file: {error}") from error
    finally:
        csv.field_size_limit(largest)


def _cut_lines(file: io.TextIOBase, most: int) -> Iterator[str]:
    """Yield the first lines, each up to its longest; blank ones before the first are none."""
    for _ in range(most):
        line = file.readline(LONGEST_LINE)
        if not line:
            return
        yield line


def _bounded_lines(path: Path, file: io.TextIOBase) -> Iterator[str]:
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE and not line.endswith(("\n", "\r")):
            raise _too_long(path, number)
        yield line


def _too_long(path: Path, number: int) -> LabelsError:
    return LabelsError(
        f"{excerpt(path)}, line {number}: it has more than {LONGEST_LINE:,} characters, so this is "
        "no table of AUs"
    )


def _refuse_commas_for_both(path: Path, header: tuple[str, ...], lines: list[str]) -> None:
    """Refuse a table whose numbers have decimal commas and commas between them as well."""
    first = next((line for line in lines if line.strip()), "")
    cells = [cell.strip() for cell in first.split(",")]
    digits = all(re.fullmatch(r"-?\d*", cell) for cell in cells)
    if digits and len(header) < len(cells) <= 2 * len(header) and len(lines[0]) < LONGEST_LINE:
        raise LabelsError(
            f"{excerpt(path)}, line 2: {len(cells)} values, and line 1 names {len(header)} "
            "columns: its numbers have decimal commas, and commas stand between them as well, so "
            "they cannot be told apart; write the table again with decimal points, or with "
            "semicolons between the values"
        )


def _has_decimal_commas(lines: list[str]) -> bool:
    return any(re.search(r"\d,\d", line) for line in lines)
