"""Expressions and AUs of pictures, read once each and kept under the checksum of their bytes.

What stands in a row is a function of its picture alone: neither of its name, nor of what was read
before it or beside it. So a reading that was stopped goes on where it was, and pictures may be
moved meanwhile.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from PIL.Image import Image

from pipelines.loading import fix_arithmetic, pick_device
from pipelines.pictures import open_picture, picture_bytes
from pipelines.smirk.extractors import load_extractor
from pipelines.smirk.faces import ExpressionReader, FinderName, ReadFace, load_finder
from samplers.flame import FLAME_WIDTH
from synthgen.action_units import MAX_INTENSITY, MIN_INTENSITY
from synthgen.config import RunConfig
from synthgen.errors import OutputError, PictureError
from synthgen.foreign import counted, excerpt, reading, regular_file
from synthgen.report.measuring import Meter

_AT_ONCE = 16
"""Pictures of a batch, which the meter takes anyway."""

_LARGEST_KEPT = 8 << 30
_FORMAT = "flame-bank-begun-1"

PictureFault = Literal["unreadable", "without a face", "of several faces", "small", "blurred"]
"""Kinds of reasons for which a picture is left out."""


@dataclass(frozen=True, slots=True)
class FaceBounds:
    """Bounds that the face of a picture must keep.

    Attributes:
        min_side: mean of the width and height of the landmarks' box [pixels].
        min_sharpness: variance of the Laplacian of the crop's grey values [0–255]² at 112×112
            pixels; it becomes the face's quality.
    """

    min_side: float = 64.0
    min_sharpness: float = 0.0


@dataclass(frozen=True, slots=True)
class PictureRow:
    """Numbers that were read of a picture, or why there are none.

    Attributes:
        flame: FLAME's numbers.
        aus: intensities [0–5] of the meter's AUs.
        quality: sharpness of the face.
        kind: kind of the reason for which it is left out, or None.
        reason: the reason.
    """

    flame: tuple[float, ...] = ()
    aus: tuple[float, ...] = ()
    quality: float = 0.0
    kind: PictureFault | None = None
    reason: str = ""

    @classmethod
    def parse(cls, told: Mapping[str, Any], aus: int) -> "PictureRow":
        """Read a row as `KeptRows` keeps it.

        Raises:
            ValueError: if it is none.
        """
        kind = told["kind"]
        if kind is not None:
            if kind not in get_args(PictureFault):
                raise ValueError(kind)
            return cls(kind=kind, reason=str(told["reason"]))
        flame, numbers = (tuple(float(value) for value in told[key]) for key in ("flame", "aus"))
        if (len(flame), len(numbers)) != (FLAME_WIDTH, aus):
            raise ValueError(len(flame))
        return cls(flame, numbers, float(told["quality"]))


class KeptRows:
    """Rows of the pictures that were read so far, by their checksums, in memory and in a file.

    Args:
        path: the file; None: memory alone.
        means: what rows are a function of besides their pictures; a file of other ones is refused.
        say: takes a line where a file is gone on with.

    Raises:
        OutputError: if the file was begun by other means, is damaged, or cannot be written.
    """

    def __init__(
        self, path: Path | None, means: Mapping[str, Any], say: Callable[[str], None]
    ) -> None:
        self.rows: dict[str, PictureRow] = {}
        self._path = path
        self._head = {"format": _FORMAT, **means}
        if path is None:
            return
        whole = self._read(path) if os.path.lexists(path) else 0
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.truncate(whole)
        if whole:
            say(f"goes on with the {counted(len(self.rows), 'picture')} of {excerpt(path)}")
        else:
            self._append([self._head])

    def add(self, rows: Mapping[str, PictureRow]) -> None:
        """Keep rows; when this returns, no crash loses them."""
        self.rows.update(rows)
        self._append([{"source": source, **asdict(row)} for source, row in rows.items()])

    def delete(self) -> None:
        """Delete the file."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _append(self, lines: Sequence[Mapping[str, Any]]) -> None:
        if self._path is None or not lines:
            return
        with writing(self._path), self._path.open("ab") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines).encode())
            file.flush()
            os.fsync(file.fileno())

    def _read(self, path: Path) -> int:
        """Read a file that was begun; return its length [bytes] up to a line that was cut off."""
        regular_file(path, "the file", OutputError, _LARGEST_KEPT)
        with reading(path, OutputError):
            content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if content and not whole:
            self._refuse_others(content, path)
        for number, line in enumerate(content[:whole].splitlines()):
            if number:
                self._keep(line, f"{excerpt(path)} is damaged in line {number + 1}")
            else:
                self._refuse_others(line, path)
        return whole

    def _keep(self, line: bytes, damaged: str) -> None:
        try:
            told = json.loads(line)
            row = PictureRow.parse(told, len(self._head["action_units"]))
            self.rows[str(told["source"])] = row
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise OutputError(f"{damaged}; delete it to begin anew") from error

    def _refuse_others(self, line: bytes, path: Path) -> None:
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict) or told.get("format") != _FORMAT:
            raise OutputError(f"{excerpt(path)} is not ours; choose another file with --to")
        other = [key for key in self._head if told.get(key) != self._head[key]]
        if other:
            raise OutputError(
                f"{excerpt(path)} was begun with another {' and '.join(other)}; go on as it was "
                "begun, or delete it to begin anew"
            )


class PictureReader:
    """Reads expressions and AUs of pictures of one face each.

    Args:
        run: the configuration whose check measures the AUs.
        smirk: SMIRK's published weights, or what else `load_extractor` takes.
        finder: name of what finds faces.
        bgr: whether SMIRK is fed with the colours the other way round.
        bounds: what a face must keep.

    Raises:
        ConfigError: if none of its checks measures AUs.
        WeightsError: if weights are missing or do not fit.
        MissingDependencyError: if a package that finds faces is not installed.
    """

    def __init__(
        self, run: RunConfig, smirk: str | Path, finder: FinderName, bgr: bool, bounds: FaceBounds
    ) -> None:
        fix_arithmetic(run.pipeline.threads)
        self._device = pick_device()
        encoder = load_extractor(smirk, bgr, self._device)
        self.expressions = ExpressionReader(encoder, load_finder(finder))
        self.meter = Meter(run, every=True)
        self._bounds = bounds

    def means(self) -> dict[str, Any]:
        """Return all that a row is a function of besides its picture."""
        encoder = self.expressions.encoder
        told = {
            "extractor": [encoder.name, encoder.fingerprint],
            "measurer": [self.meter.name, self.meter.fingerprint()],
            "action_units": self.meter.aus.names,
            "finder": self.expressions.finder.name,
            "bounds": asdict(self._bounds),
            "device": self._device.partition(":")[0],
            "versions": self.expressions.versions(),
        }
        return json.loads(json.dumps(told))

    def read(self, files: Iterable[Path], kept: KeptRows) -> list[str | PictureRow]:
        """Read pictures, but for those that were read before.

        Returns:
            Of each file the checksum of its bytes, under which its row is found; or a row that says
            why there are none.
        """
        read: list[str | PictureRow] = []
        left = iter(files)
        while batch := list(islice(left, _AT_ONCE)):
            new: dict[str, Image | PictureRow] = {}
            for file in batch:
                try:
                    data = picture_bytes(file)
                except PictureError as error:
                    read.append(PictureRow(kind="unreadable", reason=str(error)))
                    continue
                source = sha256(data).hexdigest()
                read.append(source)
                if source not in kept.rows and source not in new:
                    new[source] = _opened(data)
            kept.add(self._rows(new))
        return read

    def _rows(self, pictures: Mapping[str, Image | PictureRow]) -> dict[str, PictureRow]:
        rows: dict[str, PictureRow] = {}
        images: list[Image] = []
        faces: dict[str, ReadFace] = {}
        for source, image in pictures.items():
            if isinstance(image, PictureRow):
                rows[source] = image
                continue
            face = self._read_face(image)
            if isinstance(face, PictureRow):
                rows[source] = face
            else:
                images.append(image)
                faces[source] = face
        measured = self.meter.measure(images)
        for (source, face), (seen, aus) in zip(faces.items(), measured, strict=True):
            rows[source] = self._row(face, seen, aus)
        return rows

    def _read_face(self, image: Image) -> ReadFace | PictureRow:
        face, bounds = self.expressions.read(image), self._bounds
        if face is None:
            return PictureRow(kind="without a face", reason="no face was found")
        if face.faces > 1:
            return _several(face.faces, "")
        if face.side < bounds.min_side:
            return PictureRow(
                kind="small",
                reason=f"the face has a side of {face.side:.0f} pixels; at least "
                f"{bounds.min_side:g} are needed",
            )
        if face.sharpness < bounds.min_sharpness:
            return PictureRow(
                kind="blurred",
                reason=f"the face is blurred: sharpness {face.sharpness:.1f}, at least "
                f"{bounds.min_sharpness:g}",
            )
        return face

    def _row(self, face: ReadFace, seen: int, aus: tuple[float, ...] | None) -> PictureRow:
        by = f" by {self.meter.name}"
        if aus is None or not np.isfinite(aus).all():
            return PictureRow(kind="without a face", reason=f"no face was found{by}")
        if seen > 1:
            return _several(seen, by)
        # A network without a last bound may go a little beyond the ends of the scale.
        bounded = np.clip(np.array(aus, np.float32), MIN_INTENSITY, MAX_INTENSITY)
        return PictureRow(
            tuple(face.flame.tolist()), tuple(bounded.tolist()), float(np.float32(face.sharpness))
        )


def _several(faces: int, by: str) -> PictureRow:
    return PictureRow(
        kind="of several faces",
        reason=f"{faces} faces were found{by}; a bank takes pictures of one",
    )


def _opened(data: bytes) -> Image | PictureRow:
    try:
        return open_picture(data)
    except PictureError as error:
        return PictureRow(kind="unreadable", reason=str(error))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a file is written into one sentence."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {excerpt(path)}: {error.strerror or error}") from error
