"""From a path and the name of a format to labels that can be read."""

from functools import partial
from pathlib import Path

from samplers.priors.labels.bp4d import open_bp4d
from samplers.priors.labels.coding import read_labels
from samplers.priors.labels.columns import TABLES
from samplers.priors.labels.disfa import open_disfa
from samplers.priors.labels.filters import Where
from samplers.priors.labels.reading import AS_IT_STANDS, Reading
from samplers.priors.labels.source import Labels
from samplers.priors.labels.tables import open_table
from synthgen.errors import LabelsError
from synthgen.foreign import excerpt

_OPENERS = {
    **{name: partial(open_table, table=table) for name, table in TABLES.items()},
    "disfa": open_disfa,
    "bp4d": open_bp4d,
}

FORMATS = tuple(_OPENERS)
"""Names of the formats."""


def open_labels(
    path: str | Path,
    layout: str,
    where: Where | None = None,
    weights: str | None = None,
    reading: Reading = AS_IT_STANDS,
) -> Labels:
    """Open a label file, or a folder of label files, and look at all its values.

    Args:
        path: the file or folder; a relative one is relative to the working directory.
        layout: one of `FORMATS`.
        where: column → what it must hold, of the rows that are wanted.
        weights: column of the weights; without one each row weighs 1.
        reading: the scale of the values, missing codes, and what becomes of left and right.

    Raises:
        LabelsError: if there is no such file or format, the files are not of that format, or a
            line is malformed; the text names file and lines.
    """
    root = Path(path)
    if layout not in _OPENERS:
        raise LabelsError(
            f"unknown label format {layout!r}; those that exist: {', '.join(FORMATS)}"
        )
    if not _exists(root):
        raise LabelsError(f"there is no label file or folder {excerpt(root)}")
    if layout in ("disfa", "bp4d") and not root.is_dir():
        raise LabelsError(f"{excerpt(root)} is no folder; format {layout!r} wants one")
    return read_labels(
        _OPENERS[layout](root, where=where, weights=weights, reading=reading), reading
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, or holds NUL
        return False
