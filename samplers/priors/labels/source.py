"""Labels as readers give them: rows of AU vectors, piece by piece, filtered as wished."""

import hashlib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64

from samplers.priors.labels.dialect import read_cell
from samplers.priors.labels.scales import Scale
from synthgen.action_units import DEFAULT_AUS, MAX_INTENSITY, ActionUnitSet
from synthgen.choices import LabelSides
from synthgen.errors import LabelsError
from synthgen.foreign import excerpt

Wanted = str | int | float | Sequence[int | float]
"""One value, or the lowest and the highest number of a range."""

Where = Mapping[str, Wanted]
"""Column → what it must hold."""


def is_numeric(wanted: Wanted) -> bool:
    """Return whether a column is compared as a number; else it is compared as text."""
    return not isinstance(wanted, str)


def matches(values: np.ndarray, wanted: Wanted) -> Bool[np.ndarray, " rows"]:
    """Return which values of a column are wanted.

    Args:
        values: text, or float64 in which NaN stands for no value.
        wanted: one value, or a range [low, high] with both ends in it.
    """
    if isinstance(wanted, str):
        return values == wanted
    if isinstance(wanted, Sequence):
        low, high = wanted
        return (values >= low) & (values <= high)
    return values == float(wanted)


_SCALES: dict[str | None, Scale | None] = {
    None: None,
    "5": 5,
    "1": 1,
    "100": 100,
    "occurrence": "occurrence",
}
_SIDES: dict[str, LabelSides] = {"mean": "mean", "max": "max", "refuse": "refuse"}


@dataclass(frozen=True, slots=True)
class Reading:
    """The user's word on labels beside their format.

    Attributes:
        scale: scale of the values; None: found from them.
        missing: numbers that stand for "not coded".
        missing_texts: texts that do, in lower case.
        sides: what becomes of columns of the left and the right.
        aus: the AUs of a vector; what labels code of others is not read.
    """

    scale: Scale | None = None
    missing: tuple[float, ...] = ()
    missing_texts: frozenset[str] = frozenset()
    sides: LabelSides = "refuse"
    aus: ActionUnitSet = DEFAULT_AUS

    @classmethod
    def parse(
        cls,
        scale: str | None,
        missing: Sequence[str],
        sides: str,
        aus: ActionUnitSet = DEFAULT_AUS,
    ) -> "Reading":
        """Read what a command line says.

        Raises:
            LabelsError: if 0 is to be a missing code.
        """
        return cls.of(_SCALES[scale], missing, _SIDES[sides], aus)

    @classmethod
    def of(
        cls,
        scale: Scale | None = None,
        missing: Sequence[str | int | float] = (),
        sides: LabelSides = "refuse",
        aus: ActionUnitSet = DEFAULT_AUS,
    ) -> "Reading":
        """Tell the missing codes that are numbers from those that are texts.

        Raises:
            LabelsError: if 0 is one of them.
        """
        numbers = {code: read_cell(str(code)) for code in missing}
        found = [number for number in numbers.values() if number is not None]
        if 0 in found:
            raise LabelsError("0 cannot be a missing code: it says that an AU is absent")
        return cls(
            scale,
            tuple(number for number in found if math.isfinite(number)),
            frozenset(
                str(code).strip().lower() for code, number in numbers.items() if number is None
            ),
            sides,
            aus,
        )


AS_IT_STANDS = Reading()
"""A table on the scale that its values show, without missing codes or sides."""


def say_unread(coded: Iterable[str], aus: ActionUnitSet) -> tuple[str, ...]:
    """Name the AUs that labels code and a vector does not hold, if any."""
    others = [au for au in coded if au not in aus]
    if not others:
        return ()
    return (
        f"{', '.join(others)}: not among the {len(aus)} AUs of the prior, left out; name them by "
        "--aus (key: action_units) to keep them",
    )


ACTIVE_FROM = 0.5
"""Intensity from which an AU counts as active: where level A begins."""


@dataclass(frozen=True, slots=True)
class WrittenRows:
    """Some rows of a label file as they are written: any scale, and gaps.

    Attributes:
        values: a number for each AU; NaN where none is written.
        weights: weight of each row, 0 or more.
        left_out: reason → rows that were read beside these and left out.
        letters: whether some of the values were written as letters A–E.
    """

    values: Float[np.ndarray, "rows aus"]
    weights: Float64[np.ndarray, " rows"]
    left_out: Mapping[str, int] = field(default_factory=dict)
    letters: bool = False


@dataclass(frozen=True, slots=True)
class LabelFiles:
    """Files of labels in one layout, before the rules that all layouts share.

    Attributes:
        root: the file or folder.
        files: the files that hold labels, in the order in which they are read.
        parts: what is read on its own, in order: a table, or a video of several files.
        aus: AUs that are named.
        occurrence_only: those of them whose intensity is not coded.
        read: reads a part.
        describe_misfits: says which lines of a part hold values that a scale does not have.
        scale: the scale that whatever writes this layout has; None where the values tell.
        gaps_in_layout: whether AUs without codes are part of the layout, as they are in BP4D's.
        notes: what was left out or put together already, a sentence each.
        unread: which AUs of theirs are not read, a sentence each.
    """

    root: Path
    files: tuple[Path, ...]
    parts: tuple[str, ...]
    aus: tuple[str, ...]
    occurrence_only: tuple[str, ...]
    read: Callable[[str], Iterator[WrittenRows]]
    describe_misfits: Callable[[str, Scale], str]
    scale: Scale | None = None
    gaps_in_layout: bool = False
    notes: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelBatch:
    """Some rows of labels.

    Attributes:
        intensities: AU vectors [0–5]; 0 for an AU that the labels do not code, 1 for an active AU
            of which they code the occurrence alone.
        weights: weight of each row, 0 or more.
    """

    intensities: Float32[np.ndarray, "rows aus"]
    weights: Float64[np.ndarray, " rows"]


@dataclass(frozen=True, slots=True)
class Labels:
    """A label file, or a folder of them, that is open to be read.

    Attributes:
        root: the file or folder.
        files: the files that hold labels, in the order in which they are read.
        aus: AUs that they code.
        occurrence_only: those of them whose intensity is not coded.
        half_coded: AUs that are coded in too few rows to count → a sentence's words of that.
        left_out: reason → rows that are left out.
        notes: what was assumed, changed or left out, a sentence each.
        reading: what was found in the values and changes how they are read; empty where nothing
            does. It belongs to the identity of what is drawn from the labels.
        read: begins to read from the first row.
        vector: the AUs of a vector.
    """

    root: Path
    files: tuple[Path, ...]
    aus: tuple[str, ...]
    occurrence_only: tuple[str, ...]
    half_coded: tuple[str, ...]
    left_out: Mapping[str, int]
    notes: tuple[str, ...]
    reading: str
    read: Callable[[], Iterator[LabelBatch]]
    vector: ActionUnitSet

    @property
    def unknown(self) -> tuple[str, ...]:
        """The AUs of a vector that the files do not code at all."""
        return self.vector.without((*self.aus, *self.half_coded))

    def batches(self, active_from: float = ACTIVE_FROM) -> Iterator[LabelBatch]:
        """Yield the rows, piece by piece, from the first on.

        Args:
            active_from: lower intensities become 0: a network's regression is never quite 0.

        Raises:
            LabelsError: if a file changed since it was opened.
        """
        floor = np.full(len(self.vector), active_from, dtype=np.float32)
        floor[[name in self.occurrence_only for name in self.vector.names]] = 1.0
        for batch in self.read():
            seen = batch.intensities
            yield replace(batch, intensities=np.where(seen < floor, np.float32(0), seen))

    def remarks(self, low: float) -> tuple[str, ...]:
        """Say what a reader of these labels should know, a sentence each.

        Args:
            low: lowest intensity that is drawn where the occurrence alone is coded.
        """
        found = list(self.notes)
        if self.unknown:
            found.append(
                f"{', '.join(self.unknown)}: not coded by the labels, absent from the prior"
            )
        if self.occurrence_only:
            found.append(
                f"{', '.join(self.occurrence_only)}: the labels code occurrence alone; intensities "
                f"are uniform from {low:g} to {MAX_INTENSITY:g}"
            )
        return tuple(found)

    def sha256(self) -> str:
        """Return the checksum of a file; for a folder that of its files' names and checksums."""
        return labels_sha256(self.root, self.files)


def labels_sha256(root: Path, files: Sequence[Path]) -> str:
    """Return the checksum of a file; for a folder that of its files' names and checksums.

    Args:
        root: the file or folder.
        files: those of the folder that are read; of a file, itself alone.

    Raises:
        LabelsError: if one cannot be read.
    """
    if tuple(files) == (root,):
        return _sha256(root)
    total = hashlib.sha256()
    for path in files:
        name = os.fsencode(path.relative_to(root).as_posix())
        total.update(name + f"\0{_sha256(path)}\n".encode())
    return total.hexdigest()


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise LabelsError(f"cannot read the labels {excerpt(path)}: {error.strerror}") from error
