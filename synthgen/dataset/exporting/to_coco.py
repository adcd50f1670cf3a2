"""COCO: a JSON file of pictures, annotations and categories for each split."""

import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from PIL import Image

from synthgen.dataset.exporting.form import Form, Shard, json_line, whole, write_picture
from synthgen.dataset.exporting.values import ending, refuse_unwritable, rows_of
from synthgen.dataset.merging.sources import Source
from synthgen.dataset.schema import EMOTION, image_columns
from synthgen.errors import DatasetError
from synthgen.foreign import excerpt, first_line

_FACE = "face"
"""Category of rows that have none of the dataset's own."""


class Coco(Form):
    """`annotations/<split>.json`, and `images/<split>/<sample_id>.png`."""

    name = "coco"

    def __init__(self, source: Source, folder: Path) -> None:
        super().__init__(source, folder)
        refuse_unwritable(self.features, self.name)

    def write(self, shard: Shard, tables: Iterator[pa.Table]) -> Mapping[str, Any]:
        """Write the shard's pictures, and its entries aside."""
        number = shard.first
        with (
            whole(self.part(shard, "images")) as images,
            whole(self.part(shard, "annotations")) as annotations,
        ):
            for table in tables:
                for row, pictures in rows_of(table, self.features):
                    number += 1  # COCO's tools take an annotation 0 for none
                    size = self._write_image(images, shard.split, number, row, pictures)
                    self._write_annotation(annotations, shard.split, number, row, pictures, size)
        os.sync()
        return {}

    def _write_image(
        self,
        file: BinaryIO,
        split: str,
        number: int,
        row: Mapping[str, Any],
        pictures: Mapping[str, Any],
    ) -> tuple[int, int]:
        picture, sample_id = pictures["image"], row["sample_id"]
        name = f"images/{split}/{sample_id}.{ending(picture, 'image', sample_id)}"
        write_picture(self.folder / name, picture["bytes"])
        width, height = _size(picture["bytes"], sample_id)
        file.write(json_line({"id": number, "file_name": name, "width": width, "height": height}))
        return width, height

    def _write_annotation(
        self,
        file: BinaryIO,
        split: str,
        number: int,
        row: Mapping[str, Any],
        pictures: Mapping[str, Any],
        size: tuple[int, int],
    ) -> None:
        attributes = dict(row)
        for column in pictures.keys() - {"image"}:
            attributes[column] = None
            if (picture := pictures[column]) is not None:
                kind = ending(picture, column, row["sample_id"])
                attributes[column] = f"{column}/{split}/{row['sample_id']}.{kind}"
                write_picture(self.folder / attributes[column], picture["bytes"])
        label = row.get(EMOTION)
        text = self.json.text(
            attributes,
            id=number,
            image_id=number,
            category_id=len(self.categories()) if label is None else label,
            bbox=[0, 0, *size],
            area=size[0] * size[1],
            iscrowd=0,
        )
        file.write(text.encode() + b"\n")

    def finish(self, shards: Sequence[tuple[Shard, Mapping[str, Any]]]) -> None:
        """Join the entries of each split."""
        categories = [
            {"id": number, "name": name, "supercategory": _FACE}
            for number, name in enumerate([*self.categories(), _FACE])
        ]
        licences = self.source.record.licences
        head = {
            "info": {
                "description": f"{self.source.name} ({self.source.run}), split SPLIT",
                "aus": list(self.source.record.schema.aus),
            },
            "licenses": [
                {"id": number, "name": f"{what}: {licence}", "url": ""}
                for number, (what, licence) in enumerate(licences.items(), 1)
            ],
            "categories": categories,
        }
        for split, parts in groupby(shards, key=lambda item: item[0].split):
            names = [shard for shard, _ in parts]
            with whole(self.folder / "annotations" / f"{split}.json") as file:
                said = json.dumps(head, ensure_ascii=False).replace("split SPLIT", f"split {split}")
                file.write(said.encode().removesuffix(b"}"))
                for key in ("images", "annotations"):
                    file.write(f',\n"{key}": [\n'.encode())
                    self._join(file, names, key)
                    file.write(b"]")
                file.write(b"}\n")

    def _join(self, file: BinaryIO, shards: Sequence[Shard], key: str) -> None:
        """Write the lines of parts with commas between them, a line at a time."""
        between = b""
        for shard in shards:
            with self.part(shard, key).open("rb") as part:
                for line in part:
                    file.write(between + line.rstrip(b"\n"))
                    between = b",\n"
        file.write(b"\n")

    def loading(self) -> str:
        """Return the code that reads the first split."""
        return (
            f'import json\n\ncoco = json.load(open("FOLDER/annotations/{self.splits()[0]}.json"))'
        )

    def places(self) -> Mapping[str, str]:
        """Return where columns go."""
        others = {
            name: f"`{name}/<split>/<sample_id>.png`, its path in `attributes`"
            for name in image_columns(self.features)
            if name != "image"
        }
        return {
            "image": "`images/<split>/<sample_id>.png`, `.jpg` or `.webp`: the encoded file as it "
            "is; `images` holds its path, width and height",
            EMOTION: "`category_id`: the same number; where there is none, that of `face`",
            **others,
            "all others": "`attributes` of the picture's one annotation, whose `bbox` is the whole "
            "picture",
        }


def _size(data: bytes, sample_id: str) -> tuple[int, int]:
    """Read width and height [px]; no pixel is decoded."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size
    except Exception as error:
        raise DatasetError(
            f"image of {excerpt(sample_id, 60)} cannot be read: {first_line(error)}; `synthgen "
            "inspect` tells what is damaged"
        ) from error
