"""A CSV table for each split, and the pictures in folders beside it."""

import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from synthgen.dataset.exporting.form import Form, Shard, whole, write_picture
from synthgen.dataset.exporting.values import ending, refuse_unwritable
from synthgen.dataset.merging.sources import Source
from synthgen.dataset.schema import AUS_MEASURED, image_columns

_VECTORS = ("aus", AUS_MEASURED)
"""Lists in whose place each AU has a column."""


class Csv(Form):
    """`<split>.csv`, and `images/<split>/<sample_id>.png`."""

    name = "csv"
    au_columns = True

    def __init__(self, source: Source, folder: Path) -> None:
        super().__init__(source, folder)
        self.features = {
            name: feature for name, feature in self.features.items() if name not in _VECTORS
        }
        refuse_unwritable(self.features, self.name)

    def write(self, shard: Shard, tables: Iterator[pa.Table]) -> Mapping[str, Any]:
        """Write the shard's pictures, and its lines aside."""
        header = b""
        with whole(self.part(shard, "csv")) as file:
            for table in tables:
                flat = _flat(self._with_paths(shard.split, table))
                header = _lines(flat.slice(0, 0), header=True)
                file.write(_lines(flat, header=False))
        os.sync()
        return {"header": header.decode()}

    def _with_paths(self, split: str, table: pa.Table) -> pa.Table:
        """Write the pictures of rows, and put their paths in their places."""
        ids = table["sample_id"].to_pylist()
        for column in image_columns(self.features):
            folder = f"images/{split}" if column == "image" else f"{column}/{split}"
            paths: list[str | None] = []
            for sample_id, picture in zip(ids, table[column].to_pylist(), strict=True):
                if column != "image" and picture is None:
                    paths.append(None)
                    continue
                path = f"{folder}/{sample_id}.{ending(picture, column, sample_id)}"
                write_picture(self.folder / path, picture["bytes"])
                paths.append(path)
            place = table.schema.get_field_index(column)
            table = table.set_column(place, column, [pa.array(paths, pa.string())])
        return table

    def finish(self, shards: Sequence[tuple[Shard, Mapping[str, Any]]]) -> None:
        """Join the lines of each split."""
        for split, parts in groupby(shards, key=lambda item: item[0].split):
            with whole(self.folder / f"{split}.csv") as table:
                for number, (shard, kept) in enumerate(parts):
                    if number == 0:
                        table.write(kept["header"].encode())
                    with self.part(shard, "csv").open("rb") as part:
                        shutil.copyfileobj(part, table)

    def loading(self) -> str:
        """Return the code that reads the first split."""
        return f'import pandas\n\nrows = pandas.read_csv("FOLDER/{self.splits()[0]}.csv")'

    def places(self) -> Mapping[str, str]:
        """Return where columns go."""
        lists = [name for name, feature in self.features.items() if feature.get("_type") == "List"]
        others = [name for name in image_columns(self.features) if name != "image"]
        return {
            "image": "`images/<split>/<sample_id>.png`, `.jpg` or `.webp`: the encoded file as it "
            "is; its path from this folder stands in the column",
            **{name: f"the same way below `{name}/`; empty where it is null" for name in others},
            "aus, aus_measured": "a column for each AU: `AU01` asked for, `AU01_measured` found",
            "identity": "a column for each slot: `identity.<slot>`",
            **({", ".join(lists): "a JSON list in one cell"} if lists else {}),
            "all others": 'a column of their name; null is an empty cell, an empty text is `""`',
        }


def _flat(table: pa.Table) -> pa.Table:
    """Return a table that CSV holds: structs as columns, lists as JSON, float32 as doubles."""
    table = table.flatten()
    for place, field in enumerate(table.schema):
        column = table.column(place)
        if pa.types.is_list(field.type) or pa.types.is_fixed_size_list(field.type):
            texts = [None if value is None else json.dumps(value) for value in column.to_pylist()]
            table = table.set_column(place, field.name, pa.array(texts, pa.string()))
        elif pa.types.is_floating(field.type):
            table = table.set_column(place, field.name, column.cast(pa.float64()))
    return table


def _lines(table: pa.Table, *, header: bool) -> bytes:
    buffer = io.BytesIO()
    options = pyarrow.csv.WriteOptions(include_header=header, quoting_style="needed")
    pyarrow.csv.write_csv(table, buffer, options)
    return buffer.getvalue()
