"""BP4D's label files, of intensities and of occurrences.

Zhang et al., "BP4D-Spontaneous", Image and Vision Computing 2014. `AU_INT/AU06/F001_T1_AU06.csv`
holds lines `frame,intensity` (0–5, 9 where it could not be coded) for AUs 6, 10, 12, 14 and 17
alone. `AU_OCC/F001_T1.csv` names AU numbers in its first line; then each line is a frame and 0, 1
or 9 for each of them. What the intensity files do not code is known by its occurrence alone.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from samplers.priors.labels.columns import read_header
from samplers.priors.labels.filters import Where
from samplers.priors.labels.frames import (
    NOT_CODED,
    Video,
    check_columns,
    join,
    make_batch,
    read_lines,
)
from samplers.priors.labels.source import LabelBatch, Labels
from synthgen.action_units import AU_COUNT, AUS
from synthgen.errors import LabelsError

_INTENSITY = re.compile(r"([FM]\d+)_(T\d+)_AU(\d+)\.csv", re.IGNORECASE)
_OCCURRENCE = re.compile(r"([FM]\d+)_(T\d+)\.csv", re.IGNORECASE)
_INTENSITIES = (0, 1, 2, 3, 4, 5, NOT_CODED)
_OCCURRENCES = (0, 1, NOT_CODED)
_LEAST_SHARE = 0.5
"""Share of frames from which an AU counts as coded."""


@dataclass(slots=True)
class _Files:
    """The label files of one video."""

    intensities: dict[str, Path] = field(default_factory=dict)
    occurrences: Path | None = None


def open_bp4d(root: Path, where: Where | None = None, weights: str | None = None) -> Labels:
    """Open the folder `AUCoding`, or one above or below it, and see which AUs it codes.

    An AU that fewer than half of the frames code is unknown; a frame in which a known AU is not
    coded is left out.

    Args:
        root: the folder.
        where: `subject` (such as F001), `task` (such as T1) or `frame` → what it must be.
        weights: must be None: there are no weights.

    Raises:
        LabelsError: if no file has such a name, a line is malformed, or no AU of the 12 is coded.
    """
    where = where or {}
    check_columns(root, where, weights, ("subject", "task", "frame"), "bp4d")
    videos = _find(root)
    graded = {au for files in videos.values() for au in files.intensities}
    coded = _coded_shares(videos, graded) >= _LEAST_SHARE
    aus = tuple(au for au, known in zip(AUS, coded, strict=True) if known)
    if not aus:
        raise LabelsError(f"{root}: half of the frames code none of the 12 AUs")

    def read() -> Iterator[LabelBatch]:
        for (subject, task), files in videos.items():
            named = {"subject": subject, "task": task}
            yield make_batch(_read_video(files, graded), aus, where, named)

    paths = [path for files in videos.values() for path in files.intensities.values()]
    paths += [files.occurrences for files in videos.values() if files.occurrences]
    occurrence_only = tuple(au for au in aus if au not in graded)
    return Labels(root, tuple(sorted(paths)), aus, occurrence_only, read)


def _find(root: Path) -> dict[tuple[str, str], _Files]:
    videos: dict[tuple[str, str], _Files] = defaultdict(_Files)
    for path in sorted(root.rglob("*.csv")):
        if found := _OCCURRENCE.fullmatch(path.name):
            files = videos[found[1].upper(), found[2].upper()]
            _refuse_second(files.occurrences, path)
            files.occurrences = path
        elif found := _INTENSITY.fullmatch(path.name):
            files = videos[found[1].upper(), found[2].upper()]
            au = f"AU{int(found[3])}"
            _refuse_second(files.intensities.get(au), path)
            if au in AUS:
                files.intensities[au] = path
    if not videos:
        raise LabelsError(
            f"there are no BP4D labels below {root}; format 'bp4d' wants files such as "
            "AU06/F001_T1_AU06.csv or F001_T1.csv"
        )
    return dict(videos)


def _refuse_second(first: Path | None, second: Path) -> None:
    if first is not None:
        raise LabelsError(f"the same labels stand there twice: {first} and {second}")


def _coded_shares(videos: Mapping[tuple[str, str], _Files], graded: set[str]) -> np.ndarray:
    coded, frames = np.zeros(AU_COUNT), 0
    for files in videos.values():
        video = _read_video(files, graded)
        coded += (~np.isnan(video.values)).sum(axis=0)
        frames += len(video.frames)
    return coded / max(frames, 1)


def _read_video(files: _Files, graded: set[str]) -> Video:
    codes = {}
    if files.occurrences is not None:
        occurrences = _read_occurrences(files.occurrences)
        codes = {au: pair for au, pair in occurrences.items() if au not in graded}
    for au, path in files.intensities.items():
        lines = read_lines(path, 2, _INTENSITIES)
        codes[au] = lines[:, 0], _with_gaps(lines[:, 1])
    if not codes:
        return Video(np.zeros(0, np.int64), np.zeros((0, AU_COUNT), np.float32))
    return join(codes)


def _read_occurrences(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return frames and occurrence (0, 1, NaN) of each of the 12 AUs that the file names."""
    names = [f"AU{name.strip()}" for name in read_header(path)]
    lines = read_lines(path, len(names), _OCCURRENCES, skip=1)
    return {
        name: (lines[:, 0], _with_gaps(lines[:, place]))
        for place, name in enumerate(names)
        if place and name in AUS
    }


def _with_gaps(values: np.ndarray) -> np.ndarray:
    return np.where(values == NOT_CODED, np.nan, values).astype(np.float32)
