"""BP4D's label files, of intensities and of occurrences.

Zhang et al., "BP4D-Spontaneous", Image and Vision Computing 2014. `AU_INT/AU06/F001_T1_AU06.csv`
holds lines `frame,intensity` (0–5, 9 where it could not be coded) for AUs 6, 10, 12, 14 and 17
alone. `AU_OCC/F001_T1.csv` names AU numbers in its first line; then each line is a frame and 0, 1
or 9 for each of them. What the intensity files do not code is known by its occurrence alone.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from samplers.priors.labels.dialect import files_below, read_dialect, say_aside
from samplers.priors.labels.filters import Where
from samplers.priors.labels.frames import (
    NOT_CODED,
    Video,
    check_columns,
    describe_changed,
    join,
    missing_codes,
    read_lines,
    with_gaps,
    written_rows,
)
from samplers.priors.labels.reading import AS_IT_STANDS, Reading
from samplers.priors.labels.source import LabelFiles, WrittenRows
from synthgen.action_units import AU_COUNT, AUS
from synthgen.errors import LabelsError
from synthgen.foreign import excerpt

_INTENSITY = re.compile(r"([FM]\d+)_(T\d+)_AU(\d{1,4})\.csv", re.IGNORECASE)
_OCCURRENCE = re.compile(r"([FM]\d+)_(T\d+)\.csv", re.IGNORECASE)
_INTENSITIES = (0, 1, 2, 3, 4, 5)
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
    videos, aside = _find(root)
    graded = {au for files in videos.values() for au in files.intensities}

    def read(name: str) -> Iterator[WrittenRows]:
        subject, task = name.split("_")
        video = _read_video(videos[name], graded, missing)
        yield written_rows(video, where, {"subject": subject, "task": task})

    paths = [path for files in videos.values() for path in files.intensities.values()]
    paths += [files.occurrences for files in videos.values() if files.occurrences]
    return LabelFiles(
        root=root,
        files=tuple(sorted(paths)),
        parts=tuple(videos),
        aus=AUS,
        occurrence_only=tuple(au for au in AUS if au not in graded),
        read=read,
        describe_misfits=describe_changed(root),
        scale=5,
        gaps_in_layout=True,
        notes=aside,
    )


def _find(root: Path) -> tuple[dict[str, _Files], tuple[str, ...]]:
    """Return the files of each video, in order of name, and what was left out."""
    videos: dict[str, _Files] = defaultdict(_Files)
    paths, aside = files_below(root, ".csv")
    for path in paths:
        if found := _OCCURRENCE.fullmatch(path.name):
            files = videos[f"{found[1]}_{found[2]}".upper()]
            _refuse_second(files.occurrences, path)
            files.occurrences = path
        elif found := _INTENSITY.fullmatch(path.name):
            files = videos[f"{found[1]}_{found[2]}".upper()]
            au = f"AU{int(found[3])}"
            _refuse_second(files.intensities.get(au), path)
            if au in AUS:
                files.intensities[au] = path
    if not videos:
        raise LabelsError(
            f"there are no BP4D labels below {excerpt(root)}; format 'bp4d' wants files such as "
            "AU06/F001_T1_AU06.csv or F001_T1.csv"
        )
    return dict(videos), say_aside(aside)


def _refuse_second(first: Path | None, second: Path) -> None:
    if first is not None:
        raise LabelsError(
            f"the same labels stand there twice: {excerpt(first)} and {excerpt(second)}"
        )


def _read_video(files: _Files, graded: set[str], missing: tuple[int, ...]) -> Video:
    codes = {}
    if files.occurrences is not None:
        occurrences = _read_occurrences(files.occurrences, missing)
        codes = {au: pair for au, pair in occurrences.items() if au not in graded}
    for au, path in files.intensities.items():
        lines = read_lines(path, 2, (*_INTENSITIES, *missing))
        codes[au] = lines[:, 0], with_gaps(lines[:, 1], missing)
    if not codes:
        return Video(np.zeros(0, np.int64), np.zeros((0, AU_COUNT), np.float32))
    return join(codes)


def _read_occurrences(
    path: Path, missing: tuple[int, ...]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return frames and occurrence (0, 1, NaN) of each of the 12 AUs that the file names."""
    names = [f"AU{name.strip()}" for name in read_dialect(path, str.isdigit).header]
    lines = read_lines(path, len(names), (*_OCCURRENCES, *missing), skip=1)
    return {
        name: (lines[:, 0], with_gaps(lines[:, place], missing))
        for place, name in enumerate(names)
        if place and name in AUS
    }
