"""Which columns of a label table hold what, by its first line."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from samplers.priors.labels.filters import Where, is_numeric
from synthgen.action_units import AUS
from synthgen.errors import LabelsError


@dataclass(frozen=True, slots=True)
class TableFormat:
    """How the columns of a format are called.

    Attributes:
        name: the format.
        column: pattern of a whole column name without blanks around; its group is an AU's number.
        example: such a column, for messages.
        success: column that says whether a row holds a face at all; None where there is none.
    """

    name: str
    column: re.Pattern[str]
    example: str
    success: str | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the values of a table stand; each name as the file writes it.

    Attributes:
        header: all columns.
        aus: AU → its column.
        success: column of the success, if the file has one.
        weight: column of the weights, if one is asked for.
        where: column → what it must hold.
    """

    header: tuple[str, ...]
    aus: dict[str, str]
    success: str | None
    weight: str | None
    where: Where

    def types(self) -> dict[str, pa.DataType]:
        """Return the type of each column that is read."""
        numbers = [*self.aus.values(), self.success, self.weight]
        types = {name: pa.float64() for name in numbers if name is not None}
        for name, wanted in self.where.items():
            types.setdefault(name, pa.float64() if is_numeric(wanted) else pa.string())
        return types


TABLES = {
    "csv": TableFormat("csv", re.compile(r"au_?0*(\d+)", re.IGNORECASE), "AU1 or AU01"),
    "openface": TableFormat(
        "openface", re.compile(r"AU0*(\d+)_r", re.IGNORECASE), "AU01_r", success="success"
    ),
    "libreface": TableFormat(
        "libreface", re.compile(r"au_(\d+)_intensity", re.IGNORECASE), "au_1_intensity"
    ),
}
"""`csv`: a table of our own kind. `openface`: what OpenFace 2's FeatureExtraction writes, whose
names have leading blanks. `libreface`: what LibreFace's command line writes."""


def find_columns(path: Path, table: TableFormat, where: Where, weights: str | None) -> Columns:
    """Find the columns of a table by its first line.

    Raises:
        LabelsError: if a column is missing or stands there twice.
    """
    header = read_header(path)
    names: dict[str, str] = {}
    aus: dict[str, str] = {}
    for raw in header:
        name = raw.strip()
        found = table.column.fullmatch(name)
        au = f"AU{int(found[1])}" if found else None
        if au in aus or (name in names and name in {*where, weights, table.success}):
            raise LabelsError(f"{path}, line 1: column {name!r} stands there twice")
        names[name] = raw
        if au in AUS:
            aus[au] = raw
    if not aus:
        raise LabelsError(
            f"{path}, line 1: no column is one of the 12 AUs; format {table.name!r} wants columns "
            f"such as {table.example}"
        )
    for name in (*where, *([weights] if weights else [])):
        if name not in names:
            raise LabelsError(f"{path}, line 1: there is no column {name!r}")
    return Columns(
        header=header,
        aus={au: aus[au] for au in AUS if au in aus},
        success=names.get(table.success) if table.success else None,
        weight=names[weights] if weights else None,
        where={names[name]: wanted for name, wanted in where.items()},
    )


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
