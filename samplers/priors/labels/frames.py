"""Label files of single AUs over the frames of a video: DISFA's and BP4D's.

Mavadati et al., "DISFA: A spontaneous facial action intensity database", 2013. Each of the 12 AUs
is coded in whole numbers from 0 to 5 in every frame.

Zhang et al., "BP4D-Spontaneous", Image and Vision Computing 2014. `AU_INT/AU06/F001_T1_AU06.csv`
holds lines `frame,intensity` (0–5, 9 where it could not be coded) for AUs 6, 10, 12, 14 and 17
alone. `AU_OCC/F001_T1.csv` names AU numbers in its first line; then each line is a frame and 0, 1
or 9 for each of them. What the intensity files do not code is known by its occurrence alone.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Int64
from pyarrow import csv

from samplers.priors.labels.dialect import files_below, open_rows, read_dialect, say_aside
from samplers.priors.labels.scales import Scale
from samplers.priors.labels.source import (
    AS_IT_STANDS,
    LabelFiles,
    Reading,
    Where,
    WrittenRows,
    labels_sha256,
    matches,
    say_unread,
)
from synthgen.action_units import DEFAULT_AUS, ActionUnitSet
from synthgen.errors import LabelsError
from synthgen.foreign import excerpt, first_line, regular_file

NOT_CODED = 9
"""BP4D's code of an AU that could not be coded."""

_LARGEST = 64 << 20
"""Bytes of a file of one video at most: it is read in one piece."""

_LARGEST_CODE = 1_000_000

_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Video:
    """The frames of one video that some file codes.

    Attributes:
        frames: frame numbers, ascending.
        values: intensity [0–5] of each AU in each frame; NaN where it is not coded.
    """

    frames: Int64[np.ndarray, " frames"]
    values: Float32[np.ndarray, "frames aus"]


def read_lines(
    path: Path, columns: int, allowed: tuple[int, ...], skip: int = 0
) -> Int64[np.ndarray, "lines columns"]:
    """Read lines of whole numbers: a frame, then values.

    Args:
        path: the file, without a header but for the lines that are skipped.
        columns: numbers of a line.
        allowed: what a value may be.
        skip: lines before the first frame.

    Raises:
        LabelsError: if the file cannot be read, or a line is malformed; the text names the line.
    """
    regular_file(path, "the label file", LabelsError, _LARGEST)
    names = [str(place) for place in range(columns)]
    try:
        table = csv.read_csv(
            path,
            csv.ReadOptions(use_threads=False, column_names=names, skip_rows=skip),
            convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, pa.int64())),
        )
        values = np.column_stack([table.column(name).to_numpy() for name in names])
    except OSError as error:
        raise LabelsError(f"cannot read the labels {excerpt(path)}: {error}") from error
    except pa.ArrowException as error:
        text = _describe_fault(path, columns, allowed, skip)
        raise LabelsError(text or f"{excerpt(path)}: {first_line(error)}") from error
    if values.dtype != np.int64 or not np.isin(values[:, 1:], allowed).all():
        text = _describe_fault(path, columns, allowed, skip)
        raise LabelsError(text or f"{excerpt(path)} changed while it was read")
    _refuse_double(path, values[:, 0])
    return values


def join(codes: Mapping[str, tuple[np.ndarray, np.ndarray]], aus: ActionUnitSet) -> Video:
    """Put what is coded of each AU side by side, frame by frame.

    Args:
        codes: AU → its frames and the intensity in each, NaN where it is not coded.
        aus: the AUs of a vector.
    """
    frames = np.unique(np.concatenate([numbers for numbers, _ in codes.values()]))
    values = np.full((len(frames), len(aus)), np.nan, dtype=np.float32)
    for au, (numbers, intensities) in codes.items():
        values[np.searchsorted(frames, numbers), aus.index(au)] = intensities
    return Video(frames, values)


def written_rows(video: Video, where: Where, named: Mapping[str, str]) -> WrittenRows:
    """Keep the frames of a video that are wanted.

    Args:
        video: the frames.
        where: column → what it must hold.
        named: columns that are the same for the whole video, such as its subject.
    """
    wanted = np.ones(len(video.frames), dtype=bool)
    for name, value in where.items():
        held = np.array([named[name]], dtype=object) if name in named else video.frames
        wanted &= matches(held, value)
    left_out = int((~wanted).sum())
    values = video.values[wanted]
    said = {"other than where asks for": left_out} if left_out else {}
    return WrittenRows(values, np.ones(len(values)), said)


def with_gaps(
    values: Int64[np.ndarray, " lines"], missing: tuple[int, ...]
) -> Float32[np.ndarray, " lines"]:
    """Return values as numbers, those that say "not coded" as NaN."""
    return np.where(np.isin(values, missing), np.nan, values).astype(np.float32)


def missing_codes(root: Path, reading: Reading, layout: str) -> tuple[int, ...]:
    """Return the missing codes that a user gave, and refuse what else the layout does not have.

    Raises:
        LabelsError: if another scale, or a code that is no whole number, is asked for.
    """
    if reading.scale not in (None, 5):
        raise LabelsError(
            f"{excerpt(root)}: scale is {reading.scale}; format {layout!r} codes levels from 0 to 5"
        )
    if reading.missing_texts or any(
        code != int(code) or abs(code) > _LARGEST_CODE for code in reading.missing
    ):
        raise LabelsError(
            f"{excerpt(root)}: missing codes of format {layout!r} are whole numbers, such as 9"
        )
    return tuple(int(code) for code in reading.missing)


def describe_changed(root: Path) -> Callable[[str, Scale], str]:
    """Return what says that values are no longer those that were checked while they were read."""
    return lambda part, scale: f"{excerpt(root)} changed while it was read"


def check_columns(
    root: Path, where: Where, weights: str | None, allowed: tuple[str, ...], layout: str
) -> None:
    """Refuse a filter or weights by a column that a layout does not have.

    Raises:
        LabelsError: if there is no such column.
    """
    if weights is not None:
        raise LabelsError(
            f"{excerpt(root)}: weights is {weights!r}; format {layout!r} has no weights"
        )
    for name in where:
        if name not in allowed:
            raise LabelsError(
                f"{excerpt(root)}: where names {name!r}; format {layout!r} has {', '.join(allowed)}"
            )


def _refuse_double(path: Path, frames: Int64[np.ndarray, " lines"]) -> None:
    numbers, times = np.unique(frames, return_counts=True)
    if (times > 1).any():
        raise LabelsError(f"{excerpt(path)}: frame {numbers[times > 1][0]} stands there twice")


def _describe_fault(path: Path, columns: int, allowed: tuple[int, ...], skip: int) -> str | None:
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, raw in enumerate(file, start=1):
            line = raw.strip()
            if number <= skip or not line or _is_sound(line, columns, allowed):
                continue
            shown = repr(line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…")
            plural = "" if columns == 2 else "s"
            return (
                f"{path}, line {number}: {shown} is not a frame and {columns - 1} value{plural} "
                f"of {', '.join(map(str, allowed))}, separated by commas"
            )
    return None


def _is_sound(line: str, columns: int, allowed: tuple[int, ...]) -> bool:
    cells = line.split(",")
    try:
        numbers = [int(cell) for cell in cells]
    except ValueError:
        return False
    return len(numbers) == columns and all(number in allowed for number in numbers[1:])


_NAME = re.compile(r"(SN\d+)_au(\d{1,4})\.txt", re.IGNORECASE)
_INTENSITIES = (0, 1, 2, 3, 4, 5)


def open_disfa(
    root: Path,
    where: Where | None = None,
    weights: str | None = None,
    reading: Reading = AS_IT_STANDS,
) -> LabelFiles:
    """Open the folder `ActionUnit_Labels`, or one above or below it.

    Args:
        root: the folder; its files may lie in folders of their subjects or side by side.
        where: `subject` (such as SN001) or `frame` → what it must be.
        weights: must be None: there are no weights.
        reading: what the user said of the values; missing codes alone.

    Raises:
        LabelsError: if no file has such a name, or a subject lacks an AU that another one has.
    """
    where = where or {}
    check_columns(root, where, weights, ("subject", "frame"), "disfa")
    missing = missing_codes(root, reading, "disfa")
    subjects, aside, unread = _find_subjects(root, reading.aus)
    aus = tuple(au for au in reading.aus.names if any(au in files for files in subjects.values()))
    for subject, files in subjects.items():
        for au in aus:
            if au not in files:
                raise LabelsError(
                    f"{excerpt(root)}: there is no {subject}_{au.lower()}.txt; other subjects have "
                    f"{au}"
                )

    def read(subject: str) -> Iterator[WrittenRows]:
        files = subjects[subject]
        lines = {au: read_lines(files[au], 2, (*_INTENSITIES, *missing)) for au in aus}
        codes = {au: (pair[:, 0], with_gaps(pair[:, 1], missing)) for au, pair in lines.items()}
        yield written_rows(join(codes, reading.aus), where, {"subject": subject})

    paths = tuple(files[au] for files in subjects.values() for au in aus)
    return LabelFiles(
        root=root,
        files=paths,
        parts=tuple(subjects),
        aus=aus,
        occurrence_only=(),
        read=read,
        describe_misfits=describe_changed(root),
        scale=5,
        notes=aside,
        unread=unread,
    )


@dataclass(frozen=True, slots=True)
class DisfaLabels:
    """Labels of DISFA, frame by frame.

    Attributes:
        videos: subject → its frames, subjects in order of name.
        sha256: checksum of the label files.
        notes: what was left out, a sentence each.
    """

    videos: Mapping[str, Video]
    sha256: str
    notes: tuple[str, ...]


def read_disfa_frames(root: Path, aus: ActionUnitSet = DEFAULT_AUS) -> DisfaLabels:
    """Read the intensities of every frame, for whoever has the pictures beside them.

    Args:
        root: the folder `ActionUnit_Labels`, or one above or below it.
        aus: the AUs of a vector, each of which must be coded.

    Raises:
        LabelsError: if no file has such a name, a subject lacks an AU, or a line is malformed.
    """
    subjects, aside, _ = _find_subjects(root, aus)
    videos, paths = {}, []
    for subject, files in subjects.items():
        if missing := aus.without(files):
            raise LabelsError(
                f"{excerpt(root)}: there is no {subject}_{missing[0].lower()}.txt; each subject "
                f"must have a file for each of {', '.join(aus.names)}"
            )
        lines = {au: read_lines(files[au], 2, _INTENSITIES) for au in aus.names}
        codes = {au: (pair[:, 0], with_gaps(pair[:, 1], ())) for au, pair in lines.items()}
        videos[subject] = join(codes, aus)
        paths += [files[au] for au in aus.names]
    return DisfaLabels(videos, labels_sha256(root, paths), aside)


def _find_subjects(
    root: Path, aus: ActionUnitSet
) -> tuple[dict[str, dict[str, Path]], tuple[str, ...], tuple[str, ...]]:
    """Return the files of each subject and AU, in order of name, and what was left out.

    Files come first, then AUs.
    """
    subjects: dict[str, dict[str, Path]] = {}
    coded: set[int] = set()
    paths, aside = files_below(root, ".txt")
    for path in paths:
        if not (found := _NAME.fullmatch(path.name)):
            continue
        subject, au = found[1].upper(), f"AU{int(found[2])}"
        if other := subjects.setdefault(subject, {}).get(au):
            raise LabelsError(
                f"{au} of {subject} stands there twice: {excerpt(other)} and {excerpt(path)}"
            )
        coded.add(int(found[2]))
        if au in aus:
            subjects[subject][au] = path
    if not subjects:
        raise LabelsError(
            f"there are no DISFA labels below {excerpt(root)}; format 'disfa' wants files such as "
            "SN001/SN001_au1.txt"
        )
    return subjects, say_aside(aside), _say_unread(coded, aus)


def _say_unread(coded: Iterable[int], aus: ActionUnitSet) -> tuple[str, ...]:
    return say_unread((f"AU{number}" for number in sorted(coded)), aus)


_INTENSITY = re.compile(r"([FM]\d+)_(T\d+)_AU(\d{1,4})\.csv", re.IGNORECASE)
_OCCURRENCE = re.compile(r"([FM]\d+)_(T\d+)\.csv", re.IGNORECASE)
_OCCURRENCES = (0, 1)


@dataclass(slots=True)
class _Files:
    """The label files of one video."""

    intensities: dict[str, Path] = field(default_factory=dict)
    occurrences: Path | None = None


def open_bp4d(
    root: Path,
    where: Where | None = None,
    weights: str | None = None,
    reading: Reading = AS_IT_STANDS,
) -> LabelFiles:
    """Open the folder `AUCoding`, or one above or below it.

    Args:
        root: the folder.
        where: `subject` (such as F001), `task` (such as T1) or `frame` → what it must be.
        weights: must be None: there are no weights.
        reading: what the user said of the values; missing codes beside 9 alone.

    Raises:
        LabelsError: if no file has such a name.
    """
    where = where or {}
    check_columns(root, where, weights, ("subject", "task", "frame"), "bp4d")
    missing = (NOT_CODED, *missing_codes(root, reading, "bp4d"))
    videos, aside, unread = _find_videos(root, reading.aus)
    graded = {au for files in videos.values() for au in files.intensities}

    def read(name: str) -> Iterator[WrittenRows]:
        subject, task = name.split("_")
        video = _read_video(videos[name], graded, missing, reading.aus)
        yield written_rows(video, where, {"subject": subject, "task": task})

    paths = [path for files in videos.values() for path in files.intensities.values()]
    paths += [files.occurrences for files in videos.values() if files.occurrences]
    return LabelFiles(
        root=root,
        files=tuple(sorted(paths)),
        parts=tuple(videos),
        aus=reading.aus.names,
        occurrence_only=reading.aus.without(graded),
        read=read,
        describe_misfits=describe_changed(root),
        scale=5,
        gaps_in_layout=True,
        notes=aside,
        unread=unread,
    )


def _find_videos(
    root: Path, aus: ActionUnitSet
) -> tuple[dict[str, _Files], tuple[str, ...], tuple[str, ...]]:
    """Return the files of each video, in order of name, and what was left out: files, then AUs."""
    videos: dict[str, _Files] = defaultdict(_Files)
    coded: set[int] = set()
    paths, aside = files_below(root, ".csv")
    for path in paths:
        if found := _OCCURRENCE.fullmatch(path.name):
            files = videos[f"{found[1]}_{found[2]}".upper()]
            _refuse_second(files.occurrences, path)
            if not any(one.occurrences for one in videos.values()):
                coded.update(_coded_in(path))
            files.occurrences = path
        elif found := _INTENSITY.fullmatch(path.name):
            files = videos[f"{found[1]}_{found[2]}".upper()]
            au = f"AU{int(found[3])}"
            coded.add(int(found[3]))
            _refuse_second(files.intensities.get(au), path)
            if au in aus:
                files.intensities[au] = path
    if not videos:
        raise LabelsError(
            f"there are no BP4D labels below {excerpt(root)}; format 'bp4d' wants files such as "
            "AU06/F001_T1_AU06.csv or F001_T1.csv"
        )
    return dict(videos), say_aside(aside), _say_unread(coded, aus)


def _coded_in(path: Path) -> Iterator[int]:
    """Yield the numbers of the AUs that a file of occurrences codes in some frame.

    Its first line names all numbers up to 99; most columns hold 9 alone.
    """
    dialect = read_dialect(path, str.isdigit)
    with open_rows(path, dialect) as lines:
        next(lines)
        coded = {place for _, cells in lines for place, cell in enumerate(cells) if cell != "9"}
    for place, name in enumerate(dialect.header):
        if place in coded and place and name.strip().isdigit():
            yield int(name)


def _refuse_second(first: Path | None, second: Path) -> None:
    if first is not None:
        raise LabelsError(
            f"the same labels stand there twice: {excerpt(first)} and {excerpt(second)}"
        )


def _read_video(
    files: _Files, graded: set[str], missing: tuple[int, ...], aus: ActionUnitSet
) -> Video:
    codes = {}
    if files.occurrences is not None:
        occurrences = _read_occurrences(files.occurrences, missing, aus)
        codes = {au: pair for au, pair in occurrences.items() if au not in graded}
    for au, path in files.intensities.items():
        lines = read_lines(path, 2, (*_INTENSITIES, *missing))
        codes[au] = lines[:, 0], with_gaps(lines[:, 1], missing)
    if not codes:
        return Video(np.zeros(0, np.int64), np.zeros((0, len(aus)), np.float32))
    return join(codes, aus)


def _read_occurrences(
    path: Path, missing: tuple[int, ...], aus: ActionUnitSet
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return frames and occurrence (0, 1, NaN) of each of some AUs that the file names."""
    names = [f"AU{name.strip()}" for name in read_dialect(path, str.isdigit).header]
    lines = read_lines(path, len(names), (*_OCCURRENCES, *missing), skip=1)
    return {
        name: (lines[:, 0], with_gaps(lines[:, place], missing))
        for place, name in enumerate(names)
        if place and name in aus
    }
