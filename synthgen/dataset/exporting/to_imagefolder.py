"""Folders of pictures, one for each category, with all columns in a Parquet file beside them."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synthgen.dataset.exporting.form import Form, Shard, whole, write_picture
from synthgen.dataset.exporting.values import ending, rows_of
from synthgen.dataset.merging.sources import Source
from synthgen.dataset.schema import (
    EMOTION_NAME,
    Feature,
    arrow_schema,
    image_columns,
    value_feature,
)
from synthgen.errors import DatasetError
from synthgen.foreign import excerpt

_FOLDER_NAME = re.compile(r"\w([\w .,()+&-]{0,78}\w)?")
"""Categories that may name a folder on every system."""

_FILE_NAME = "file_name"
"""Column in which `datasets` finds the picture's file, below the folder of the table."""


class ImageFolder(Form):
    """`<split>/<category>/<sample_id>.png`, and `<split>/metadata.parquet`."""

    name = "imagefolder"

    def __init__(self, source: Source, folder: Path) -> None:
        super().__init__(source, folder)
        for category in self.categories():
            if not _FOLDER_NAME.fullmatch(category):
                raise DatasetError(
                    f"the category {excerpt(category, 60)!r} can name no folder, which "
                    "imagefolder needs; export as webdataset, csv, coco or lance"
                )

    def write(self, shard: Shard, tables: Iterator[pa.Table]) -> Mapping[str, Any]:
        """Write the shard's pictures, and its rows aside."""
        schema = arrow_schema(self._table_features())
        with whole(self.part(shard, "parquet")) as file, pq.ParquetWriter(file, schema) as part:
            for table in tables:
                rows = [
                    self._row(shard.split, row, pictures)
                    for row, pictures in rows_of(table, self.features)
                ]
                part.write_table(pa.Table.from_pylist(rows, schema=schema))
        os.sync()
        return {}

    def _row(
        self, split: str, row: Mapping[str, Any], pictures: Mapping[str, Any]
    ) -> dict[str, Any]:
        folder = self._folder(row.get(EMOTION_NAME))
        found = dict(row)
        for column, picture in pictures.items():
            if column != "image" and picture is None:
                continue
            kind = ending(picture, column, row["sample_id"])
            # Under another ending, what reads folders alone does not take it for a sample.
            kind = kind if column == "image" else f"{kind}.{column}"
            file = f"{folder}/{row['sample_id']}.{kind}"
            write_picture(self.folder / split / file, picture["bytes"])
            found[_column_of(column)] = file
        return found

    def _folder(self, category: str | None) -> str:
        """Return the folder of a category; without one, a name that none of them has."""
        name = category or ("images" if not self.categories() else "unlabelled")
        while category is None and name in self.categories():
            name = f"{name}_"
        return name

    def _table_features(self) -> dict[str, Feature]:
        pictures = image_columns(self.features)
        return {
            _column_of(name) if name in pictures else name: (
                value_feature("string") if name in pictures else feature
            )
            for name, feature in self.features.items()
        }

    def finish(self, shards: Sequence[tuple[Shard, Mapping[str, Any]]]) -> None:
        """Join the rows of each split."""
        schema = arrow_schema(self._table_features())
        for split, parts in groupby(shards, key=lambda item: item[0].split):
            with (
                whole(self.folder / split / "metadata.parquet") as file,
                pq.ParquetWriter(file, schema, compression="zstd") as table,
            ):
                for shard, _ in parts:
                    for batch in pq.ParquetFile(self.part(shard, "parquet")).iter_batches():
                        table.write_batch(batch)

    def loading(self) -> str:
        """Return the code that reads it."""
        return (
            'from datasets import load_dataset\n\nrows = load_dataset("imagefolder", '
            'data_dir="FOLDER")'
            if set(self.splits()) <= {"train", "validation", "test"}
            else 'from datasets import load_dataset\n\nrows = load_dataset("FOLDER")'
        )

    def places(self) -> Mapping[str, str]:
        """Return where columns go."""
        labels = (
            {"emotion_name": "the folder's name too; `unlabelled` where it is null"}
            if self.categories()
            else {}
        )
        others = {
            name: f"`<category>/<sample_id>.<png, jpg or webp>.{name}`, named in `{name}_file_name`"
            for name in image_columns(self.features)
            if name != "image"
        }
        return {
            "image": "`<split>/<category>/<sample_id>.png`, `.jpg` or `.webp`: the encoded file "
            "as it is, named in the column `file_name`",
            **labels,
            **others,
            "all others": "`<split>/metadata.parquet`, with their types",
        }

    def files(self) -> Mapping[str, str]:
        """Return the folder of each split."""
        return {split: f"{split}/**" for split in self.splits()}


def _column_of(pictures: str) -> str:
    return _FILE_NAME if pictures == "image" else f"{pictures}_{_FILE_NAME}"
