"""Rows of a label table that name a picture each: its AUs, and what else the table says of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from samplers.priors.labels.columns import TABLES, Columns, find_columns
from samplers.priors.labels.dialect import open_rows, read_cell, read_intensity
from samplers.priors.labels.scales import (
    Scale,
    Survey,
    say_clamped,
    say_scale,
    to_intensities,
)
from samplers.priors.labels.source import Reading, labels_sha256
from samplers.priors.labels.tables import describe_faults
from synthgen.errors import LabelsError
from synthgen.foreign import counted, excerpt

NAMES_OF_PICTURES = ("image", "file", "filename", "file_name", "image_path", "path", "picture")
"""Columns that may name pictures, in any case; of several the first is taken."""

_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class PictureRow:
    """A row of the table.

    Attributes:
        line: its line in the file, from 1.
        picture: name of the picture, as the table writes it.
        aus: intensities [0–5]; None where `why` says why there are none.
        why: why the row has no labels, or None.
        texts: further column that was asked for → its text without blanks around.
    """

    line: int
    picture: str
    aus: tuple[float, ...] | None
    why: str | None
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PictureTable:
    """A label table whose rows name pictures.

    Attributes:
        rows: the rows, in the table's order.
        sha256: checksum of the file.
        notes: what was assumed, a sentence each.
    """

    rows: Sequence[PictureRow]
    sha256: str
    notes: tuple[str, ...]


def read_picture_table(
    path: Path,
    layout: str,
    reading: Reading,
    *,
    picture: str | None = None,
    texts: Sequence[str] = (),
    absent: Sequence[str] = (),
) -> PictureTable:
    """Read a table of labelled pictures, a row each.

    Args:
        path: the table: CSV of any dialect that `samplers.priors.labels` reads.
        layout: one of `TABLES`.
        reading: scale, missing codes and sides.
        picture: column that names the pictures; None: one of `NAMES_OF_PICTURES`.
        texts: further columns to keep.
        absent: AUs of which the user says that no picture shows them, where no column does.

    Raises:
        LabelsError: if the file is no such table, lacks a column or an AU, names a picture twice,
            codes occurrence alone, or holds values outside of its scale.
    """
    table = TABLES[layout]
    columns = find_columns(path, table, {}, None, reading)
    names = _column(path, columns, picture, NAMES_OF_PICTURES, "pictures", "--picture-column")
    others = {name: _column(path, columns, name, (), "", "") for name in texts}
    _refuse_unknown(path, columns, reading, absent)
    found = [_Raw(*row) for row in _rows(path, columns, reading, names, others)]
    _refuse_double(path, found)
    values = np.array([row.values for row in found]).reshape(len(found), len(reading.aus))
    known = np.array([au in columns.aus for au in reading.aus.names])
    scale, notes = _settle(path, columns, reading, values[:, known], table.writes_levels)
    values[:, ~known] = 0.0
    intensities = to_intensities(values.astype(np.float32), scale)
    rows = [
        _finished(row, vector, reading)
        for row, vector in zip(found, intensities.tolist(), strict=True)
    ]
    said = tuple(f"{excerpt(path.name)}: {note}" for note in (*columns.notes, *notes))
    return PictureTable(rows, labels_sha256(path, [path]), said)


@dataclass(frozen=True, slots=True)
class _Raw:
    line: int
    picture: str
    values: Float64[np.ndarray, " aus"]
    failed: bool
    texts: Mapping[str, str]


def _rows(
    path: Path, columns: Columns, reading: Reading, picture: str, texts: Mapping[str, str]
) -> Iterator[tuple[int, str, np.ndarray, bool, dict[str, str]]]:
    """Yield the rows as they are written; gaps are NaN."""
    places = {name: place for place, name in enumerate(columns.header)}
    with open_rows(path, columns.dialect) as lines:
        next(lines)
        for line, cells in lines:
            if not cells:
                continue
            if len(cells) != len(columns.header):
                raise _malformed(path, columns, reading)
            values = np.full(len(reading.aus), np.nan)
            for au, names in columns.aus.items():
                numbers = [_number(cells[places[name]], reading) for name in names]
                if None in numbers:
                    raise _malformed(path, columns, reading)
                both = np.array(numbers, float)
                joined = both.max() if reading.sides == "max" else both.mean()
                values[reading.aus.index(au)] = joined
            success = columns.success and read_cell(cells[places[columns.success]])
            said = {name: cells[places[column]].strip() for name, column in texts.items()}
            failed = columns.success is not None and success != 1
            yield line, cells[places[picture]].strip(), values, failed, said


def _number(cell: str, reading: Reading) -> float | None:
    number = read_intensity(cell, reading.missing_texts)
    return np.nan if number in reading.missing else number


def _malformed(path: Path, columns: Columns, reading: Reading) -> LabelsError:
    text = describe_faults(path, columns, reading, reading.scale)
    return LabelsError(text or f"{excerpt(path)} changed while it was read")


def _finished(row: _Raw, intensities: Sequence[float], reading: Reading) -> PictureRow:
    gaps = [au for au, one in zip(reading.aus.names, intensities, strict=True) if one != one]
    why = None
    if row.failed:
        why = "the table says success 0: no face was found"
    elif gaps:
        why = f"{', '.join(gaps)} not coded"
    aus = None if why else tuple(intensities)
    return PictureRow(row.line, row.picture, aus, why, row.texts)


def _column(
    path: Path,
    columns: Columns,
    asked: str | None,
    usual: Sequence[str],
    what: str,
    option: str,
) -> str:
    """Return a column as the file writes it, by its name or one of the usual names."""
    by_name = {name.strip(): name for name in reversed(columns.header)}
    header = ", ".join(excerpt(name.strip(), 40) for name in columns.header[:20])
    if asked is not None:
        if asked not in by_name:
            raise LabelsError(
                f"{excerpt(path)}, line 1: there is no column {excerpt(asked, 60)!r}; it has "
                f"{header}"
            )
        return by_name[asked]
    lowered = {name.lower(): column for name, column in by_name.items()}
    found = next((lowered[name] for name in usual if name in lowered), None)
    if found is None:
        raise LabelsError(
            f"{excerpt(path)}, line 1: no column names the {what} ({', '.join(usual)}); say which "
            f"does ({option}); it has {header}"
        )
    return found


def _refuse_unknown(path: Path, columns: Columns, reading: Reading, absent: Sequence[str]) -> None:
    if missing := [au for au in reading.aus.without(columns.aus) if au not in absent]:
        raise LabelsError(
            f"{excerpt(path)}: no column is {', '.join(missing)}, and a picture without a label is "
            f"none that lacks the AU; say so if none shows it (--absent {','.join(missing)})"
        )
    for au in absent:
        if au in columns.aus:
            raise LabelsError(f"{excerpt(path)}: --absent names {au}, which has a column")


def _refuse_double(path: Path, rows: Sequence[_Raw]) -> None:
    first: dict[str, int] = {}
    for row in rows:
        if (line := first.setdefault(row.picture, row.line)) != row.line:
            raise LabelsError(
                f"{excerpt(path)}, lines {line} and {row.line} both name "
                f"{excerpt(row.picture, 80)!r}; a picture has one row"
            )


def _settle(
    path: Path,
    columns: Columns,
    reading: Reading,
    values: Float64[np.ndarray, "rows aus"],
    levels: bool,
) -> tuple[Scale, list[str]]:
    """Return the scale of the values, and what is to be said of it."""
    survey = Survey(values.shape[1])
    for start in range(0, len(values), _BLOCK):
        survey.add(values[start : start + _BLOCK])
    found = survey.found()
    scale: Scale = reading.scale or (5 if levels else found) or 5
    if columns.probabilities or scale == "occurrence":
        raise LabelsError(
            f"{excerpt(path)}: it codes whether AUs are there, 0 or 1, and training needs "
            "intensities; --scale 5 takes the values for intensities"
        )
    if not survey.fits(scale):
        text = describe_faults(path, columns, reading, scale)
        raise LabelsError(text or f"{excerpt(path)} changed while it was read")
    notes = [] if reading.scale or levels or found is None else [say_scale(scale, survey.high)]
    if survey.clamped(scale):
        notes.append(say_clamped(survey, scale))
    if missing := int(np.isnan(values).any(axis=1).sum()):
        notes.append(f"{counted(missing, 'row')} without a value for some AU")
    return scale, notes
