"""Tables of emotions: one row for each image, a column that names its category or numbers it.

AffectNet (Mollahosseini, Hasani & Mahoor, 2017) numbers its column `expression` from 0 to 10,
FER2013 (Goodfellow et al., 2013) its column `emotion` from 0 to 6, in another order.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from samplers.priors.emotions import prototype_table, why_impossible
from samplers.priors.labels.dialect import NO_VALUE, files_below, open_rows, read_dialect, say_aside
from samplers.priors.labels.source import labels_sha256
from synthgen.errors import LabelsError
from synthgen.foreign import counted, excerpt, first_few

COLUMNS = (
    "expression", "emotion", "emotion_name", "expression_name", "facial_expression", "label",
    "emotion_label", "category", "class",
)  # fmt: skip
"""Names of columns of emotions, in any case; of several the first that can be read is taken."""

CODES: Mapping[str, Mapping[int, str]] = {
    "affectnet": {
        0: "neutral", 1: "happy", 2: "sad", 3: "surprised", 4: "fearful", 5: "disgusted",
        6: "angry", 7: "contempt", 8: "none", 9: "uncertain", 10: "no face",
    },
    "fer2013": {
        0: "angry", 1: "disgusted", 2: "fearful", 3: "happy", 4: "sad", 5: "surprised",
        6: "neutral",
    },
}  # fmt: skip
"""Whose numbers → number → category, or why there is none."""

EMOTION_FORMATS = ("emotions", *CODES)
"""Names of the formats: `emotions` finds out by itself whose numbers they are."""

_OWNERS = {"affectnet": "AffectNet", "fer2013": "FER2013"}

_MARKS = {
    "affectnet": {"valence", "arousal", "facial_landmarks", "subdirectory_filepath"},
    "fer2013": {"pixels", "usage"},
}
"""Whose numbers → further columns of theirs, in lower case."""

_WORDS = {
    "happy": ("happiness", "joy", "joyful", "happily"),
    "sad": ("sadness",),
    "surprised": ("surprise",),
    "fearful": ("fear", "afraid", "scared"),
    "disgusted": ("disgust",),
    "angry": ("anger",),
    "neutral": ("neutrality", "no emotion"),
    "contempt": ("contemptuous",),
    "awed": ("awe",),
    "hatred": ("hate",),
}
"""Category → further words for it."""

_BY_WORD = {word: name for name, words in _WORDS.items() for word in words}

_NAMED = 5
"""Unknown labels that a note names."""


@dataclass(frozen=True, slots=True)
class EmotionLabels:
    """Emotions of a table, or of those of a folder.

    Attributes:
        root: the file or folder.
        files: the tables.
        how: the column, and whose numbers it holds if it holds any.
        counts: category → rows, in the order of the prior's table.
        notes: how it was read and what was left out, a sentence each.
    """

    root: Path
    files: tuple[Path, ...]
    how: str
    counts: Mapping[str, int]
    notes: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Rows that have a category."""
        return sum(self.counts.values())

    def sha256(self) -> str:
        """Return the checksum of a file; for a folder that of its files' names and checksums."""
        return labels_sha256(self.root, self.files)


def emotion_column(header: Sequence[str]) -> str | None:
    """Return the first column of a table that may hold emotions, or None."""
    return next(iter(_candidates(header)), None)


def emotion_word(label: str) -> str:
    """Return the category that a word means, in any case: `Happiness` is happy.

    Other words stay, in lower case and with blanks between their parts.
    """
    word = " ".join(label.lower().replace("_", " ").replace("-", " ").split())
    return _BY_WORD.get(word, word)


def is_fer2013(header: Sequence[str]) -> bool:
    """Tell FER2013's table, whose images are columns of pixels."""
    return {"pixels", "emotion"} <= {name.strip().lower() for name in header}


def read_emotions(
    path: str | Path, layout: str = "emotions", missing: Sequence[str] = ()
) -> EmotionLabels:
    """Count the emotions of a table.

    Words are categories or their nouns, in any case. Numbers are read by whose they are: FER2013's
    where there is a column `pixels` or `Usage`, AffectNet's in a column `expression`, else as
    `layout` says.

    Args:
        path: CSV file, or folder of CSV files.
        layout: one of `EMOTION_FORMATS`.
        missing: labels that stand for none, in lower case.

    Raises:
        LabelsError: if there is no such file or column, a line is malformed, nobody says whose
            numbers they are, or no row has a category that can be shown.
    """
    root = Path(path)
    if not root.exists():
        raise LabelsError(f"there is no label file or folder {excerpt(root)}")
    files, aside = files_below(root, ".csv") if root.is_dir() else ((root,), 0)
    if not files:
        raise LabelsError(f"there is no .csv file below {excerpt(root)}")
    counts: Counter[str] = Counter()
    hows = set()
    for file in files:
        labels, how = _read_table(file, layout)
        counts.update(labels)
        hows.add(how)
    if len(hows) > 1:
        raise LabelsError(
            f"{excerpt(root)}: the tables of one folder must be alike, and these are "
            f"{' and '.join(sorted(hows))}; read them apart"
        )
    (how,) = hows
    shown, notes = _sort_out(counts, missing)
    if not shown:
        some = first_few([repr(excerpt(label, 40)) for label in counts], _NAMED)
        raise LabelsError(
            f"{excerpt(root)}: no row of {how} names an emotion of the prior emotions; it holds "
            f"{some or 'nothing'}"
        )
    said = (*say_aside(aside), *_say_numbers(how), *notes)
    order = [name for name in prototype_table() if name in shown]
    return EmotionLabels(
        root=root,
        files=files,
        how=how,
        counts={name: shown[name] for name in order},
        notes=tuple(f"{excerpt(root.name)}: {note}" for note in said),
    )


def _candidates(header: Sequence[str]) -> list[str]:
    """Return the columns that may hold emotions, as the file writes them, the likeliest first."""
    by_name = {name.strip().lower(): name for name in reversed(header)}
    return [by_name[name] for name in COLUMNS if name in by_name]


def _read_table(path: Path, layout: str) -> tuple[Counter[str], str]:
    """Return how often each label stands in a table, numbers as words, and how it was read."""
    dialect = read_dialect(path, lambda name: name.lower() in COLUMNS)
    candidates = _candidates(dialect.header)
    if not candidates:
        raise LabelsError(
            f"{excerpt(path)}, line 1: no column holds emotions; format {layout!r} wants one of "
            f"{', '.join(COLUMNS)}"
        )
    _refuse_another(path, dialect.header, layout)
    places = [dialect.header.index(name) for name in candidates]
    counts: list[Counter[str]] = [Counter() for _ in places]
    with open_rows(path, dialect) as lines:
        for cells in _cells(path, lines, len(dialect.header)):
            for count, place in zip(counts, places, strict=True):
                count[cells[place].strip()] += 1
    for name, count in zip(candidates, counts, strict=True):
        column = f"column {excerpt(name.strip(), 60)}"
        if layout == "emotions" and not all(map(_is_number, count)):
            return count, column
        owner = layout if layout in CODES else _owner(dialect.header, name)
        if owner is not None:
            words = CODES[owner]
            named: Counter[str] = Counter()
            for label, rows in count.items():
                named[_word(label, words)] += rows
            return named, f"{column} ({_OWNERS[owner]}'s numbers)"
    raise LabelsError(
        f"{excerpt(path)}: column {excerpt(candidates[0].strip(), 60)} holds numbers, and "
        "AffectNet and FER2013 number emotions differently; say whose they are (--format affectnet "
        "or fer2013), or write words"
    )


def _refuse_another(path: Path, header: Sequence[str], layout: str) -> None:
    """Refuse the table of one where the numbers of the other are asked for."""
    names = {name.strip().lower() for name in header}
    for owner, marks in _MARKS.items():
        if layout in CODES and layout != owner and (found := sorted(marks & names)):
            raise LabelsError(
                f"{excerpt(path)} has columns of {_OWNERS[owner]}'s table ({', '.join(found)}), "
                f"whose numbers are not {_OWNERS[layout]}'s; say --format {owner}"
            )


def _cells(path: Path, lines: Iterator[tuple[int, list[str]]], columns: int) -> Iterator[list[str]]:
    """Yield the rows below the header."""
    next(lines)
    for number, cells in lines:
        if cells and len(cells) != columns:
            raise LabelsError(
                f"{excerpt(path)}, line {number}: {len(cells)} values, and line 1 names {columns} "
                "columns"
            )
        if cells:
            yield cells


def _owner(header: Sequence[str], column: str) -> str | None:
    """Return whose numbers a column holds, where the table tells."""
    names = {name.strip().lower() for name in header}
    if column.strip().lower() == "emotion" and names & _MARKS["fer2013"]:
        return "fer2013"
    return "affectnet" if column.strip().lower() == "expression" else None


def _is_number(label: str) -> bool:
    try:
        return label.lower() in NO_VALUE or math.isfinite(float(label))
    except ValueError:
        return False


def _word(label: str, words: Mapping[int, str]) -> str:
    """Return the word for a number; what is none of them stays."""
    if label.lower() in NO_VALUE or not _is_number(label):
        return label
    number = float(label)
    word = words.get(int(number), label) if number.is_integer() else label
    return word if word in _known() else f"{word} ({label})" if word != label else label


def _known() -> set[str]:
    """Return the categories of the table, and those that it says cannot be shown."""
    return {*prototype_table(), *why_impossible()}


def _sort_out(
    counts: Mapping[str, int], missing: Sequence[str]
) -> tuple[dict[str, int], list[str]]:
    """Return the rows of each category that can be shown, and what is left out, in words."""
    shown: Counter[str] = Counter()
    impossible: Counter[str] = Counter()
    others: Counter[str] = Counter()
    empty = 0
    reasons = why_impossible()
    for label, rows in counts.items():
        word = emotion_word(label)
        if label.lower() in NO_VALUE or label.lower() in missing:
            empty += rows
        elif word in reasons:
            impossible[word] += rows
        elif word in prototype_table():
            shown[word] += rows
        else:
            others[label] += rows
    notes = [
        f"{name}: {counted(rows, 'row')} left out: {reasons[name]}"
        for name, rows in impossible.items()
    ]
    notes += [
        f"{excerpt(label, 60)}: {counted(rows, 'row')} left out: no category of the prior emotions"
        for label, rows in others.most_common(_NAMED)
    ]
    if rest := others.most_common()[_NAMED:]:
        rows = counted(sum(rows for _, rows in rest), "row")
        notes.append(f"{len(rest)} further labels: {rows} left out: no categories of the prior")
    if empty:
        notes.append(f"{counted(empty, 'row')} left out: no label")
    return dict(shown), notes


def _say_numbers(how: str) -> tuple[str, ...]:
    """Say for what numbers were taken, if there were any."""
    for owner, name in _OWNERS.items():
        if name in how:
            words = ", ".join(f"{number} {word}" for number, word in CODES[owner].items())
            other = next(one for one in CODES if one != owner)
            return (
                f"{how.split(' (')[0]} holds numbers, read as {name}'s: {words}; --format {other} "
                f"reads {_OWNERS[other]}'s",
            )
    return ()
