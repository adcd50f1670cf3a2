"""Synthgen datasets as sources of labelled faces."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32
from PIL.Image import Image

from pipelines.pictures import open_picture
from pipelines.recognition.examples import Face, FaceSource
from synthgen.action_units import MAX_INTENSITY, MIN_INTENSITY
from synthgen.dataset import layout, reached, read_markers, read_record
from synthgen.dataset.parquet import read_columns
from synthgen.dataset.schema import AUS_MEASURED, EMOTION
from synthgen.dataset.statistics import in_order_of_splits, read_statistics
from synthgen.errors import DatasetError, PictureError

_BATCH = 256


class SyntheticFaces(FaceSource):
    """The accepted rows of a dataset, and those that no check has looked at.

    Args:
        place: folder or URL.

    Raises:
        DatasetError: if there is no dataset, it is corrupt, or it has no such row.
    """

    def __init__(self, place: str) -> None:
        storage = reached(place)
        record = read_record(storage)
        self._storage = storage
        self._markers = in_order_of_splits(record, read_markers(storage).values())
        self.name = str(record.configuration.get("name", "")) or storage.url
        self.kind = "synthgen dataset"
        self.aus = record.schema.aus
        self.checksum = read_statistics(storage).checksum
        self.has_measured = record.schema.has(AUS_MEASURED)
        self._categories = record.schema.categories
        self._slots = record.schema.slots
        self.left_out: dict[str, int] = {}
        self.faces: list[Face] = []
        self._rows: list[int] = []
        self._read()
        if not self.faces:
            raise DatasetError(f"{storage.url} has no accepted image; there is nothing to learn")

    def pictures(self, places: Sequence[int]) -> Iterator[Image]:
        """Yield the pictures of some faces.

        Raises:
            DatasetError: if one is damaged.
        """
        wanted = [self._rows[place] for place in places]
        here = 0
        for row, bytes_ in self._images():
            if here == len(wanted):
                return
            if row == wanted[here]:
                yield _opened(bytes_, self.faces[places[here]].name)
                here += 1

    def _read(self) -> None:
        columns = ["sample_id", "aus", "identity_id", "accepted"]
        columns += [EMOTION] if self._categories else []
        columns += [AUS_MEASURED] if self.has_measured else []
        columns += ["identity"] if self._slots else []
        refused = 0
        for number, (split, row) in enumerate(self._labels(columns)):
            if row["accepted"] is False:
                refused += 1
                continue
            self._rows.append(number)
            self.faces.append(self._face(split, row))
        if refused:
            self.left_out = {"kept though the check refused them": refused}

    def _face(self, split: str, row: dict[str, Any]) -> Face:
        label = row.get(EMOTION)
        measured = row.get(AUS_MEASURED)
        return Face(
            name=row["sample_id"],
            split=split,
            category=None if label is None else self._categories[label],
            aus=_intensities(row["aus"]),
            measured=None if measured is None or None in measured else _intensities(measured),
            person=row["identity_id"],
            slots=tuple((row.get("identity") or {}).items()),
        )

    def _labels(self, columns: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        for marker in self._markers:
            file = layout.data_file(*marker.key)
            for batch in read_columns(self._storage, file, columns):
                for row in batch.to_pylist():
                    yield marker.split, row

    def _images(self) -> Iterator[tuple[int, bytes]]:
        number = 0
        for marker in self._markers:
            file = layout.data_file(*marker.key)
            for batch in read_columns(self._storage, file, ["image"], batch_rows=_BATCH):
                for image in batch.column(0):
                    yield number, image["bytes"].as_py()
                    number += 1


def _intensities(values: Sequence[float]) -> Float32[np.ndarray, " aus"]:
    return np.clip(np.array(values, np.float32), MIN_INTENSITY, MAX_INTENSITY)


def _opened(bytes_: bytes, name: str) -> Image:
    try:
        return open_picture(bytes_)
    except PictureError as error:
        raise DatasetError(f"the image of {name} is damaged: {error}") from error
