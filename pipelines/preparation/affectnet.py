"""AffectNet: faces from the web with an expression, valence and arousal, and no AUs.

Mollahosseini, Hasani & Mahoor, "AffectNet", IEEE Transactions on Affective Computing 2017. Two
releases are read, unpacked:

- that of cropped faces: `train_set` and `val_set`, each with `images/17.jpg` and
  `annotations/17_exp.npy`, `17_val.npy` and `17_aro.npy`;
- the first one: `training.csv` and `validation.csv` of the manually annotated set, pictures below
  `Manually_Annotated_Images`, out of which the face's box is cut.
"""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.pictures import ENDINGS
from pipelines.preparation.files import checksum_of, files_below, picture_file
from pipelines.preparation.source import Drop, Item, Listing, PictureSource, Read
from samplers.priors.labels.emotions import CODES
from synthgen.dataset.schema import Feature, value_feature
from synthgen.errors import DatasetError, SynthgenError
from synthgen.foreign import counted, excerpt, reading, regular_file

_SETS = {"train_set": "train", "val_set": "validation", "test_set": "test"}
_TABLES = {"training.csv": "train", "validation.csv": "validation"}
_PICTURES = (
    "Manually_Annotated_Images",
    "Manually_Annotated/Manually_Annotated_Images",
    "Manually_Annotated",
    "",
)
_ARCHIVES = (".zip", ".rar", ".7z", ".tar", ".gz", ".tgz")
_LARGEST_LABEL = 1 << 16
_LARGEST_TABLE = 2 << 30
_NO_FACE = 10
_PATH, _CODE = "subDirectory_filePath", "expression"
_BOX = ("face_x", "face_y", "face_width", "face_height")
_UNKNOWN = -2.0
"""Number of valence and arousal where nobody told."""

NO_ANNOTATION = "no sound annotation"
NO_FILE = "no such picture"
NO_FACE = "annotated as no face"


@dataclass(frozen=True, slots=True)
class _Label:
    """Annotation of a picture."""

    code: int
    valence: float | None
    arousal: float | None


class AffectNet(PictureSource):
    """A copy of AffectNet.

    Args:
        root: its folder.

    Raises:
        DatasetError: if there is no such folder, or it has neither layout.
    """

    name = "affectnet"
    title = "AffectNet"
    columns: Mapping[str, Feature] = {
        "expression": value_feature("string"),
        "valence": value_feature("float32"),
        "arousal": value_feature("float32"),
    }

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise DatasetError(
                f"{excerpt(root)} is no folder; AffectNet's archives must be unpacked"
            )
        self.root = root
        self.folders = (root,)
        self._sets = [name for name in _SETS if (root / name / "images").is_dir()]
        self._tables = [name for name in _TABLES if (root / name).is_file()]
        if not self._sets and not self._tables:
            raise DatasetError(_no_layout(root))
        if self._sets and self._tables:
            raise DatasetError(
                f"{excerpt(root)} has both releases, {self._sets[0]} and {self._tables[0]}, of "
                "which many pictures are the same; keep each in a folder of its own"
            )
        self.options: Mapping[str, Any] = {"sets": [*self._sets, *self._tables]}

    def listing(self) -> Listing:
        """Put pictures and annotations together.

        Raises:
            DatasetError: if a table is malformed, or there is no picture.
        """
        digest = sha256()
        items: list[Item] = []
        drops: list[Drop] = []
        for name in self._sets:
            self._list_set(name, items, drops, digest)
        for name in self._tables:
            self._list_table(name, items, drops, digest)
        if not items and not drops:
            raise DatasetError(f"{excerpt(self.root)} holds no picture; looked for are .jpg files")
        return Listing(
            items=items,
            drops=drops,
            steps=(NO_ANNOTATION, NO_FILE, NO_FACE),
            what="pictures",
            checksum=digest.hexdigest(),
            notes=[],
            licences={
                "AffectNet": "its authors' licence, non-commercial research without "
                "redistribution: you hold your own licensed copy"
            },
        )

    def read(self, items: Sequence[Item]) -> Iterator[Read | str]:
        """Yield the picture of each item, or the part of it that shows the face."""
        for item in items:
            found = picture_file(self.root / item.file)
            yield found if isinstance(found, str) or item.box is None else _cut(found, item.box)

    def _list_set(self, name: str, items: list[Item], drops: list[Drop], digest: Any) -> None:
        split, below = _SETS[name], self.root / name
        paths = files_below(below / "images", ENDINGS)
        digest.update(checksum_of(self.root, paths).encode())
        for path in sorted(paths, key=lambda path: (_number(path.stem), path.name)):
            file = path.relative_to(self.root).as_posix()
            try:
                label = _annotation(below / "annotations", path.stem)
            except SynthgenError as error:
                drops.append(Drop(split, file, None, NO_ANNOTATION, str(error)))
                continue
            digest.update(f"{file} {label}\n".encode())
            self._take(_item(f"{name}/{path.stem}", split, file, label), label, items, drops)

    def _list_table(self, name: str, items: list[Item], drops: list[Drop], digest: Any) -> None:
        split, table = _TABLES[name], self.root / name
        place = next((place for place in _PICTURES if place and (self.root / place).is_dir()), "")
        for line, row in _rows(table):
            file = f"{place}/{row[_PATH].strip()}".removeprefix("/")
            where = f"line {line}"
            path = self.root / file
            try:
                label, box = _labelled(row), _box(row)
            except ValueError as error:
                drops.append(Drop(split, file, None, NO_ANNOTATION, f"{where}: {error}"))
                continue
            if not path.is_file():
                drops.append(Drop(split, file, None, NO_FILE, f"{where} of {name} names it"))
                continue
            digest.update(f"{file} {path.stat().st_size} {label} {box}\n".encode())
            item = _item(file.rpartition(".")[0], split, file, label)
            self._take(replace(item, box=box), label, items, drops)

    def _take(self, item: Item, label: _Label, items: list[Item], drops: list[Drop]) -> None:
        if label.code == _NO_FACE:
            why = "its expression is 10, no face"
            drops.append(Drop(item.split, item.file, None, NO_FACE, why))
        else:
            items.append(item)


def _no_layout(root: Path) -> str:
    packed = sorted(p.name for p in root.iterdir() if p.suffix.lower() in _ARCHIVES)
    text = (
        f"{excerpt(root)} has neither release of AffectNet: train_set/images with "
        "train_set/annotations, or training.csv with Manually_Annotated_Images"
    )
    if packed:
        text += f"; {counted(len(packed), 'archive')} ({excerpt(packed[0], 60)}) must be unpacked"
    return text


def _item(name: str, split: str, file: str, label: _Label) -> Item:
    return Item(
        name=name,
        split=split,
        file=file,
        labels="measured",
        more={
            "expression": CODES["affectnet"][label.code],
            "valence": label.valence,
            "arousal": label.arousal,
        },
    )


def _number(stem: str) -> float:
    return float(stem) if stem.isdigit() and len(stem) < 15 else math.inf


def _annotation(folder: Path, stem: str) -> _Label:
    """Read what is annotated of a picture.

    Raises:
        SynthgenError: if a file is missing or holds something else.
    """
    code, valence, arousal = (
        _value(folder / f"{stem}_{what}.npy") for what in ("exp", "val", "aro")
    )
    try:
        return _label(code, valence, arousal)
    except ValueError as error:
        raise DatasetError(str(error)) from error


def _value(path: Path) -> float:
    regular_file(path, "the annotation", DatasetError, _LARGEST_LABEL)
    with reading(path, DatasetError):
        # The release keeps numbers as text in some files.
        return float(np.load(path, allow_pickle=False).reshape(-1)[0])


def _label(code: float, valence: float, arousal: float) -> _Label:
    if code not in CODES["affectnet"]:
        raise ValueError(f"the expression is {code:g}; it must be 0 to 10")
    known = {}
    for name, value in (("valence", valence), ("arousal", arousal)):
        if value != _UNKNOWN and not -1 <= value <= 1:
            raise ValueError(f"the {name} is {value:g}; it must be −1 to 1, or −2 for none")
        known[name] = None if value == _UNKNOWN else value
    return _Label(int(code), known["valence"], known["arousal"])


def _labelled(row: Mapping[str, str]) -> _Label:
    values = []
    for name in (_CODE, "valence", "arousal"):
        text = row.get(name, str(_UNKNOWN)).strip()
        try:
            values.append(float(text))
        except ValueError:
            raise ValueError(f"{name} is {excerpt(text, 40)!r}; it must be a number") from None
    return _label(*values)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    regular_file(path, "the table", DatasetError, _LARGEST_TABLE)
    with reading(path, DatasetError), path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        head = [name.strip() for name in next(lines, [])]
        if lacking := [name for name in (_PATH, _CODE) if name not in head]:
            raise DatasetError(f"{excerpt(path)} has no column {lacking[0]}")
        for number, cells in enumerate(lines, start=2):
            if len(cells) != len(head):
                raise DatasetError(
                    f"{excerpt(path)}, line {number}: {len(cells)} values, and line 1 names "
                    f"{len(head)}"
                )
            yield number, dict(zip(head, cells, strict=True))


def _box(row: Mapping[str, str]) -> tuple[float, float, float, float] | None:
    if not all(row.get(name, "").strip() for name in _BOX):
        return None
    try:
        left, top, width, height = (float(row[name]) for name in _BOX)
    except ValueError:
        left = top = width = height = math.nan
    if not (math.isfinite(left + top) and 1 <= width < math.inf and 1 <= height < math.inf):
        raise ValueError("the face's box must be four numbers, its sides 1 at least")
    return left, top, left + width, top + height


def _cut(found: Read, box: tuple[float, float, float, float]) -> Read | str:
    image = found.image
    left, top = max(0, round(box[0])), max(0, round(box[1]))
    right, bottom = min(image.width, round(box[2])), min(image.height, round(box[3]))
    if left >= right or top >= bottom:
        return f"the face's box lies outside of its {image.width} × {image.height} pixels"
    return Read(image.crop((left, top, right, bottom)), None)
