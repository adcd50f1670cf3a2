"""DISFA's label files: `SN001/SN001_au1.txt`, one per subject and AU, lines `frame,intensity`.

Mavadati et al., "DISFA: A spontaneous facial action intensity database", 2013. Each of the 12 AUs
is coded in whole numbers from 0 to 5 in every frame.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from samplers.priors.labels.filters import Where
from samplers.priors.labels.frames import check_columns, join, make_batch, read_lines
from samplers.priors.labels.source import LabelBatch, Labels
from synthgen.action_units import AUS
from synthgen.errors import LabelsError

_NAME = re.compile(r"(SN\d+)_au(\d+)\.txt", re.IGNORECASE)
_INTENSITIES = (0, 1, 2, 3, 4, 5)


def open_disfa(root: Path, where: Where | None = None, weights: str | None = None) -> Labels:
    """Open the folder `ActionUnit_Labels`, or one above or below it.

    Args:
        root: the folder; its files may lie in folders of their subjects or side by side.
        where: `subject` (such as SN001) or `frame` → what it must be.
        weights: must be None: there are no weights.

    Raises:
        LabelsError: if no file has such a name, or a subject lacks an AU that another one has.
    """
    where = where or {}
    check_columns(root, where, weights, ("subject", "frame"), "disfa")
    subjects = _find(root)
    aus = tuple(au for au in AUS if any(au in files for files in subjects.values()))
    for subject, files in subjects.items():
        for au in aus:
            if au not in files:
                raise LabelsError(
                    f"{root}: there is no {subject}_{au.lower()}.txt; other subjects have {au}"
                )

    def read() -> Iterator[LabelBatch]:
        for subject, files in subjects.items():
            lines = {au: read_lines(files[au], 2, _INTENSITIES) for au in aus}
            video = join({au: (pair[:, 0], pair[:, 1]) for au, pair in lines.items()})
            yield make_batch(video, aus, where, {"subject": subject})

    paths = tuple(files[au] for files in subjects.values() for au in aus)
    return Labels(root, paths, aus, (), read)


def _find(root: Path) -> dict[str, dict[str, Path]]:
    """Return the files of each subject and AU; subjects and their files in order of name."""
    subjects: dict[str, dict[str, Path]] = {}
    for path in sorted(root.rglob("*.txt")):
        if not (found := _NAME.fullmatch(path.name)):
            continue
        subject, au = found[1].upper(), f"AU{int(found[2])}"
        if other := subjects.setdefault(subject, {}).get(au):
            raise LabelsError(f"{au} of {subject} stands there twice: {other} and {path}")
        if au in AUS:
            subjects[subject][au] = path
    if not subjects:
        raise LabelsError(
            f"there are no DISFA labels below {root}; format 'disfa' wants files such as "
            "SN001/SN001_au1.txt"
        )
    return subjects
