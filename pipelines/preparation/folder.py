"""A folder of pictures, with a table of their labels, or with a network that measures them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from pipelines.pictures import ENDINGS
from pipelines.preparation.files import checksum_of, files_below, picture_file
from pipelines.preparation.source import Drop, Item, Listing, PictureSource, Read
from samplers.priors.labels.picture_rows import PictureRow, read_picture_table
from samplers.priors.labels.source import Reading
from samplers.shares import deal
from synthgen.dataset.schema import Feature
from synthgen.errors import DatasetError
from synthgen.foreign import counted, excerpt

TRAIN = "train"

_NO_FILE = "no such picture"
_NO_ROW = "no row in the table"
_NO_LABELS = "no labels in its row"
_NO_SPLIT = "no split in its row"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of labels.

    Attributes:
        path: the file.
        layout: how it is written, such as `csv` or `openface`.
        reading: scale, missing codes, sides.
        picture: column of the pictures' names; None: one of the usual names.
        caption: column of captions, or None.
        subject: column of who is shown, or None.
        split: column of splits, or None.
        absent: AUs that no picture shows, of which there is no column.
    """

    path: Path
    layout: str = "csv"
    reading: Reading
    picture: str | None = None
    caption: str | None = None
    subject: str | None = None
    split: str | None = None
    absent: Sequence[str] = ()

    @property
    def texts(self) -> list[str]:
        """The columns of texts that are read."""
        return [name for name in (self.caption, self.subject, self.split) if name is not None]


class PictureFolder(PictureSource):
    """Pictures of a folder and below.

    Args:
        root: the folder.
        table: their labels; None: they are measured.
        by_folder: whether the first folder below the root names who is shown.
        splits: split → share of the subjects.
        seed: seed of who goes to which split.

    Raises:
        DatasetError: if there is no such folder, or splits are asked for and nobody says who is
            shown.
    """

    title = "Pictures of a folder"
    columns: Mapping[str, Feature] = {}

    def __init__(
        self,
        root: Path,
        table: Table | None,
        *,
        by_folder: bool = False,
        splits: Mapping[str, float],
        seed: int = 0,
    ) -> None:
        if not root.is_dir():
            raise DatasetError(f"{excerpt(root)} is no folder; archives must be unpacked")
        self.name = root.resolve().name
        self.root = root
        self.folders = (root,)
        self._table = table
        self._by_folder = by_folder
        self._splits = splits
        self._seed = seed
        knows_subjects = by_folder or (table is not None and table.subject is not None)
        if len(splits) > 1 and not knows_subjects:
            raise DatasetError(
                f"--splits names {len(splits)} splits, and nothing says who is shown, so a person "
                "would be in several; name a column (--subject-column), say that each folder is a "
                "person (--subject-folders), or name the column of splits (--split-column)"
            )
        self.options: Mapping[str, Any] = {
            "table": None if table is None else _told(table),
            "by_folder": by_folder,
            "splits": dict(splits),
            "seed": seed,
        }

    def listing(self) -> Listing:
        """Put pictures and rows together.

        Raises:
            LabelsError: if the table is malformed.
            DatasetError: if there is no picture, or fewer subjects than splits.
        """
        paths = files_below(self.root, ENDINGS)
        if not paths:
            raise DatasetError(
                f"{excerpt(self.root)} holds no picture; looked for are {', '.join(ENDINGS)}"
            )
        files = {path.relative_to(self.root).as_posix(): path for path in paths}
        checksum, notes = checksum_of(self.root, paths), []
        if self._table is None:
            items = [self._item(file, None) for file in files]
            drops: list[Drop] = []
        else:
            table = self._table
            found = read_picture_table(
                table.path,
                table.layout,
                table.reading,
                picture=table.picture,
                texts=table.texts,
                absent=table.absent,
            )
            checksum = sha256(f"{checksum} {found.sha256}".encode()).hexdigest()
            notes += found.notes
            items, drops = self._joined(files, found.rows)
        return Listing(
            items=self._dealt(items),
            drops=drops,
            steps=(_NO_FILE, _NO_ROW, _NO_LABELS, _NO_SPLIT),
            what="pictures",
            checksum=checksum,
            notes=notes,
            licences={self.name: "that of your pictures and labels, which nobody here knows"},
        )

    def read(self, items: Sequence[Item]) -> Iterator[Read | str]:
        """Yield the picture of each item."""
        for item in items:
            yield picture_file(self.root / item.file)

    def _joined(
        self, files: Mapping[str, Path], rows: Sequence[PictureRow]
    ) -> tuple[list[Item], list[Drop]]:
        items: list[Item] = []
        drops: list[Drop] = []
        named: dict[str, PictureRow] = {}
        for row in rows:
            file = row.picture.replace("\\", "/").removeprefix("./")
            if file not in files:
                why = f"line {row.line} of the table names it"
                drops.append(Drop(TRAIN, row.picture, None, _NO_FILE, why))
                continue
            named[file] = row
        for file in files:
            if (row := named.get(file)) is None:
                drops.append(Drop(TRAIN, file, None, _NO_ROW, "no row names it"))
            elif row.why is not None:
                why = f"line {row.line}: {row.why}"
                drops.append(Drop(TRAIN, file, None, _NO_LABELS, why))
            else:
                items.append(self._item(file, row))
        if self._table is not None and self._table.split is not None:
            lacking = [item for item in items if not item.split]
            drops += [Drop(TRAIN, item.file, None, _NO_SPLIT, "it is empty") for item in lacking]
            items = [item for item in items if item.split]
        return items, drops

    def _item(self, file: str, row: PictureRow | None) -> Item:
        table = self._table
        texts = {} if row is None else row.texts
        subject = texts.get(table.subject or "") if table else None
        if self._by_folder:
            subject = file.partition("/")[0] if "/" in file else None
        return Item(
            name=file.rpartition(".")[0],
            split=texts.get(table.split, "") if table and table.split else TRAIN,
            file=file,
            subject=subject or None,
            aus=None if row is None else row.aus,
            labels="measured"
            if row is None or table is None
            else f"{table.path.name}, line {row.line}",
            caption=(texts.get(table.caption or "") or None) if table else None,
        )

    def _dealt(self, items: list[Item]) -> list[Item]:
        """Put subjects into splits, unless the table says the splits."""
        if (self._table is not None and self._table.split is not None) or not items:
            return items
        if len(self._splits) == 1:
            (split,) = self._splits
            return [replace(item, split=split) for item in items]
        # Who is not named is somebody of his own: a picture alone.
        people = {item.subject or f"?{item.file}" for item in items}
        if len(people) < len(self._splits):
            raise DatasetError(
                f"{excerpt(self.root)} shows {counted(len(people), 'subject')}, and --splits names "
                f"{len(self._splits)} splits; each needs one"
            )
        splits = deal(self._seed, "data/subjects", sorted(people), self._splits)
        return [replace(item, split=splits[item.subject or f"?{item.file}"]) for item in items]


def _told(table: Table) -> dict[str, Any]:
    reading = table.reading
    return {
        "layout": table.layout,
        "scale": reading.scale,
        "missing": [*reading.missing, *sorted(reading.missing_texts)],
        "sides": reading.sides,
        "columns": [table.picture, table.caption, table.subject, table.split],
        "absent": list(table.absent),
    }
