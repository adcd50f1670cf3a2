"""What a reader of label files gives: rows of AU vectors, piece by piece."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64

from synthgen.action_units import AU_COUNT, AUS, MAX_INTENSITY
from synthgen.errors import LabelsError

ACTIVE_FROM = 0.5
"""Intensity from which an AU counts as active: where level A begins."""

_HASHED = 1 << 20


@dataclass(frozen=True, slots=True)
class LabelBatch:
    """Some rows of a label file.

    Attributes:
        intensities: AU vectors [0–5]; 0 for an AU that the file does not code, 1 for an active AU
            of which it codes the occurrence alone.
        weights: weight of each row, 0 or more.
        left_out: reason → rows that were read beside these and left out.
    """

    intensities: Float32[np.ndarray, "rows 12"]
    weights: Float64[np.ndarray, " rows"]
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Labels:
    """A label file, or a folder of them, that is open to be read.

    Attributes:
        root: the file or folder.
        files: the files that hold labels, in the order in which they are read.
        aus: AUs that they code.
        occurrence_only: those of them whose intensity is not coded.
        read: begins to read from the first row.
    """

    root: Path
    files: tuple[Path, ...]
    aus: tuple[str, ...]
    occurrence_only: tuple[str, ...]
    read: Callable[[], Iterator[LabelBatch]]

    @property
    def unknown(self) -> tuple[str, ...]:
        """The AUs, of the 12, that the files do not code."""
        return tuple(name for name in AUS if name not in self.aus)

    def batches(self, active_from: float = ACTIVE_FROM) -> Iterator[LabelBatch]:
        """Yield the rows, piece by piece, from the first on.

        Args:
            active_from: lower intensities become 0: a network's regression is never quite 0.

        Raises:
            LabelsError: if a row is malformed; the text names its file and line.
        """
        floor = np.full(AU_COUNT, active_from, dtype=np.float32)
        floor[[name in self.occurrence_only for name in AUS]] = 1.0
        for batch in self.read():
            seen = batch.intensities
            yield replace(batch, intensities=np.where(seen < floor, np.float32(0), seen))

    def sha256(self) -> str:
        """Return the checksum of a file; for a folder that of its files' names and checksums."""
        if self.files == (self.root,):
            return _sha256(self.root)
        total = hashlib.sha256()
        for path in self.files:
            total.update(f"{path.relative_to(self.root).as_posix()}\0{_sha256(path)}\n".encode())
        return total.hexdigest()


def remarks(
    unknown: tuple[str, ...], occurrence_only: tuple[str, ...], low: float
) -> tuple[str, ...]:
    """Say what labels do not code, a sentence each.

    Args:
        unknown: AUs that they do not code.
        occurrence_only: AUs of which they code the occurrence alone.
        low: lowest intensity that is then drawn.
    """
    found = []
    if unknown:
        found.append(f"{', '.join(unknown)}: not coded by the labels, absent from the prior")
    if occurrence_only:
        found.append(
            f"{', '.join(occurrence_only)}: the labels code occurrence alone; intensities are "
            f"uniform from {low:g} to {MAX_INTENSITY:g}"
        )
    return tuple(found)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_HASHED):
                digest.update(piece)
    except OSError as error:
        raise LabelsError(f"cannot read the labels {path}: {error.strerror}") from error
    return digest.hexdigest()
