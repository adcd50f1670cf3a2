"""From a path and a format's name to labels, with the rules by which values become intensities."""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from samplers.priors.labels.columns import TABLES
from samplers.priors.labels.frames import open_bp4d, open_disfa
from samplers.priors.labels.scales import (
    CODED_FROM,
    Scale,
    Survey,
    misfits,
    say_clamped,
    say_scale,
    to_intensities,
)
from samplers.priors.labels.source import (
    AS_IT_STANDS,
    LabelBatch,
    LabelFiles,
    Labels,
    Reading,
    Where,
    WrittenRows,
)
from samplers.priors.labels.tables import open_table
from synthgen.errors import LabelsError
from synthgen.foreign import counted, excerpt, first_few

_KEPT_ROWS = 1 << 20
"""Rows that are kept, so that small labels are read once [56 bytes each]."""

_NAMED = 3
"""Files that a sentence names."""


def read_labels(files: LabelFiles, reading: Reading) -> Labels:
    """Look at all values, and settle how they are read.

    An AU that fewer than half of the rows code is unknown; a row in which a known AU is not coded
    is left out. Values slightly outside of the scale, as unclamped networks give them, are clamped.

    Args:
        files: the files.
        reading: what the user said of them.

    Raises:
        LabelsError: if a line is malformed, values do not belong to the scale, the files of a
            folder have different scales, or half of the rows code none of the AUs.
    """
    surveys: dict[str, Survey] = {}
    left_out: Counter[str] = Counter()
    kept: list[WrittenRows] | None = []
    names = reading.aus.names
    total = Survey(len(names))
    for part in files.parts:
        surveys[part] = Survey(len(names))
        for rows in files.read(part):
            surveys[part].add(rows.values, rows.letters)
            left_out.update(rows.left_out)
            if kept is not None:
                kept.append(_compact(rows))
        total.merge(surveys[part])
        if total.rows > _KEPT_ROWS:
            kept = None
    scale, notes = _settle_scale(files, reading, surveys)
    _refuse_misfits(files, surveys, scale)
    coded, named = total.coded(), np.array([au in files.aus for au in names])
    known = named & (coded >= CODED_FROM * total.rows)
    if not known.any():
        raise LabelsError(
            f"{excerpt(files.root)}: half of the rows code none of the {len(names)} AUs"
        )
    half = named & ~known & (coded > 0)
    if incomplete := total.incomplete(known):
        left_out["some AU not coded"] += incomplete
    aus = tuple(au for au, one in zip(names, known, strict=True) if one)
    if total.clamped(scale):
        notes.append(say_clamped(total, scale))
    if total.letters:
        notes.append("letters A to E were read as intensities 1 to 5")
    notes += [
        f"{names[au]}: coded in {coded[au]} of {total.rows} rows, fewer than half; left out"
        for au in half.nonzero()[0]
    ]
    notes += [f"{counted(rows, 'row')} left out: {why}" for why, rows in sorted(left_out.items())]

    def read() -> Iterator[LabelBatch]:
        again = kept if kept is not None else _read_again(files, scale)
        for rows in again:
            yield _batch(rows, known, scale)

    return Labels(
        root=files.root,
        files=files.files,
        aus=aus,
        occurrence_only=aus if scale == "occurrence" else _among(files.occurrence_only, aus),
        half_coded=tuple(names[au] for au in half.nonzero()[0]),
        left_out=dict(left_out),
        notes=tuple(
            f"{excerpt(files.root.name)}: {note}" for note in (*files.notes, *notes, *files.unread)
        ),
        reading=_unlike_before(files, scale, [names[au] for au in half.nonzero()[0]]),
        read=read,
        vector=reading.aus,
    )


def _settle_scale(
    files: LabelFiles, reading: Reading, surveys: dict[str, Survey]
) -> tuple[Scale, list[str]]:
    """Return the scale of all files, and what is to be said of it."""
    found: dict[str, Scale] = {}
    for part, one in surveys.items():
        if (seen := one.found()) is not None:
            found[part] = seen
    scales: set[Scale] = set(found.values())
    high = max((one.high for one in surveys.values()), default=0.0)
    if reading.scale is not None:
        return reading.scale, []
    if files.scale is not None:
        return files.scale, [_say_low(high, files.scale)] if scales == {1} else []
    if 1 in scales and reading.sides == "mean" and all(one.halves for one in surveys.values()):
        raise LabelsError(
            f"{excerpt(files.root)}: the left and the right hold occurrences, 0 and 1, of which "
            "there is no mean; take sides max"
        )
    if len(scales) <= 1:
        settled: Scale = scales.pop() if scales else 5
        letters = any(one.letters for one in surveys.values())
        return settled, [say_scale(settled, high)] if found and not letters else []
    if scales == {1, "occurrence"}:
        return 1, [say_scale(1, high)]
    others = [part for part, scale in found.items() if scale != 5]
    if 100 in scales or 2 * len(others) > len(found):
        raise LabelsError(_of_many_scales(files, found, surveys))
    return 5, [say_scale(5, high), _say_weak(files, others, len(found))]


def _refuse_misfits(files: LabelFiles, surveys: dict[str, Survey], scale: Scale) -> None:
    wrong = [part for part, survey in surveys.items() if not survey.fits(scale)]
    if not wrong:
        return
    text = files.describe_misfits(wrong[0], scale)
    if len(wrong) > 1:
        text += f"; and {len(wrong) - 1} more files hold such values"
    raise LabelsError(text)


def _of_many_scales(
    files: LabelFiles, found: Mapping[str, Scale], surveys: dict[str, Survey]
) -> str:
    first: dict[Scale, str] = {}
    for part, scale in found.items():
        first.setdefault(scale, part)
    one, other = (
        f"{excerpt(part)} ({'0 and 1' if scale == 'occurrence' else f'up to {high:.4g}'})"
        for scale, part, high in ((s, p, surveys[p].high) for s, p in list(first.items())[:2])
    )
    return (
        f"{excerpt(files.root)}: the files of one folder must have one scale, and these look "
        f"different: {one}, {other}; say which it is (--scale 5, 1, 100 or occurrence; key: "
        "scale), or read them apart"
    )


def _say_weak(files: LabelFiles, weak: list[str], of: int) -> str:
    names = first_few([excerpt(part.rsplit("/", 1)[-1], 60) for part in weak], _NAMED)
    return (
        f"{len(weak)} of {of} files: nothing above 1 ({names}), read on the same "
        "scale as the others; if theirs is another, read them apart"
    )


def _say_low(high: float, scale: Scale) -> str:
    return (
        f"the highest value is {high:.4g}, and all were read on the scale 0–{scale} of this "
        "format; if they were divided by 5, say scale 1 (--scale 1)"
    )


def _unlike_before(files: LabelFiles, scale: Scale, half: list[str]) -> str:
    """Return what tells this reading from that of earlier versions; empty where it is the same.

    They took every table for one on 0–5, and left out the rows without half-coded AUs.
    """
    said = [] if scale == 5 else [f"scale {scale}"]
    if half and not files.gaps_in_layout:
        said.append(f"without {', '.join(half)}")
    return "; ".join(said)


def _among(some: tuple[str, ...], aus: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(au for au in some if au in aus)


def _compact(rows: WrittenRows) -> WrittenRows:
    return WrittenRows(rows.values.astype(np.float32), rows.weights)


def _read_again(files: LabelFiles, scale: Scale) -> Iterator[WrittenRows]:
    for part in files.parts:
        for rows in files.read(part):
            if misfits(rows.values, scale).any():
                raise LabelsError(f"{excerpt(files.root)} changed while it was read")
            yield _compact(rows)


def _batch(rows: WrittenRows, known: Bool[np.ndarray, " aus"], scale: Scale) -> LabelBatch:
    whole = ~np.isnan(rows.values[:, known]).any(axis=1)
    vectors = np.zeros((int(whole.sum()), rows.values.shape[1]), dtype=np.float32)
    vectors[:, known] = to_intensities(rows.values[whole][:, known], scale)
    return LabelBatch(vectors, rows.weights[whole])


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
