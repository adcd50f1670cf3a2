"""The people in a file of face embeddings: columns that name them, and those that may."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from synthgen.errors import StoreError
from synthgen.foreign import excerpt

ID_NAMES = ("identity_id", "identity_ids")
"""Names of the column of people in the project's own files; they settle who is who."""

_PERSON = {
    f"{thing}{kind}{many}"
    for thing in ("person", "identity", "subject")
    for kind in ("", "id", "name")
    for many in ("", "s")
} | {"people", "identities"}
_GENERAL = {"label", "labels", "name", "names", "id", "ids"}
_FILES = (
    {
        f"{thing}{kind}{many}"
        for thing in ("", "file", "image", "img", "photo", "picture")
        for kind in ("", "name", "path", "file", "url")
        for many in ("", "s")
    }
    - _GENERAL
    - {"", "s"}
)
_PICTURE = re.compile(r"\.(bmp|gif|jpe?g|png|tiff?|webp)$", re.IGNORECASE)

_SHOWN = 6

HOW_TO_SAY = (
    "name the column of people (synthgen faces import --people COLUMN, or identities.people in a "
    "configuration), or say that each row shows another person (--one-face-each, or "
    "identities.one_face_each: true)"
)

Columns = Mapping[str, Sequence[object] | np.ndarray]
"""Columns beside the embeddings, by name."""

Kind = Literal["person", "general", "file", "other"]


@dataclass(frozen=True, slots=True)
class Naming:
    """The user's word on who is who in a file.

    Attributes:
        people: the column of people; None: the one of a known name.
        one_face_each: whether each row shows another person, whatever columns there are.
    """

    people: str | None = None
    one_face_each: bool = False


FIND_OUT = Naming()
"""The user says nothing: known names are people, and whatever is unsure is asked."""


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    kind: Kind
    values: Sequence[str]

    @property
    def groups(self) -> Sequence[str]:
        """The person of each row, were this the column of people."""
        if self.kind != "file":
            return self.values
        return _folders(self.values) or self.values

    def cut(self) -> tuple[int, ...]:
        """Return which rows are together, as the number of the group of each."""
        first: dict[str, int] = {}
        return tuple(first.setdefault(value, len(first)) for value in self.groups)


def is_picture(name: str) -> bool:
    """Return whether a name is that of a file of a picture."""
    return _PICTURE.search(name) is not None


def names_people(name: str, *, files: bool = False) -> bool:
    """Return whether a column of this name holds people.

    Args:
        name: name of the column.
        files: whether one of file names counts, too.
    """
    return _known(name) in (("person", "general", "file") if files else ("person", "general"))


def settled_names(names: Sequence[str], naming: Naming) -> list[str] | None:
    """Return the columns that say for sure who is who; None where all must be looked at.

    Args:
        names: the columns of a file.
        naming: what the user says.
    """
    if naming.one_face_each:
        return []
    if naming.people is not None:
        return [naming.people]
    own = [name for name in ID_NAMES if name in names]
    return own[:1] or None


def people_of(columns: Columns, rows: int, naming: Naming, where: str) -> list[str] | None:
    """Return the person of each row; None where nothing names anybody.

    A column of a known name holds people. Where several do and part the rows otherwise, or a
    column of text or integers may do, nothing is guessed.

    Args:
        columns: what stands beside the embeddings, one value a row.
        rows: rows of the file.
        naming: what the user says.
        where: the file, for sentences.

    Raises:
        StoreError: if it is not sure who is who, or the column of people cannot be one.
    """
    settled = settled_names(list(columns), naming)
    if settled == []:
        return None
    if settled is not None:
        return _named(columns, settled[0], rows, naming, where)
    found = list(_candidates(columns, rows, where))
    sure = [column for column in found if column.kind == "person"]
    general = [column for column in found if column.kind == "general"]
    known = [*sure, *general]
    if not known:
        _refuse_other_length(columns, rows, where)
        _refuse_pickled(columns, rows, where)
        if found:
            raise StoreError(_unsure(found, rows, where))
        return None
    rivals = known if sure else [column for column in found if _may_rival(column)]
    if len({column.cut() for column in rivals}) > 1:
        raise StoreError(_unsure(rivals, rows, where))
    return list(known[0].values)


def texts_of(values: Sequence[object] | np.ndarray) -> list[str] | None:
    """Return one text a row; None where the values are no texts and no whole numbers."""
    if not isinstance(values, np.ndarray):
        return ["" if value is None else str(value) for value in values]
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or values.dtype.kind not in "iufUS":
        return None
    if values.dtype.kind == "f":
        if not np.isfinite(values).all() or (values % 1).any() or (abs(values) > 2**53).any():
            return None
        values = values.astype(np.int64)
    if values.dtype.kind == "S":
        return [value.decode("utf-8", "backslashreplace") for value in values.tolist()]
    return [str(value) for value in values.tolist()]


def _named(
    columns: Columns,
    name: str,
    rows: int,
    naming: Naming,
    where: str,
) -> list[str]:
    if name not in columns:
        raise StoreError(
            f"{where} has no column {excerpt(name)!r} of people; beside the embeddings it has "
            f"{_listed(columns)}"
        )
    _refuse_pickled({name: columns[name]}, rows, where)
    values = texts_of(columns[name])
    if values is None:
        _refuse_gaps(columns[name], name, where)
        raise StoreError(
            f"{where}: {excerpt(name)!r} cannot name people; it must hold one text or one whole "
            "number a row"
        )
    if len(values) != rows:
        raise StoreError(_other_length(name, len(values), rows, where))
    _refuse_empty(columns[name], name, where)
    _refuse_blanks(values, name, where)
    if naming.people is None or _kind(name, values) != "file":
        return values
    folders = _folders(values)
    if folders is None:
        raise StoreError(
            f"{where}: {excerpt(name)!r} holds file names such as {excerpt(values[0], 60)!r}, and "
            "a file name is not a person; a folder of each person's own would be: give a column "
            "that holds people, or say that each row shows another person (--one-face-each, or "
            "identities.one_face_each: true)"
        )
    return folders


def _candidates(columns: Columns, rows: int, where: str) -> Iterator[_Column]:
    for name, given in columns.items():
        values = texts_of(given)
        known = _known(name)
        if known in ("person", "general"):
            _refuse_pickled({name: given}, rows, where)
        if values is None and known in ("person", "general"):
            _refuse_gaps(given, name, where)
        if values is None or len(values) != rows:
            continue
        if isinstance(given, np.ndarray) and given.dtype.kind == "f" and known is None:
            continue
        kind = _kind(name, values)
        if kind in ("person", "general"):
            _refuse_empty(given, name, where)
            _refuse_blanks(values, name, where)
        yield _Column(name, kind, values)


def _may_rival(column: _Column) -> bool:
    """Return whether a column stands against one of a general name such as `label`."""
    return column.kind != "file" or _folders(column.values) is not None


def _kind(name: str, values: Sequence[str]) -> Kind:
    known = _known(name)
    if known == "file" or (values and all(map(is_picture, values))):
        return "file"
    return known or "other"


def _known(name: str) -> Kind | None:
    plain = re.sub(r"[^a-z0-9]", "", name.casefold())
    kinds: dict[Kind, set[str]] = {"person": _PERSON, "general": _GENERAL, "file": _FILES}
    return next((kind for kind, names in kinds.items() if plain in names), None)


def _folders(names: Sequence[str]) -> list[str] | None:
    """Return the folder of each file below the folder that all share; None where that is unsure.

    It is sure where each file lies in one folder below the shared one, and there are two or more.
    """
    parts = [re.split(r"[/\\]", name) for name in names]
    if len({len(part) for part in parts}) != 1 or len(parts[0]) < 2:
        return None
    folders = [part[:-1] for part in parts]
    shared = next(
        (place for place in range(len(folders[0])) if len({part[place] for part in folders}) > 1),
        None,
    )
    if shared is None or shared != len(folders[0]) - 1:
        return None
    return [part[-1] for part in folders]


def _refuse_empty(values: Sequence[object] | np.ndarray, name: str, where: str) -> None:
    if isinstance(values, np.ndarray):
        return
    for row, value in enumerate(values):
        if value is None:
            raise StoreError(f"{where}: row {row} (from 0) is empty in column {excerpt(name)!r}")


def _refuse_gaps(values: Sequence[object] | np.ndarray, name: str, where: str) -> None:
    """Refuse whole numbers with gaps, which pandas keeps as floating-point numbers and NaN."""
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f" or values.size != len(values):
        return
    gaps = np.isnan(values.reshape(-1))
    told = values.reshape(-1)[~gaps]
    if gaps.any() and np.isfinite(told).all() and not (told % 1).any():
        row = int(gaps.argmax())
        raise StoreError(f"{where}: row {row} (from 0) is empty in column {excerpt(name)!r}")


def _refuse_blanks(values: Sequence[str], name: str, where: str) -> None:
    """Refuse one person's name written with blanks at its ends and without."""
    seen: dict[str, str] = {}
    for value in values:
        other = seen.setdefault(value.strip(), value)
        if other != value:
            raise StoreError(
                f"{where}: {excerpt(repr(other), 60)} and {excerpt(repr(value), 60)} in column "
                f"{excerpt(name)!r} differ in blanks at their ends alone; write them alike"
            )


def _refuse_other_length(columns: Columns, rows: int, where: str) -> None:
    """Refuse people of another number than rows where nothing else names people."""
    for name, given in columns.items():
        values = texts_of(given)
        if _known(name) in ("person", "general") and values is not None and len(values) != rows:
            raise StoreError(_other_length(name, len(values), rows, where))


def _other_length(name: str, values: int, rows: int, where: str) -> str:
    return f"{where} holds {rows} embeddings and {values} {excerpt(name)}; there must be as many"


def _refuse_pickled(columns: Columns, rows: int, where: str) -> None:
    for name, given in columns.items():
        if isinstance(given, np.ndarray) and given.dtype.kind == "O" and given.shape[:1] == (rows,):
            raise StoreError(
                f"{where}: {excerpt(name)!r} holds Python objects, which are pickles and not "
                "opened; save it as text or as integers, or say that each row shows another "
                "person (--one-face-each, or identities.one_face_each: true)"
            )


def _unsure(found: Sequence[_Column], rows: int, where: str) -> str:
    files = [column for column in found if column.kind == "file"]
    hint = "; a file name is not a person" if files else ""
    if files and _folders(files[0].values):
        hint += f", but if {excerpt(files[0].name, 40)!r} is named, the folder of each file is"
    told = [
        f"{excerpt(column.name, 40)!r} has {len(set(column.values))} different values"
        for column in found[:_SHOWN]
    ]
    more = [f"{len(found) - _SHOWN} more columns"] if len(found) > _SHOWN else []
    return (
        f"{where} does not say for sure who is who: over its {rows} rows "
        f"{' and '.join([*told, *more])}{hint}; {HOW_TO_SAY}"
    )


def _listed(columns: Mapping[str, object]) -> str:
    return excerpt(", ".join(columns)) or "nothing"
