"""Rows of a Hugging Face dataset as examples: image, caption and AUs."""

import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from datasets import Image as ImageColumn
from jaxtyping import Float
from PIL import Image as PILImage
from PIL import ImageOps
from PIL.Image import Image

from pipelines.pictures import open_picture, to_rgb
from pipelines.training.data.config import DatasetData
from pipelines.training.data.open_dataset import dataset_fingerprint, is_generated, open_rows
from samplers.priors.labels.scales import (
    Scale,
    Survey,
    is_misfit,
    misfits,
    say_clamped,
    say_scale,
    to_intensities,
)
from synthgen.action_units import AUS
from synthgen.errors import DatasetError, PictureError
from synthgen.foreign import first_line

_log = logging.getLogger(__name__)

_AU_PLACE = "{au}"

_BLOCK = 10_000
"""Rows whose AUs are looked at together."""

_NAMED = 4
"""Rows that an error names."""


class DatasetExamples:
    """The rows of a dataset; example i is row i.

    Args:
        data: which dataset, and which columns.
        held_out: the rows of the split `held_out`, if there is one.

    Raises:
        DatasetError: if there is no such dataset or split, it has no rows, or it lacks a column.
    """

    def __init__(self, data: DatasetData, held_out: bool = False) -> None:
        split = data.held_out if held_out and data.held_out is not None else data.split
        self._data = data
        self._where = f"{data.path} ({split})"
        rows = open_rows(data.path, data.name, split)
        self.count = len(rows)
        self._au_columns = _au_columns(data.aus)
        self._check_columns(rows)
        self.fingerprint: dict[str, Any] = {"dataset": dataset_fingerprint(data.path, split, rows)}
        images = rows.select_columns([data.image])
        self._are_images = isinstance(images.features[data.image], ImageColumn)
        if self._are_images:  # pictures are looked at here, before they are decoded
            images = images.cast_column(data.image, ImageColumn(decode=False))
        self._images = images
        self._texts = rows.select_columns([data.caption]) if data.caption else None
        self._aus = rows.select_columns(self._au_columns) if self._au_columns else None
        self._scale: Scale = 5
        self._aus_fault: str | None = None
        if self._aus is not None:
            self._settle_scale(self._aus)

    def image(self, index: int) -> Image:
        """Return the image of a row: RGB, scaled and cropped in the middle to a square.

        Raises:
            DatasetError: if it cannot be read.
        """
        stored = self._images[index][self._data.image]
        if not self._are_images:
            raise self._fault(
                index,
                f"column {self._data.image!r} holds {type(stored).__name__}; it must hold images "
                "(datasets.Image)",
            )
        try:
            found = _picture(stored)
        except PictureError as error:
            raise self._fault(index, f"the image cannot be used: {error}") from error
        size = (self._data.size, self._data.size)
        return ImageOps.fit(found, size, PILImage.Resampling.BICUBIC)

    def caption(self, index: int, telling: int = 0) -> str:
        """Return the caption of a row, the same in each telling; without a column, none.

        Raises:
            DatasetError: if it is no text.
        """
        if self._texts is None:
            return ""
        found = self._texts[index][self._data.caption]
        if not isinstance(found, str):
            raise self._fault(index, f"the caption is {found!r}; it must be text")
        return found

    def aus(self, index: int) -> Float[np.ndarray, " aus"]:
        """Return the AU intensities of a row [0–5]; without a column, NaN.

        Raises:
            DatasetError: if they, or those of another row, are not 12 numbers of the scale.
        """
        if self._aus is None:
            return np.full(len(AUS), np.nan, np.float32)
        if self._aus_fault is not None:
            raise DatasetError(self._aus_fault)
        row = self._aus[index]
        columns = self._au_columns
        found = row[columns[0]] if len(columns) == 1 else [row[column] for column in columns]
        self._check_aus(index, found)
        return to_intensities(np.asarray(found, np.float32), self._scale)

    def _settle_scale(self, rows: Dataset) -> None:
        """Look at the AUs of all rows: find their scale, and say what is wrong with how many."""
        survey, wrong = Survey(), list[int]()
        blocks = [_au_block(table, self._au_columns) for table in _tables(rows)]
        for block in blocks:
            survey.add(block)
        generated = is_generated(self._data.path)
        self._scale = self._data.scale or (None if generated else survey.found()) or 5
        if self._scale == "occurrence":
            self._aus_fault = (
                f"{self._where}: the AUs are occurrences, 0 and 1, and training needs intensities; "
                "data.scale: 5 takes them for intensities"
            )
            return
        for number, block in enumerate(blocks):
            faulty = (np.isnan(block) | misfits(block, self._scale)).any(axis=1)
            wrong += (faulty.nonzero()[0] + number * _BLOCK).tolist()
        if len(wrong) > 1:
            named = ", ".join(map(str, wrong[:_NAMED]))
            more = " …" if len(wrong) > _NAMED else ""
            self._aus_fault = (
                f"{self._where}: the AUs of {len(wrong)} rows ({named}{more}) are not {len(AUS)} "
                f"numbers from 0 to {self._scale}"
            )
            return
        if self._scale != 5:
            self.fingerprint["scale"] = self._scale
            told = say_scale(self._scale, survey.high, "data.scale")
            _log.warning("%s: %s", self._where, told)
        if survey.clamped(self._scale):
            _log.warning("%s: %s", self._where, say_clamped(survey, self._scale))

    def _check_columns(self, rows: Dataset) -> None:
        asked = [(self._data.image, "image"), (self._data.caption, "caption")]
        for column, key in [*asked, *((column, "aus") for column in self._au_columns)]:
            if column is not None and column not in rows.column_names:
                raise DatasetError(
                    f"{self._where} has no column {column!r} (data.{key}); it has "
                    f"{', '.join(rows.column_names)}"
                )

    def _check_aus(self, index: int, found: object) -> None:
        if not isinstance(found, Sequence) or len(found) != len(AUS):
            held = f"{len(found)} numbers" if isinstance(found, Sequence) else repr(found)
            raise self._fault(index, f"the AUs are {held}; they must be {len(AUS)}")
        for name, value in zip(AUS, found, strict=True):
            known = isinstance(value, int | float) and math.isfinite(value)
            if not known or is_misfit(value, self._scale):
                raise self._fault(index, f"{name} is {value}; it must lie in [0, {self._scale}]")

    def _fault(self, index: int, what: str) -> DatasetError:
        return DatasetError(f"{self._where}, row {index}: {what}")


def _picture(stored: dict[str, Any] | None) -> Image:
    """Return the picture that a row holds as bytes, as a file, or as an address."""
    if stored is None:
        raise PictureError("there is none")
    if stored["bytes"] is not None:
        return open_picture(stored["bytes"])
    if Path(stored["path"]).exists():
        return open_picture(Path(stored["path"]))
    try:
        far = ImageColumn().decode_example(stored)
    except (OSError, ValueError, SyntaxError, PILImage.DecompressionBombError) as error:
        raise PictureError(f"it cannot be read: {first_line(error)}") from error
    return to_rgb(far)


def _tables(rows: Dataset) -> Iterator[pa.Table]:
    for table in rows.with_format("arrow").iter(batch_size=_BLOCK):
        if not isinstance(table, pa.Table):
            raise TypeError(f"{type(table).__name__} is no table")
        yield table


def _au_block(table: pa.Table, columns: list[str]) -> Float[np.ndarray, "rows aus"]:
    """Return the AUs of some rows; NaN in a row whose AUs are not 12 numbers."""
    if len(columns) == 1:
        lists = table.column(columns[0]).to_pylist()
    else:
        lists = list(zip(*(table.column(column).to_pylist() for column in columns), strict=True))
    try:
        return np.array(lists, dtype=np.float64).reshape(len(lists), len(AUS))
    except (TypeError, ValueError):
        return np.array([_numbers(one) for one in lists])


def _numbers(row: object) -> list[float]:
    if not isinstance(row, Sequence) or len(row) != len(AUS):
        return [math.nan] * len(AUS)
    return [float(one) if isinstance(one, int | float) else math.nan for one in row]


def _au_columns(asked: str | None) -> list[str]:
    if asked is None:
        return []
    return [asked.replace(_AU_PLACE, au) for au in AUS] if _AU_PLACE in asked else [asked]
