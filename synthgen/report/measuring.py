"""AUs of pictures from outside, by the check of a configuration that measures them."""

import glob
import json
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from PIL.Image import Image
from tqdm import tqdm

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

_PRINTED_FAILURES = 1000
"""Pictures that could not be measured of which the file and the reason are printed."""

_ROWS = 4096
"""Rows of a table that are written at once, as a row group."""

_TOLD_EVERY = 60.0
"""Time between two lines where nobody sees a bar [s]."""

_NAMED = 5
"""Files that are named where more are left out."""

_TABLES = (".parquet", ".csv")


@dataclass(frozen=True, slots=True)
class MeasuredPicture:
    """AUs of one picture.

    Attributes:
        file: the picture, as it was named or found.
        faces: faces that were found, of which the largest is measured; None where it is not read.
        aus: intensities [0–5] of the meter's AUs, NaN where it does not see one; None where nothing
            is measured.
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
        every: whether the check must measure every AU of the configuration.

    Raises:
        ConfigError: if none of its checks measures AUs.
        WeightsError: if its weights are missing or do not fit.
        MissingDependencyError: if a package that it takes is not installed.
    """

    def __init__(self, config: RunConfig, *, every: bool = False) -> None:
        section = _measuring(config, every)
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
            Of each, the number of faces and the AUs of the largest one; NaN for those that the
            check does not see.
        """
        found: list[tuple[int, tuple[float, ...] | None]] = []
        for start in range(0, len(images), _AT_ONCE):
            batch = list(images[start : start + _AT_ONCE])
            filled = [*batch, *batch[-1:] * (_AT_ONCE - len(batch))]
            rows = self._check.measure(filled, [self._spec] * _AT_ONCE)
            for row in rows[: len(batch)]:
                aus = row[AUS_MEASURED]
                faces = int(row.get("faces", aus is not None))
                found.append((faces, None if aus is None else tuple(map(_number, aus))))
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


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _measuring(config: RunConfig, every: bool) -> CheckSection:
    for section in config.verify.checks:
        if section.action_units is not None if every else section.measures_aus:
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


def told(files: Sequence[Path], what: str, say: Callable[[str], None]) -> Iterator[Path]:
    """Give pictures one after another, and tell how many are done: a bar, or a line a minute.

    Args:
        files: the pictures.
        what: what is done to them, in a word before the bar.
        say: takes a line where standard error is no terminal.
    """
    if sys.stderr.isatty():
        yield from tqdm(files, desc=what, unit="picture")
        return
    last = time.monotonic()
    for number, file in enumerate(files):
        if time.monotonic() - last >= _TOLD_EVERY:
            last = time.monotonic()
            say(f"{number:,} of {len(files):,} pictures")
        yield file


@dataclass(frozen=True, slots=True)
class Measuring:
    """Outcome of the pictures of a call.

    Attributes:
        number: how many they are.
        shown: those that are printed, in order: all where no table is written, else the first
            `_PRINTED` + 1.
        failed: the first `_PRINTED_FAILURES` of which no AUs are known.
        reasons: reason in words → how many of them.
        aus: the AUs that were measured.
        file: the table that was written, or None.
    """

    number: int
    shown: Sequence[MeasuredPicture]
    failed: Sequence[MeasuredPicture]
    reasons: Mapping[str, int]
    aus: ActionUnitSet
    file: Path | None

    @classmethod
    def of(
        cls, pictures: Iterable[MeasuredPicture], aus: ActionUnitSet, file: Path | None
    ) -> "Measuring":
        """Count pictures as they come, and keep those that are printed alone."""
        number = 0
        shown: list[MeasuredPicture] = []
        failed: list[MeasuredPicture] = []
        reasons: Counter[str] = Counter()
        for picture in pictures:
            number += 1
            if file is None or len(shown) <= _PRINTED:
                shown.append(picture)
            if picture.aus is None:
                reasons["without a face" if picture.faces == 0 else "unreadable"] += 1
                if len(failed) < _PRINTED_FAILURES:
                    failed.append(picture)
        return cls(number, shown, failed, reasons, aus, file)

    @property
    def unmeasured(self) -> int:
        """Number of pictures of which no AUs are known."""
        return sum(self.reasons.values())

    def text(self) -> str:
        """Say what was found: a table where it is short or nowhere else, and the counts."""
        if self.file is None or self.number <= _PRINTED:
            return "\n".join([*self._table(), "", self._counts()])
        lines = [f"{excerpt(picture.file)}: {picture.reason}" for picture in self.failed]
        if more := self.unmeasured - len(self.failed):
            lines.append(f"and {more:,} more, which the table names")
        return "\n".join([*lines, self._counts()])

    def _table(self) -> list[str]:
        wide = max(len(excerpt(picture.file)) for picture in self.shown)
        heads = [au_column(name) for name in self.aus.names]
        lines = [" ".join(["file".ljust(wide), "faces", *heads])]
        for picture in self.shown:
            faces = "" if picture.faces is None else str(picture.faces)
            values = [_in_words(value).rjust(4) for value in picture.aus or ()]
            cells = values or [str(picture.reason)]
            lines.append(" ".join([excerpt(picture.file).ljust(wide), faces.rjust(5), *cells]))
        return lines

    def _counts(self) -> str:
        found = [f"{self.number - self.unmeasured:,} measured"]
        found += [f"{count:,} {reason}" for reason, count in sorted(self.reasons.items())]
        where = "" if self.file is None else f"{excerpt(self.file)}: "
        pictures = f"{self.number:,} picture{'s' * (self.number != 1)}"
        return f"{where}{pictures}: {', '.join(found)}"


def _in_words(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}"


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
    pictures = meter.measure_files(told(files, "measured", say))
    if to is not None:
        return _write(pictures, meter, to)
    return Measuring.of(pictures, meter.aus, None)


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


def _write(pictures: Iterable[MeasuredPicture], meter: Meter, to: Path) -> Measuring:
    """Write a table as pictures are measured, a group of rows in memory at a time.

    It lies beside `to` under another name until it is whole; nothing is left of one that is not.

    Raises:
        OutputError: if it cannot be written.
    """
    about = {"verifier": meter.name, **meter.fingerprint()}
    schema = pa.schema(
        [
            ("file", pa.string()),
            ("faces", pa.int32()),
            *((au_column(name), pa.float32()) for name in meter.aus.names),
            ("reason", pa.string()),
        ],
        metadata={"synthgen": json.dumps(about)},
    )
    temporary = to.with_name(f".{os.getpid()}-{to.name}")
    kind = pyarrow.csv.CSVWriter if to.suffix == ".csv" else pq.ParquetWriter
    try:
        with replacing(to, temporary), kind(temporary, schema) as writer:
            return Measuring.of(_written(pictures, writer, schema), meter.aus, to)
    except OSError as error:
        raise OutputError(f"cannot write {excerpt(to)}: {error.strerror or error}") from error


def _written(
    pictures: Iterable[MeasuredPicture], writer: Any, schema: pa.Schema
) -> Iterator[MeasuredPicture]:
    """Hand pictures on, and write a group of rows whenever one is full."""
    left = iter(pictures)
    while group := list(islice(left, _ROWS)):
        nothing = (math.nan,) * (len(schema) - 3)
        found = [[None if math.isnan(v) else v for v in each.aus or nothing] for each in group]
        columns = [
            [picture.file for picture in group],
            [picture.faces for picture in group],
            *zip(*found, strict=True),
            [picture.reason for picture in group],
        ]
        arrays = [
            pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)
        ]
        writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        yield from group


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
