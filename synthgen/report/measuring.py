"""AUs of pictures from outside, by the check of a configuration that measures them."""

import glob
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from PIL.Image import Image

from pipelines.interfaces import Verifier
from pipelines.loading import fix_arithmetic, load_check, pick_device
from pipelines.pictures import ENDINGS, all_rgb, open_picture
from synthgen.action_units import ActionUnitSet
from synthgen.config import CheckSection, RunConfig
from synthgen.dataset.labels import au_column
from synthgen.dataset.schema import AUS_MEASURED
from synthgen.dataset.whole_files import replacing
from synthgen.errors import ConfigError, OutputError, PictureError
from synthgen.foreign import excerpt, first_few
from synthgen.report.pictures import config_or_quickstart, one_sample

NO_FACE = "no face was found"
"""Reason where a picture shows nobody."""

_AT_ONCE = 16
"""Pictures of a batch; the last one is filled up, so that no picture's bits depend on others."""

_PRINTED = 20
"""Pictures whose AUs are printed although they are written to a file."""

_NAMED = 5
"""Files that are named where more are left out."""

_TABLES = (".parquet", ".csv")


@dataclass(frozen=True, slots=True)
class MeasuredPicture:
    """AUs of one picture.

    Attributes:
        file: the picture, as it was named or found.
        faces: faces that were found, of which the largest is measured; None where it is not read.
        aus: intensities [0–5] of the meter's AUs; None where nothing is measured.
        reason: why nothing is measured, or None.
    """

    file: str
    faces: int | None
    aus: tuple[float, ...] | None
    reason: str | None


class Meter:
    """Measures the AUs of pictures with a configuration's check.

    Args:
        config: the configuration.

    Raises:
        ConfigError: if none of its checks measures AUs.
        WeightsError: if its weights are missing or do not fit.
        MissingDependencyError: if a package that it takes is not installed.
    """

    def __init__(self, config: RunConfig) -> None:
        section = _measuring(config)
        self.knows = section.knows
        self.aus: ActionUnitSet = config.expressions.au_set
        self._check: Verifier = load_check(section, pick_device(), config)
        if AUS_MEASURED not in self._check.columns:
            raise ConfigError(
                f"verify.checks names {section.name!r}, which has no column {AUS_MEASURED}"
            )
        self._spec = one_sample("", (0.0,) * len(self.aus), 0, self.aus)

    @property
    def name(self) -> str:
        """Name of what measures, as the column `verifier` of a dataset holds it."""
        return self._check.name

    def fingerprint(self) -> dict[str, Any]:
        """Return what the measurements are a function of."""
        return self._check.fingerprint()

    def measure(self, images: Sequence[Image]) -> list[tuple[int, tuple[float, ...] | None]]:
        """Measure RGB images, a batch at a time.

        Returns:
            Of each, the number of faces and the AUs of the largest one.
        """
        found: list[tuple[int, tuple[float, ...] | None]] = []
        for start in range(0, len(images), _AT_ONCE):
            batch = list(images[start : start + _AT_ONCE])
            filled = [*batch, *batch[-1:] * (_AT_ONCE - len(batch))]
            rows = self._check.measure(filled, [self._spec] * _AT_ONCE)
            for row in rows[: len(batch)]:
                aus = row[AUS_MEASURED]
                faces = int(row.get("faces", aus is not None))
                found.append((faces, None if aus is None else tuple(float(v) for v in aus)))
        return found

    def measure_files(self, files: Iterable[Path]) -> Iterator[MeasuredPicture]:
        """Read and measure pictures, a batch in memory at a time, in order."""
        left = iter(files)
        while batch := list(islice(left, _AT_ONCE)):
            read = [_read(file) for file in batch]
            measured = iter(self.measure([image for image in read if not isinstance(image, str)]))
            for file, image in zip(batch, read, strict=True):
                if isinstance(image, str):
                    yield MeasuredPicture(_text(file), None, None, image)
                else:
                    faces, aus = next(measured)
                    yield MeasuredPicture(_text(file), faces, aus, None if aus else NO_FACE)


def _measuring(config: RunConfig) -> CheckSection:
    for section in config.verify.checks:
        if section.action_units is not None:
            return section
    raise ConfigError(
        "verify names no check that measures AUs, so there is nothing to measure pictures with; "
        "name one, such as libreface"
    )


def _read(file: Path) -> Image | str:
    try:
        return open_picture(file)
    except PictureError as error:
        return str(error)


def _text(file: Path) -> str:
    return os.fsencode(file).decode("utf-8", "backslashreplace")


def find_pictures(named: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """Find the pictures that files, folders and patterns name, each once.

    A folder stands for the pictures in it and below, by their endings; a file that is named, or
    that a pattern such as `photos/*.jpg` fits, is taken whatever its ending.

    Returns:
        The pictures, in the order of what names them and then of their names, and the files of
        folders whose endings are those of no picture.

    Raises:
        PictureError: if something named does not exist, or names no picture.
    """
    found: dict[Path, None] = {}
    others: dict[Path, None] = {}
    for name in named:
        paths = [Path(name)]
        if not os.path.lexists(name):
            paths = [Path(path) for path in sorted(glob.glob(name, recursive=True))]
            if not paths:
                what = "fits no file" if glob.has_magic(name) else "does not exist"
                raise PictureError(f"{excerpt(name)} {what}; name pictures, folders or patterns")
        before = len(found)
        for path in paths:
            files = sorted(_below(path)) if path.is_dir() else [path]
            for file in files:
                takes = file.suffix.lower() in ENDINGS or not path.is_dir()
                (found if takes else others)[file] = None
        if len(found) == before and any(path.is_dir() for path in paths):
            raise PictureError(
                f"{excerpt(name)} holds no picture that is not named already; looked for are "
                f"{', '.join(ENDINGS)}"
            )
    return list(found), list(others)


def _below(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)


@dataclass(frozen=True, slots=True)
class Measuring:
    """What became of the pictures of a call.

    Attributes:
        pictures: each of them, in order.
        aus: the AUs that were measured.
        file: the table that was written, or None.
    """

    pictures: Sequence[MeasuredPicture]
    aus: ActionUnitSet
    file: Path | None

    @property
    def unmeasured(self) -> int:
        """Number of pictures of which no AUs are known."""
        return sum(picture.aus is None for picture in self.pictures)

    def text(self) -> str:
        """Say what was found: a table where it is short or nowhere else, and the counts."""
        if self.file is None or len(self.pictures) <= _PRINTED:
            return "\n".join([*self._table(), "", self._counts()])
        failed = (picture for picture in self.pictures if picture.aus is None)
        lines = [f"{excerpt(picture.file)}: {picture.reason}" for picture in failed]
        return "\n".join([*lines, self._counts()])

    def _table(self) -> list[str]:
        wide = max(len(excerpt(picture.file)) for picture in self.pictures)
        heads = [au_column(name) for name in self.aus.names]
        lines = [" ".join(["file".ljust(wide), "faces", *heads])]
        for picture in self.pictures:
            faces = "" if picture.faces is None else str(picture.faces)
            values = [f"{value:.1f}".rjust(4) for value in picture.aus or ()]
            cells = values or [str(picture.reason)]
            lines.append(" ".join([excerpt(picture.file).ljust(wide), faces.rjust(5), *cells]))
        return lines

    def _counts(self) -> str:
        reasons = Counter(
            "without a face" if picture.faces == 0 else "unreadable"
            for picture in self.pictures
            if picture.aus is None
        )
        counted = [f"{len(self.pictures) - self.unmeasured:,} measured"]
        counted += [f"{count:,} {reason}" for reason, count in sorted(reasons.items())]
        where = "" if self.file is None else f"{excerpt(self.file)}: "
        number = len(self.pictures)
        return f"{where}{number:,} picture{'s' * (number != 1)}: {', '.join(counted)}"


def measure_pictures(
    named: Sequence[str],
    to: Path | None,
    config: Path | None,
    overrides: Sequence[str],
    say: Callable[[str], None],
) -> Measuring:
    """Measure pictures and write a table of their AUs.

    Args:
        named: files, folders and patterns.
        to: the table, `.parquet` or `.csv`; None: nothing is written.
        config: configuration whose check measures; None: the example `quickstart`.
        overrides: `key=value` for the configuration.
        say: takes a line about what measures, and one about files that are left out.

    Raises:
        PictureError: if something named does not exist or names no picture.
        ConfigError: if the configuration does not serve, or none of its checks measures AUs.
        OutputError: if the table is there already or cannot be written.
        WeightsError: if the check's weights are missing or do not fit.
        MissingDependencyError: if a package that the check takes is not installed.
    """
    _refuse_table(to)
    files, others = find_pictures(named)
    loaded = config_or_quickstart(config, overrides)
    fix_arithmetic(loaded.pipeline.threads)
    meter = Meter(loaded)
    say(f"measured by {meter.name}" + (f", which {meter.knows}" if meter.knows else ""))
    if others:
        names = first_few([excerpt(file.name) for file in others], _NAMED)
        say(f"left out by {'its ending' if len(others) == 1 else 'their endings'}: {names}")
    pictures = list(meter.measure_files(files))
    if to is not None:
        _write(pictures, meter, to)
    return Measuring(pictures, meter.aus, to)


def _refuse_table(to: Path | None) -> None:
    """Refuse, before anything is measured, a table that could not be written.

    Raises:
        OutputError: if it is there already, has another ending, or its folder does not exist.
    """
    if to is None:
        return
    if to.suffix not in _TABLES:
        raise OutputError(f"{excerpt(to)} must end in {' or '.join(_TABLES)}")
    if os.path.lexists(to):
        raise OutputError(f"{excerpt(to)} is there already; choose another file with --to")
    if not to.parent.is_dir():
        raise OutputError(f"cannot write {excerpt(to)}: its folder does not exist")


def _write(pictures: Sequence[MeasuredPicture], meter: Meter, to: Path) -> None:
    width = len(meter.aus)
    aus = [picture.aus or (None,) * width for picture in pictures]
    columns = {
        "file": pa.array([picture.file for picture in pictures], pa.string()),
        "faces": pa.array([picture.faces for picture in pictures], pa.int32()),
        **{
            au_column(name): pa.array([row[place] for row in aus], pa.float32())
            for place, name in enumerate(meter.aus.names)
        },
        "reason": pa.array([picture.reason for picture in pictures], pa.string()),
    }
    about = {"verifier": meter.name, **meter.fingerprint()}
    table = pa.table(columns).replace_schema_metadata({"synthgen": json.dumps(about)})
    temporary = to.with_name(f".{os.getpid()}-{to.name}")
    try:
        with replacing(to, temporary):
            if to.suffix == ".csv":
                pyarrow.csv.write_csv(table, temporary)
            else:
                pq.write_table(table, temporary)
    except OSError as error:
        raise OutputError(f"cannot write {excerpt(to)}: {error.strerror or error}") from error


def measure(
    picture: str | Path | Image, config: Path | None = None, overrides: Sequence[str] = ()
) -> dict[str, float]:
    """Measure the AUs of one picture.

    Args:
        picture: a file, or an image of Pillow's.
        config: configuration whose check measures; None: the example `quickstart`, whose network
            knows drawn faces and those of the embedded model alone.
        overrides: `key=value` for the configuration, such as `verify.weights=libreface`.

    Returns:
        AU → intensity [0–5].

    Raises:
        PictureError: if it cannot be read, or no face was found.
        SynthgenError: as `measure_pictures`.
    """
    meter = _meter(config, tuple(overrides))
    if isinstance(picture, Image):
        (image,), what = all_rgb([picture]), "the image"
    else:
        image, what = _read(Path(picture)), excerpt(picture)
        if isinstance(image, str):
            raise PictureError(f"{what}: {image}")
    ((_, aus),) = meter.measure([image])
    if aus is None:
        raise PictureError(f"{what}: {NO_FACE}")
    return dict(zip(meter.aus.names, aus, strict=True))


@lru_cache(maxsize=1)
def _meter(config: Path | None, overrides: tuple[str, ...]) -> Meter:
    return Meter(config_or_quickstart(config, overrides))
