"""Columns of a label table, recognised by its first line."""

import re
from collections import defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path

from samplers.priors.labels.dialect import Dialect, read_dialect
from samplers.priors.labels.emotions import emotion_column, is_fer2013
from samplers.priors.labels.source import Reading, Where, say_unread
from synthgen.action_units import ActionUnitSet
from synthgen.errors import LabelsError
from synthgen.foreign import excerpt, first_few


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
        probabilities: whether it writes how probable an AU is [0–1].
        marks: columns that tell the format from others with the same names of AUs.
    """

    name: str
    column: re.Pattern[str]
    example: str
    success: str | None = None
    side: re.Pattern[str] | None = None
    writes_levels: bool = False
    probabilities: bool = False
    marks: frozenset[str] = frozenset()


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
        unread: which AUs are not read, a sentence each.
        probabilities: whether values tell how probable an AU is, and nothing of its intensity.
    """

    dialect: Dialect
    aus: dict[str, tuple[str, ...]]
    success: str | None
    weight: str | None
    where: Where
    notes: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    probabilities: bool = False

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
    "pyfeat": TableFormat(
        "pyfeat",
        re.compile(r"AU0*(\d{1,4})", re.IGNORECASE),
        "AU01",
        probabilities=True,
        marks=frozenset(("FaceRectX", "FaceRectY", "FaceScore")),
    ),
}
"""`csv`: a table of our own kind. `openface`: what OpenFace 2's FeatureExtraction writes, whose
names have leading blanks. `libreface`: what LibreFace's command line writes, 0–5 in newer releases
and 0–1 as the network gives it. `pyfeat`: what py-feat's Detector writes, probabilities of its XGB
model, or 0 and 1 of its SVM."""

_ANY_AU = re.compile(
    r"(?:(?:l|r|left|right)[ _-]?)?au[ _-]?0*(?P<number>\d{1,4})"
    r"(?:_r|_c|_intensity|[ _-]?(?:l|r|left|right))?",
    re.IGNORECASE,
)
"""A column of an AU, whatever it holds of it."""

_SHOWN = 3
"""Columns that a note names."""


def find_columns(
    path: Path, table: TableFormat, where: Where, weights: str | None, reading: Reading
) -> Columns:
    """Find the columns of a table by its first line.

    Raises:
        LabelsError: if a column is missing or stands there twice, AUs have a left and a right and
            nothing says what becomes of them, or the table is another format's.
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
    if table.name == "csv":
        _refuse_libreface(path, names)
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
        notes=(*notes, *_say_probabilities(table, names, reading)),
        unread=_say_unread(table, names, reading),
        probabilities=_tells_probabilities(table, reading),
    )


def _refuse_libreface(path: Path, names: Iterable[str]) -> None:
    """Refuse LibreFace's table, whose plain columns are occurrences beside intensities."""
    column = next((name for name in names if TABLES["libreface"].column.fullmatch(name)), None)
    if column is not None:
        raise LabelsError(
            f"{excerpt(path)}, line 1: column {column} is LibreFace's, and format 'csv' would read "
            "the occurrences beside it; say format libreface (--format libreface; key: format)"
        )


def _tells_probabilities(table: TableFormat, reading: Reading) -> bool:
    return table.probabilities and reading.scale in (None, "occurrence")


def _say_probabilities(
    table: TableFormat, names: Container[str], reading: Reading
) -> tuple[str, ...]:
    """Say that a table's values are probabilities, where they are or look like it."""
    if _tells_probabilities(table, reading):
        return (
            "values are probabilities: an AU is there from 0.5 on, which tells rates and no "
            "intensities; say scale 1 (--scale 1) to take them for intensities",
        )
    pyfeat = TABLES["pyfeat"]
    if table.name == "csv" and any(mark in names for mark in pyfeat.marks):
        return (
            "the columns are py-feat's, whose values are probabilities; say format pyfeat "
            "(--format pyfeat) to take them for occurrences and not for intensities",
        )
    return ()


def _say_unread(table: TableFormat, names: Iterable[str], reading: Reading) -> tuple[str, ...]:
    """Name the AUs of a table that are not read."""
    valued: set[int] = set()
    others: dict[int, str] = {}
    for name in names:
        if (found := _ANY_AU.fullmatch(name)) is None:
            continue
        if _is_au(table, name):
            valued.add(int(found["number"]))
        else:
            others[int(found["number"])] = name
    notes = list(say_unread((f"AU{number}" for number in sorted(valued)), reading.aus))
    if alone := sorted(others.keys() - valued):
        columns = first_few([others[number] for number in alone], _SHOWN)
        aus = ", ".join(f"AU{number}" for number in alone)
        notes.append(f"{aus}: columns of occurrence alone ({columns}), left out")
    return tuple(notes)


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
    fit = "fit the prior 'emotions' to their shares (synthgen prior fit --format emotions)"
    if is_fer2013(names):
        return (
            f"{excerpt(path)} holds pixels and emotions, as FER2013's table does, and no AUs; "
            f"measure its images with OpenFace or LibreFace first and give their table, or {fit}"
        )
    said = (
        f"{excerpt(path)}, line 1: no column is one of the {len(aus)} AUs; format {table.name!r} "
        f"wants columns such as {table.example}"
    )
    others = [one for one in _BY_CLEARNESS if one is not table and one.marks <= set(names)]
    for other in others:
        if any(
            (found := other.column.fullmatch(name)) and f"AU{int(found[1])}" in aus
            for name in names
        ):
            return f"{said}; its columns are those of format {other.name!r}"
    emotions = emotion_column(names)
    return f"{said}; if its column {emotions} holds emotions, {fit}" if emotions else said


_BY_CLEARNESS = tuple(TABLES[name] for name in ("openface", "libreface", "pyfeat", "csv"))
