"""A form that a dataset is written in: what all forms share."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import pyarrow as pa

from synthgen.dataset import layout
from synthgen.dataset.exporting.source import all_features
from synthgen.dataset.exporting.values import JsonWriter
from synthgen.dataset.merging.sources import Source
from synthgen.dataset.schema import EMOTION, Feature
from synthgen.dataset.whole_files import replacing

PARTS = ".synthgen/parts"
"""Folder of what is joined at the end of an export."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard that is exported.

    Attributes:
        split: its split.
        number: its number in the split.
        first: rows of the split before it.
        rows: its rows.
    """

    split: str
    number: int
    first: int
    rows: int

    @property
    def name(self) -> str:
        """Split and number, as file names say them."""
        return f"{self.split}-{self.number:05d}"


class Form(ABC):
    """A form that a dataset is written in, shard by shard.

    Writing a shard again, after an interruption, replaces what was written of it.
    """

    name: ClassVar[str]
    au_columns: ClassVar[bool] = False
    """True where each AU gets a column of its own."""

    def __init__(self, source: Source, folder: Path) -> None:
        """Prepare to write; nothing is written.

        Args:
            source: the dataset.
            folder: where to, an existing folder.

        Raises:
            DatasetError: if the form cannot hold a column of the dataset.
            MissingDependencyError: if its library is not installed.
        """
        self.source = source
        self.folder = folder
        self.features: dict[str, Feature] = all_features(source, self.au_columns)
        self.json = JsonWriter()

    @abstractmethod
    def write(self, shard: Shard, tables: Iterator[pa.Table]) -> Mapping[str, Any]:
        """Write a shard.

        Args:
            shard: the shard.
            tables: its rows, under `features`.

        Returns:
            What `finish` must know of it, as JSON holds it.
        """

    @abstractmethod
    def finish(self, shards: Sequence[tuple[Shard, Mapping[str, Any]]]) -> None:
        """Join what belongs together once all shards are written.

        Args:
            shards: all shards with what `write` returned of each; those of a split stand together,
                in order.
        """

    @abstractmethod
    def loading(self) -> str:
        """Return the Python code that reads the export, with `FOLDER` for its place."""

    @abstractmethod
    def places(self) -> Mapping[str, str]:
        """Return where columns go: a column, or words for several → the place in words."""

    def files(self) -> Mapping[str, str] | None:
        """Return split → pattern of its files, for `load_dataset`; None where it reads no such."""
        return None

    def categories(self) -> list[str]:
        """Return the names of the label `emotion`; none where the dataset has none."""
        return list(self.features.get(EMOTION, {}).get("names", ()))

    def splits(self) -> list[str]:
        """Return the splits that have rows, in their order."""
        return list(dict.fromkeys(marker.split for marker in self.source.markers))

    def part(self, shard: Shard, ending: str) -> Path:
        """Return the place of what is kept of a shard until the end."""
        return self.folder / PARTS / f"{shard.name}.{ending}"


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that bears its name once it is whole and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(layout.temporary_file(path.name, "0" * 16))
    with replacing(path, temporary), temporary.open("wb") as file:
        yield file


def write_picture(path: Path, data: bytes) -> None:
    """Write a picture's file as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def json_line(value: Any) -> bytes:
    """Return a value as one line of JSON."""
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
