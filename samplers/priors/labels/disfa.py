"""DISFA's label files: `SN001/SN001_au1.txt`, one per subject and AU, lines `frame,intensity`.

Mavadati et al., "DISFA: A spontaneous facial action intensity database", 2013. Each of the 12 AUs
is coded in whole numbers from 0 to 5 in every frame.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from samplers.priors.labels.dialect import files_below, say_aside
from samplers.priors.labels.filters import Where
from samplers.priors.labels.frames import (
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
from synthgen.action_units import AUS
from synthgen.errors import LabelsError
from synthgen.foreign import excerpt

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
    subjects, aside = _find(root)
    aus = tuple(au for au in AUS if any(au in files for files in subjects.values()))
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
        yield written_rows(join(codes), where, {"subject": subject})

    paths = tuple(files[au] for files in subjects.values() for au in aus)
    return LabelFiles(
        root, paths, tuple(subjects), aus, (), read, describe_changed(root), 5, notes=aside
    )


def _find(root: Path) -> tuple[dict[str, dict[str, Path]], tuple[str, ...]]:
    """Return the files of each subject and AU, in order of name, and what was left out."""
    subjects: dict[str, dict[str, Path]] = {}
    paths, aside = files_below(root, ".txt")
    for path in paths:
        if not (found := _NAME.fullmatch(path.name)):
            continue
        subject, au = found[1].upper(), f"AU{int(found[2])}"
        if other := subjects.setdefault(subject, {}).get(au):
            raise LabelsError(
                f"{au} of {subject} stands there twice: {excerpt(other)} and {excerpt(path)}"
            )
        if au in AUS:
            subjects[subject][au] = path
    if not subjects:
        raise LabelsError(
            f"there are no DISFA labels below {excerpt(root)}; format 'disfa' wants files such as "
            "SN001/SN001_au1.txt"
        )
    return subjects, say_aside(aside)
