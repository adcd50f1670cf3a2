"""Banks of FLAME numbers that users have, with AUs beside them; what is assumed of them is told."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32

from samplers.flame.bank import Bank, BankAbout
from samplers.flame.expression import EXPRESSION, EYELIDS, FLAME_WIDTH, JAW, SIDEWAYS, flame_batch
from samplers.flame.tables import ALONE, read_columns
from samplers.priors.labels.scales import (
    Survey,
    allowed,
    misfits,
    say_clamped,
    say_scale,
    to_intensities,
)
from synthgen.action_units import DEFAULT_AUS, FACS, ActionUnitSet
from synthgen.errors import ActionUnitError, BankError
from synthgen.foreign import counted, excerpt, first_few, shown

_FLAME = ("flame", "flame_vector", "flame_params")
_PARTS: dict[str, tuple[slice, tuple[str, ...]]] = {
    "expression": (EXPRESSION, ("expression", "expression_params", "expr", "exp")),
    "eyelids": (EYELIDS, ("eyelids", "eyelid", "eyelid_params")),
    "jaw": (JAW, ("jaw", "jaw_params", "jaw_pose")),
}
"""Part of an expression → its place among the 55, and names that people give it."""

_AUS = ("aus", "au", "aus_measured", "action_units")
_AU_NAMES = ("action_units", "au_names")
_AU_COLUMN = re.compile(
    r"au[ _-]?0*(?P<number>[1-9]\d?)(?P<ending>_measured|_intensity|_r)?", re.IGNORECASE
)
_ENDINGS = ("_measured", "_intensity", "_r", "")
"""Endings of columns of AUs: those of the first that there is are taken, and no others."""

_SOURCES = ("source", "flame_source", "sha256")
_QUALITIES = ("quality", "confidence", "score")
_SHA256 = re.compile(r"[0-9a-f]{64}")

_LARGEST = 100
"""Largest coefficient of an expression [standard deviations]; faces have a few."""


@dataclass(slots=True)
class _Columns:
    """Columns of a file, and what was assumed of them.

    Attributes:
        where: the file.
        values: name → numbers or texts of each row.
        notes: what was assumed, a sentence each.
    """

    where: str
    values: Mapping[str, np.ndarray]
    notes: list[str] = field(default_factory=list)

    @property
    def listed(self) -> str:
        """The columns by name."""
        return excerpt(", ".join(name or "one array" for name in self.values))

    def vectors(self, names: Sequence[str]) -> tuple[str, np.ndarray] | None:
        """Return the first array of vectors that has one of some names, and its name."""
        for name in names:
            values = self.values.get(name)
            if values is not None and values.ndim == 2 and values.dtype.kind in "fiu":
                return repr(name), values
        return None

    def numbered(self, names: Sequence[str]) -> tuple[str, np.ndarray] | None:
        """Return columns such as `exp_0`, `exp_1`, … together, and their names."""
        pattern = re.compile(rf"(?:{'|'.join(names)})[ _.-]?0*(\d+)", re.IGNORECASE)
        found: dict[int, str] = {}
        for name, values in self.values.items():
            if values.ndim == 1 and (match := pattern.fullmatch(name)):
                found[int(match[1])] = name
        places = sorted(found)
        if len(places) < 2 or places != list(range(places[0], places[0] + len(places))):
            return None
        columns = [found[place] for place in places]
        return f"{columns[0]} to {columns[-1]}", np.column_stack([self.values[c] for c in columns])

    def texts(self, names: Sequence[str]) -> list[str] | None:
        """Return the first column of texts that has one of some names."""
        for name in names:
            values = self.values.get(name)
            if values is not None and values.ndim == 1 and values.dtype.kind == "U":
                return [str(value) for value in values.tolist()]
        return None


def import_bank(
    path: str | Path,
    *,
    aus: str | Path | None = None,
    action_units: Sequence[str] | None = None,
    scale: Literal[5, 1, 100] | None = None,
    extractor: str | None = None,
    measurer: str | None = None,
    licence: str | None = None,
) -> tuple[Bank, list[str]]:
    """Make a bank of FLAME numbers with AUs beside them.

    Args:
        path: `.npz`, `.npy`, `.csv` or `.parquet`. FLAME numbers are an array `flame` of 55, or
            `expression` (50), `eyelids` (2) and `jaw` (3), or numbered columns of these names.
        aus: another file that holds the AUs, a row for each row of the first; None: the same file.
        action_units: AUs of an array that does not name them, in its order.
        scale: AUs run from 0 to this number; None: found from the values.
        extractor: network that read the FLAME numbers; None: taken to be SMIRK.
        measurer: network, or people, that measured the AUs.
        licence: licence of the numbers.

    Returns:
        The bank, and what was assumed, a sentence each.

    Raises:
        BankError: if a file cannot be read, holds no AUs, or lengths or values are not those of a
            bank.
    """
    found = _Columns(excerpt(path), read_columns(Path(path)))
    beside = None if aus is None else _Columns(excerpt(aus), read_columns(Path(aus)))
    flame, rest = _flame(found, action_units, alone=beside is not None)
    numbers = flame_batch(flame, found.where)
    if not len(numbers):
        raise BankError(f"{found.where} holds no rows; a bank has a face at least")
    if rest is not None:
        beside = _Columns(found.where, {ALONE: rest})
    given = found if beside is None else beside
    names, values = _aus(given, action_units, alone=beside is not None)
    if len(values) != len(numbers):
        raise BankError(
            f"{given.where} holds AUs of {len(values):,} rows, and {found.where} FLAME numbers of "
            f"{len(numbers):,}; row by row they must belong together"
        )
    measured = _intensities(given, names, values, scale)
    notes = found.notes + (given.notes if given is not found else [])
    notes += _say_ranges(found.where, numbers)
    sources = _sources(found, numbers, measured, notes)
    rows = _first_of_each(sources, numbers, measured)
    if len(rows) < len(numbers):
        again = len(numbers) - len(rows)
        same = counted(again, "row is", "rows are")
        notes.append(f"{same} the same as earlier ones; one of each is kept")
    if not extractor:
        notes.append(
            "the FLAME numbers are taken to be SMIRK's (--extractor names another network)"
        )
    quality = _quality(found, len(numbers), notes)
    bank = Bank.build(
        numbers[rows],
        measured[rows],
        ActionUnitSet.of(names),
        [sources[row] for row in rows],
        BankAbout(
            extractor=extractor or "smirk",
            measurer=measurer or "not known",
            licences={"FLAME numbers and AUs": licence or "not stated"},
            text="imported",
        ),
        None if quality is None else quality[rows],
        found.where,
    )
    return bank, notes


def _flame(
    found: _Columns, action_units: Sequence[str] | None, alone: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the FLAME numbers, and the AUs that stand behind them in one array."""
    chosen = found.vectors(_FLAME) or found.numbered(_FLAME) or _parts(found)
    if chosen is None and (lone := found.vectors((ALONE,))) is not None:
        chosen = "the array", lone[1]
    if chosen is None:
        raise BankError(
            f"{found.where} has no FLAME numbers; they are an array 'flame' of {FLAME_WIDTH}, or "
            f"'expression' (50), 'eyelids' (2) and 'jaw' (3), and it has {found.listed}"
        )
    name, values = chosen
    order = "50 expression, 2 eyelids, 3 jaw"
    known = list(action_units or DEFAULT_AUS.names)
    if ALONE in found.values and not alone and values.shape[1] == FLAME_WIDTH + len(known):
        found.notes.append(
            f"the first {FLAME_WIDTH} columns are taken for FLAME numbers ({order}), the other "
            f"{len(known)} for AUs"
        )
        return values[:, :FLAME_WIDTH], values[:, FLAME_WIDTH:]
    found.notes.append(f"FLAME numbers: {excerpt(name)}, in this order: {order}")
    return values, None


def _parts(found: _Columns) -> tuple[str, np.ndarray] | None:
    """Put expression, eyelids and jaw together, where they stand apart."""
    parts = {
        part: found.vectors(names) or found.numbered(names) for part, (_, names) in _PARTS.items()
    }
    if all(value is None for value in parts.values()):
        return None
    for part, (place, _) in _PARTS.items():
        wanted = place.stop - place.start
        width = 0 if (value := parts[part]) is None else value[1].shape[1]
        if width != wanted:
            raise BankError(
                f"{found.where} has {width or 'no'} numbers of {part!r}; FLAME numbers are 50 of "
                f"'expression', 2 of 'eyelids' and 3 of 'jaw', and it has {found.listed}"
            )
    given = [value for value in parts.values() if value is not None]
    rows = {len(values) for _, values in given}
    if len(rows) > 1:
        raise BankError(
            f"{found.where} has expression, eyelids and jaw of {', '.join(map(str, sorted(rows)))} "
            "rows; there must be as many of each"
        )
    return ", ".join(name for name, _ in given), np.hstack([values for _, values in given])


def _aus(
    found: _Columns, action_units: Sequence[str] | None, alone: bool
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the AUs of a file: their names, and what was measured."""
    chosen = found.vectors(_AUS)
    if chosen is None and alone:
        chosen = found.vectors((ALONE,))
    if chosen is None:
        return _au_columns(found)
    values = chosen[1]
    names = found.texts(_AU_NAMES) or (list(action_units) if action_units else None)
    if names is None and values.shape[1] == len(DEFAULT_AUS):
        names = list(DEFAULT_AUS.names)
        found.notes.append(
            f"AUs: nothing names the {len(names)}, so they are taken to be {', '.join(names)}, in "
            "this order (--action-units names others)"
        )
    if names is None or len(names) != values.shape[1]:
        named = "nothing names them" if names is None else f"{len(names)} are named"
        raise BankError(
            f"{found.where} holds {values.shape[1]} AUs a row, and {named}; name each in its order "
            "(--action-units AU1,AU2,…, or texts 'action_units' in the file)"
        )
    try:
        return tuple(f"AU{int(re.sub(r'(?i)au[ _-]?', '', name))}" for name in names), values
    except ValueError as error:
        raise BankError(
            f"{found.where}: {shown(names)} are no AUs; each is one such as AU12"
        ) from error


def _au_columns(found: _Columns) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the columns that are called after AUs."""
    kinds: dict[str, dict[str, str]] = {ending: {} for ending in _ENDINGS}
    for column, values in found.values.items():
        match = _AU_COLUMN.fullmatch(column)
        if match is None or values.ndim != 1 or values.dtype.kind not in "fiu":
            continue
        name, ending = f"AU{match['number']}", (match["ending"] or "").lower()
        if name not in FACS:
            found.notes.append(f"column {column} is left out: FACS has no {name} of the face")
        elif name in kinds[ending]:
            raise BankError(f"{found.where}: {kinds[ending][name]} and {column} are the same AU")
        else:
            kinds[ending][name] = column
    columns = next((named for named in kinds.values() if named), None)
    if columns is None:
        raise BankError(
            f"{found.where} holds no AUs, and a bank without AUs is of no use; it has "
            f"{found.listed}: add columns such as AU12, or give a file of AUs by --aus"
        )
    found.notes.append(f"AUs: {first_few(list(columns.values()), 50)}")
    return tuple(columns), np.column_stack([found.values[c] for c in columns.values()])


def _intensities(
    found: _Columns,
    names: tuple[str, ...],
    values: np.ndarray,
    scale: Literal[5, 1, 100] | None,
) -> Float32[np.ndarray, "rows aus"]:
    """Return intensities [0–5], in the order of FACS's numbers."""
    try:
        order = ActionUnitSet.of(names)
    except ActionUnitError as error:
        raise BankError(f"{found.where}: {error}") from error
    numbers = values.astype(np.float64)[:, [names.index(name) for name in order.names]]
    for row, au in np.argwhere(~np.isfinite(numbers))[:1].tolist():
        raise BankError(
            f"{found.where}: row {row} (from 0) has {order.names[au]} at {numbers[row, au]}; every "
            "number must be finite"
        )
    survey = Survey(len(order))
    survey.add(numbers)
    told = survey.found() if scale is None else scale
    if told is None or told == "occurrence":
        raise BankError(
            f"{found.where}: {'no AU is above 0' if told is None else 'all AUs are 0 or 1'}, which "
            "says nothing of intensities; a bank needs them (--scale 5 takes the values as they "
            "are)"
        )
    for row, au in np.argwhere(misfits(numbers, told))[:1].tolist():
        raise BankError(
            f"{found.where}: row {row} (from 0) has {order.names[au]} at {numbers[row, au]:g}; on "
            f"the scale 0–{told} it must be {allowed(told)}"
        )
    if scale is None:
        found.notes.append(f"AUs: {say_scale(told, survey.high, '--scale')}")
    if survey.clamped(told):
        found.notes.append(f"AUs: {say_clamped(survey, told)}")
    return to_intensities(numbers.astype(np.float32), told)


def _say_ranges(where: str, numbers: np.ndarray) -> list[str]:
    """Tell of eyelids and jaws that SMIRK never gives; refuse what no face has.

    Raises:
        BankError: if a coefficient is of another scale, or the jaw turns further than radians can
            mean.
    """
    jaw, eyelids = numbers[:, JAW], numbers[:, EYELIDS]
    if (largest := float(np.abs(numbers[:, EXPRESSION]).max())) > _LARGEST:
        raise BankError(
            f"{where}: the expression's coefficients reach {largest:.3g}; they are standard "
            f"deviations, the first 50 of the {FLAME_WIDTH}, and at most {_LARGEST} is taken"
        )
    if (furthest := float(np.abs(jaw).max())) > np.pi:
        raise BankError(
            f"{where}: the jaw turns by up to {furthest:.3g}; its 3 numbers, the last of the "
            f"{FLAME_WIDTH}, are radians"
        )
    told = {
        "eyelids outside [0, 1]": ((eyelids < 0) | (eyelids > 1)).any(axis=1),
        "a jaw that opens below 0": jaw[:, 0] < 0,
        f"a jaw beyond {SIDEWAYS:g} to the side": (np.abs(jaw[:, 1:]) > SIDEWAYS + 1e-6).any(
            axis=1
        ),
    }
    return [
        f"{int(rows.sum()):,} of {len(numbers):,} rows have {what}, which SMIRK never gives; they "
        "are kept as they are"
        for what, rows in told.items()
        if rows.any()
    ]


def _sources(
    found: _Columns, numbers: np.ndarray, measured: np.ndarray, notes: list[str]
) -> list[str]:
    """Return the checksum that each row is called by: that of its picture, or of its numbers."""
    given = found.texts(_SOURCES)
    if given is not None and len(given) == len(numbers) and all(map(_SHA256.fullmatch, given)):
        return given
    why = "nothing gives" if given is None else "'source' does not hold"
    notes.append(
        f"{why} the sha256 of each picture, so that rows are called by that of their numbers"
    )
    rows = zip(numbers, measured, strict=True)
    return [sha256(flame.tobytes() + aus.tobytes()).hexdigest() for flame, aus in rows]


def _first_of_each(sources: Sequence[str], numbers: np.ndarray, measured: np.ndarray) -> list[int]:
    seen: dict[tuple[str, bytes, bytes], int] = {}
    for row, source in enumerate(sources):
        seen.setdefault((source, numbers[row].tobytes(), measured[row].tobytes()), row)
    return list(seen.values())


def _quality(found: _Columns, rows: int, notes: list[str]) -> np.ndarray | None:
    for name in _QUALITIES:
        values = found.values.get(name)
        if values is not None and values.shape == (rows,) and values.dtype.kind in "fiu":
            notes.append(f"quality: {name!r}")
            return values
    return None
