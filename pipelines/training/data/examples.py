"""Examples of a training: procedural faces, or a dataset of images with labels."""

import hashlib
import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from datasets import Dataset, DatasetDict, load_dataset, load_from_disk
from datasets import Image as ImageColumn
from datasets.exceptions import DatasetsError
from jaxtyping import Float
from PIL import Image as PILImage
from PIL import ImageOps
from PIL.Image import Image

from pipelines.diffusion.prompts import ENDS, token_counts
from pipelines.pictures import open_picture, to_rgb
from pipelines.procedural import Expression, Identity, render, renderer_version
from pipelines.training.data.captions import describe
from pipelines.training.data.config import DatasetData, ProceduralData
from pipelines.training.data.drawing import (
    draw_aus,
    draw_person,
    draw_sides,
    expression_of_sides,
    label_aus,
)
from samplers.priors.labels.scales import (
    Scale,
    Survey,
    is_misfit,
    misfits,
    say_clamped,
    say_scale,
    to_intensities,
)
from samplers.randomness import uniforms
from synthgen.action_units import AUS, DEFAULT_AUS, ActionUnitSet
from synthgen.dataset import Storage, read_markers
from synthgen.dataset.loading import folder_fault
from synthgen.errors import DatasetError, PictureError
from synthgen.foreign import first_line

_SAVED = ("dataset_dict.json", "state.json")
_GENERATED = Path(".synthgen") / "shards"


def open_rows(path: str, name: str | None, split: str) -> Dataset:
    """Open one split.

    Args:
        path: folder of `synthgen generate`, of `save_to_disk`, or of data files; or a Hub id.
        name: configuration of the dataset; None: the default one.
        split: the split; for other folders than saved ones also a slice such as `train[:90%]`.

    Raises:
        DatasetError: if there is no such dataset or split, or it has no rows.
    """
    where = f"{path} ({split})"
    saved = any((Path(path) / file).is_file() for file in _SAVED)
    if not saved and (fault := folder_fault(path)):
        raise DatasetError(f"the dataset {where} cannot be opened: {fault}")
    try:
        rows = _saved_split(path, split) if saved else load_dataset(path, name, split=split)
    except (OSError, ValueError, KeyError, DatasetsError) as error:
        raise DatasetError(f"the dataset {where} cannot be opened: {first_line(error)}") from error
    if not isinstance(rows, Dataset):
        raise DatasetError(f"{where} is a {type(rows).__name__}; it must be rows of one split")
    if not len(rows):
        raise DatasetError(f"the dataset {where} has no rows")
    return rows.with_format(None)


def is_generated(path: str) -> bool:
    """Return whether synthgen generated a folder."""
    return (Path(path) / _GENERATED).is_dir()


def dataset_fingerprint(path: str, split: str, rows: Dataset) -> str:
    """Return what tells these rows from others.

    For a generated dataset it is made of the checksums of its shards, so that a copy is the same;
    for others it is the one of `datasets`.
    """
    if not is_generated(path):
        return rows._fingerprint
    digest = hashlib.sha256(split.encode())
    for marker in read_markers(Storage(path)).values():
        for file, stamp in sorted(marker.files.items()):
            digest.update(f"{file} {stamp.sha256}\n".encode())
    return digest.hexdigest()[:16]


def _saved_split(path: str, split: str) -> object:
    try:
        found = load_from_disk(path)
    except IndexError:  # what was saved without a row has no file, which datasets cannot open
        return Dataset.from_dict({})
    if not isinstance(found, DatasetDict):
        return found
    if split not in found:
        raise ValueError(f"Unknown split {split!r}. Should be one of {list(found)}.")
    return found[split]


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

    action_units = DEFAULT_AUS

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
        survey, wrong = Survey(len(AUS)), list[int]()
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


HELD_OUT = 2**40
"""Identity seed of the first held-out face; training takes identity seeds from 0 on."""


class ProceduralExamples:
    """Portraits without end: example i is a function of (data, seed, i).

    Args:
        data: what is drawn.
        seed: seed of the run.
        held_out: draw identities that no training sees, other expressions and other captions.

    Attributes:
        size: side of an image [pixels].
    """

    count = None

    def __init__(self, data: ProceduralData, seed: int, held_out: bool = False) -> None:
        self._data = data
        self._seed = seed
        self._stage = "held-out" if held_out else "train"
        self._first = HELD_OUT if held_out else 0
        self.size = data.size
        self.action_units = label_aus(data)
        self.fingerprint: dict[str, Any] = {"renderer": renderer_version(data.edition)}

    def identity(self, index: int) -> Identity:
        """Return who example `index` shows."""
        stage = f"faces/{self._stage}"
        return draw_person(self._data, self._seed, stage, index, self._first + index)

    def aus(self, index: int) -> Float[np.ndarray, " aus"]:
        """Return the AUs of an example; where its sides differ, their mean."""
        if not self._data.one_sided:
            return self._stronger(index)
        return self._sides(index).mean(axis=0)

    def expression(self, index: int) -> Expression:
        """Return the expression of an example, on both sides."""
        if not self._data.one_sided:
            return Expression.symmetric(self._stronger(index).tolist())
        return expression_of_sides(self._sides(index))

    def _stronger(self, index: int) -> Float[np.ndarray, " aus"]:
        data, stage = self._data, f"faces/{self._stage}"
        return draw_aus(
            self._seed, stage, index, data.expressions, data.intensity, self.action_units
        )

    def _sides(self, index: int) -> Float[np.ndarray, "2 aus"]:
        stage, share = f"faces/{self._stage}", self._data.one_sided
        return draw_sides(self._seed, stage, index, self._stronger(index), share)

    def image(self, index: int) -> Image:
        """Draw the portrait of an example."""
        return self.drawn(self.identity(index), index)

    def drawn(self, person: Identity, index: int) -> Image:
        """Draw anybody with the expression of an example."""
        return render(person, self.expression(index), size=self.size)

    def caption(self, index: int, telling: int = 0) -> str:
        """Describe an example; each telling uses other words."""
        stage = f"captions/{self._stage}/{telling}"
        draws = uniforms(self._seed, stage, index, index + 1, 2)[0]
        expression = self.aus(index) if draws[0] < self._data.expression_words else None
        seed = int(draws[1] * 2**53)
        return describe(self.identity(index), seed, expression, self.action_units)


_LOOKED_AT = 10_000
"""Captions whose length is looked at before a training, at most; a tenth where there is no end."""


@runtime_checkable
class Examples(Protocol):
    """Examples by index, from 0 on; each is the same whenever it is asked for."""

    @property
    def count(self) -> int | None:
        """Number of examples; None: without end."""
        ...

    @property
    def action_units(self) -> ActionUnitSet:
        """The AUs of a vector."""
        ...

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Inputs that the examples depend on besides their configuration and seed."""
        ...

    def image(self, index: int) -> Image:
        """Return an image: RGB, square, of the configured side."""
        ...

    def caption(self, index: int, telling: int = 0) -> str:
        """Return what it shows; another telling may use other words."""
        ...

    def aus(self, index: int) -> Float[np.ndarray, " aus"]:
        """Return its AU intensities [0–5]; NaN where the data have none."""
        ...


def examples_of(data: ProceduralData | DatasetData, seed: int, held_out: bool = False) -> Examples:
    """Open the examples of a training.

    Args:
        data: where they come from.
        seed: seed of the training.
        held_out: those that are not learned from: other identities, or the split `held_out`.

    Raises:
        DatasetError: if there is no such dataset, or it is empty or lacks a column.
    """
    if isinstance(data, ProceduralData):
        return ProceduralExamples(data, seed, held_out)
    return DatasetExamples(data, held_out)


def first_rows(examples: Examples, count: int) -> range:
    """Return the first `count` examples, or as many as there are."""
    return range(count if examples.count is None else min(count, examples.count))


def warn_of_cut_captions(examples: Examples, tokenizer: Any, count: int | None = None) -> None:
    """Say how many captions are longer than the text encoder reads: what lies beyond is not seen.

    Args:
        examples: what is learned from; its first captions are looked at.
        tokenizer: the text encoder's.
        count: how many of them are learned from; None: all.
    """
    there = examples.count
    looked_at = _LOOKED_AT // 10 if there is None else min(there, _LOOKED_AT)
    if count is not None:
        looked_at = min(looked_at, count)
    captions = [examples.caption(index) for index in range(looked_at)]
    room = tokenizer.model_max_length - ENDS
    long = [count for count in token_counts(tokenizer, captions) if count > room]
    if long:
        _log.warning(
            f"{len(long):,} of the first {looked_at:,} captions have more than {room} tokens "
            f"besides begin and end (the longest {max(long):,}); what lies beyond is not learned"
        )
