"""Label files of single AUs over the frames of a video: lines of whole numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Int64
from pyarrow import csv

from samplers.priors.labels.filters import Where, matches
from samplers.priors.labels.reading import Reading
from samplers.priors.labels.scales import Scale
from samplers.priors.labels.source import WrittenRows
from synthgen.action_units import AU_COUNT, au_index
from synthgen.errors import LabelsError
from synthgen.foreign import excerpt, first_line, regular_file

NOT_CODED = 9
"""What BP4D writes where an AU could not be coded."""

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


def join(codes: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Video:
    """Put what is coded of each AU side by side, frame by frame.

    Args:
        codes: AU → its frames and the intensity in each, NaN where it is not coded.
    """
    frames = np.unique(np.concatenate([numbers for numbers, _ in codes.values()]))
    values = np.full((len(frames), AU_COUNT), np.nan, dtype=np.float32)
    for au, (numbers, intensities) in codes.items():
        values[np.searchsorted(frames, numbers), au_index(au)] = intensities
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
