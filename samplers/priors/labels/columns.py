"""Columns of a label table, recognised by its first line."""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from samplers.priors.labels.dialect import Dialect, read_dialect
from samplers.priors.labels.source import Reading, Where
from synthgen.action_units import ActionUnitSet
from synthgen.errors import LabelsError
from synthgen.foreign import excerpt


@dataclass(frozen=True, slots=True)
class TableFormat:
    """Names of the columns of a format.

    Attributes:
        name: the format.
        column: pattern of a whole column name without blanks around; its group is an AU's number.
        example: such a column, for messages.
        success: column that says whether a row holds a face at all; None where there is none.
        side: pattern of a column of one side of the face, with the groups `before` or `after` for
            the side and `number` for the AU's number; None where there are none.
        writes_levels: whether whatever writes this format writes intensities from 0 to 5.
    """

    name: str
    column: re.Pattern[str]
    example: str
    success: str | None = None
    side: re.Pattern[str] | None = None
    writes_levels: bool = False


@dataclass(frozen=True, slots=True)
class Columns:
    """Places of the values of a table; each name as the file writes it.

    Attributes:
        dialect: the way in which the table is written.
        aus: AU → its column, or those of its left and right.
        success: column of the success, if the file has one.
        weight: column of the weights, if one is asked for.
        where: column → what it must hold.
        notes: what was left out or put together, a sentence each.
    """

    dialect: Dialect
    aus: dict[str, tuple[str, ...]]
    success: str | None
    weight: str | None
    where: Where
    notes: tuple[str, ...] = ()

    @property
    def header(self) -> tuple[str, ...]:
        """All columns."""
        return self.dialect.header

    @property
    def au_columns(self) -> tuple[str, ...]:
        """The columns that hold AUs."""
        return tuple(name for names in self.aus.values() for name in names)


TABLES = {
    "csv": TableFormat(
        "csv",
        re.compile(r"au_?0*(\d{1,4})", re.IGNORECASE),
        "AU1 or AU01",
        side=re.compile(
            r"(?:(?P<before>l|r|left|right)[ _-]?)?au[ _-]?0*(?P<number>\d{1,4})"
            r"(?:[ _-]?(?P<after>l|r|left|right))?",
            re.IGNORECASE,
        ),
    ),
    "openface": TableFormat(
        "openface",
        re.compile(r"AU0*(\d{1,4})_r", re.IGNORECASE),
        "AU01_r",
        success="success",
        writes_levels=True,
    ),
    "libreface": TableFormat(
        "libreface", re.compile(r"au_(\d{1,4})_intensity", re.IGNORECASE), "au_1_intensity"
    ),
}
"""`csv`: a table of our own kind. `openface`: what OpenFace 2's FeatureExtraction writes, whose
names have leading blanks. `libreface`: what LibreFace's command line writes, 0–5 in newer releases
and 0–1 as the network gives it."""


def find_columns(
    path: Path, table: TableFormat, where: Where, weights: str | None, reading: Reading
) -> Columns:
    """Find the columns of a table by its first line.

    Raises:
        LabelsError: if a column is missing or stands there twice, or AUs have a left and a right
            and nothing says what becomes of them.
    """
    dialect = read_dialect(path, lambda name: _is_au(table, name))
    names: dict[str, str] = {}
    aus: dict[str, tuple[str, ...]] = {}
    for raw in dialect.header:
        name = raw.strip()
        found = table.column.fullmatch(name)
        au = f"AU{int(found[1])}" if found else None
        if au in aus or (name in names and name in {*where, weights, table.success}):
            raise LabelsError(
                f"{excerpt(path)}, line 1: column {excerpt(name)!r} stands there twice"
            )
        names[name] = raw
        if au is not None and au in reading.aus:
            aus[au] = (raw,)
    halves, notes = _find_sides(path, table, dialect, aus, reading)
    aus |= halves
    if not aus:
        raise LabelsError(_no_aus(path, table, dialect, reading.aus))
    for name in (*where, *([weights] if weights else [])):
        if name not in names:
            raise LabelsError(f"{excerpt(path)}, line 1: there is no column {name!r}")
    return Columns(
        dialect=dialect,
        aus={au: aus[au] for au in reading.aus.names if au in aus},
        success=names.get(table.success) if table.success else None,
        weight=names[weights] if weights else None,
        where={names[name]: wanted for name, wanted in where.items()},
        notes=notes,
    )


def _is_au(table: TableFormat, name: str) -> bool:
    pattern = table.side or table.column
    return bool(pattern.fullmatch(name) or table.column.fullmatch(name))


def _find_sides(
    path: Path,
    table: TableFormat,
    dialect: Dialect,
    plain: dict[str, tuple[str, ...]],
    reading: Reading,
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Return the AUs that have a left and a right alone, and what is to be said of sides."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for raw in dialect.header if table.side else ():
        match = table.side.fullmatch(raw.strip()) if table.side else None
        side = (match["before"] or match["after"]) if match else None
        if (
            match is None
            or side is None
            or ((au := f"AU{int(match['number'])}") not in reading.aus)
        ):
            continue
        if side[0].upper() in found[au]:
            raise LabelsError(f"{excerpt(path)}, line 1: two columns are {au}'s {side} side")
        found[au][side[0].upper()] = raw
    both = {au: (one["L"], one["R"]) for au, one in found.items() if {"L", "R"} <= one.keys()}
    pairs = {au: pair for au, pair in both.items() if au not in plain}
    notes = []
    if pairs and reading.sides == "refuse":
        au, (left, right) = next(iter(pairs.items()))
        raise LabelsError(
            f"{excerpt(path)}, line 1: columns {left.strip()} and {right.strip()} are the left and "
            f"the right of {au}; an AU vector has one number for both, so say which: sides mean "
            "or max (--sides mean)"
        )
    if pairs:
        kind = "mean" if reading.sides == "mean" else "maximum"
        notes.append(f"{', '.join(pairs)}: the {kind} of left and right")
    lone = [raw.strip() for au, one in found.items() if au not in both for raw in one.values()]
    if lone and (plain or pairs):
        notes.append(f"columns {', '.join(lone)}: one side of a face alone, left out")
    return pairs, tuple(notes)


def _no_aus(path: Path, table: TableFormat, dialect: Dialect, aus: ActionUnitSet) -> str:
    names = [name.strip() for name in dialect.header]
    if {"pixels", "emotion"} <= {name.lower() for name in names}:
        return (
            f"{excerpt(path)} holds pixels and emotions, as FER2013's table does, and no AUs; "
            "measure its images with OpenFace or LibreFace first and give their table, or draw "
            "emotions with the prior 'emotions'"
        )
    said = (
        f"{excerpt(path)}, line 1: no column is one of the {len(aus)} AUs; format {table.name!r} "
        f"wants columns such as {table.example}"
    )
    for other in TABLES.values():
        if other is not table and any(
            (found := other.column.fullmatch(name)) and f"AU{int(found[1])}" in aus
            for name in names
        ):
            return f"{said}; its columns are those of format {other.name!r}"
    return said
