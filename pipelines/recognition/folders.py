"""Pictures of others as sources of labelled faces, by the layouts in which they are handed out.

- **FER2013** (Goodfellow et al., 2013, "Challenges in representation learning"): a CSV file with
  the columns `emotion` (0 to 6), `pixels` (48×48 grey values) and `Usage` (`Training`,
  `PublicTest`, `PrivateTest`, which are read as train, validation and test).
- **RAF-DB**, basic emotions (Li, Deng & Du, CVPR 2017, http://www.whdeng.cn/RAF/model1.html):
  `EmoLabel/list_patition_label.txt` with lines such as `train_00001.jpg 5`, pictures in
  `Image/aligned/train_00001_aligned.jpg` or `Image/original/train_00001.jpg`; also as folders
  `train/1` … `test/7` of the aligned pictures.
- **AffectNet** (Mollahosseini, Hasani & Mahoor, 2017), the release of cropped faces: `train_set`
  and `val_set`, each with `images/17.jpg` and `annotations/17_exp.npy`; and the first release:
  `training.csv` and `validation.csv` with the columns `subDirectory_filePath`, `expression` and
  those of the face's box, pictures below `Manually_Annotated_Images`.
- **Image folder**: a folder of pictures for each category, below `train`, `validation` and `test`
  or without splits.
"""

import csv
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image as PILImage
from PIL.Image import Image

from pipelines.pictures import ENDINGS, open_picture
from pipelines.recognition.examples import TEST, TRAIN, UNSPLIT, VALIDATION, Face, FaceSource
from samplers.priors.labels.emotions import CODES, emotion_word
from synthgen.errors import DatasetError, PictureError
from synthgen.foreign import excerpt, listed, reading, regular_file

RAF_DB: dict[str, str] = {
    "1": "surprised", "2": "fearful", "3": "disgusted", "4": "happy", "5": "sad", "6": "angry",
    "7": "neutral",
}  # fmt: skip
"""Numbers of RAF-DB's basic emotions."""

_RAF_LABELS = Path("EmoLabel/list_patition_label.txt")
_RAF_PICTURE = re.compile(r"(train|test)_\d+(_aligned)?\.jpg")
_AFFECTNET_SETS = {"train_set": TRAIN, "val_set": VALIDATION, "test_set": TEST}
_FER_USAGE = {"training": TRAIN, "publictest": VALIDATION, "privatetest": TEST}
_FER_SIDE = 48
_FER_FILES = ("fer2013.csv", "icml_face_data.csv")
_SPLIT_NAMES = {
    "train": TRAIN, "training": TRAIN, "val": VALIDATION, "valid": VALIDATION,
    "validation": VALIDATION, "test": TEST, "testing": TEST,
}  # fmt: skip
_LARGEST_TABLE = 2 << 30
_LARGEST_LABEL = 1 << 16
"""Bytes of an AffectNet annotation: a number and NumPy's header have some hundred."""

_AFFECTNET_TABLES = {"training.csv": TRAIN, "validation.csv": VALIDATION}
_AFFECTNET_BOX = ("face_x", "face_y", "face_width", "face_height")
_AFFECTNET_PICTURES = (
    "Manually_Annotated_Images",
    "Manually_Annotated/Manually_Annotated_Images",
    "Manually_Annotated",
    "",
)


class Cut(NamedTuple):
    """A face in a larger picture: left, top, right and bottom edge of its box [pixels]."""

    path: Path
    box: tuple[float, float, float, float]


Picture = Path | Cut | UInt8[np.ndarray, "48 48"]


class PictureFolder(FaceSource):
    """A folder or file of pictures, by whichever layout it has.

    Args:
        path: the folder, or FER2013's table.

    Raises:
        DatasetError: if it has none of the layouts, or is malformed.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.resolve().name
        self.aus: tuple[str, ...] = ()
        self.faces: list[Face] = []
        self._pictures: list[Picture] = []
        self._omitted: Counter[str] = Counter()
        self.root = path
        self.kind, read = _layout(path)
        read(self)
        self.left_out: dict[str, int] = dict(self._omitted)
        if not self.faces:
            raise DatasetError(f"{excerpt(path)} is read as {self.kind} and has no labelled face")
        self.checksum = self._checksum()

    def add(self, name: str, split: str, category: str, picture: Picture) -> None:
        """Take a picture in."""
        self.faces.append(Face(name, split, category))
        self._pictures.append(picture)

    def omit(self, reason: str) -> None:
        """Count a picture that is not taken in."""
        self._omitted[reason] += 1

    def pictures(self, places: Sequence[int]) -> Iterator[Image]:
        """Yield the pictures of some faces.

        Raises:
            DatasetError: if one cannot be read.
        """
        for place in places:
            picture = self._pictures[place]
            if isinstance(picture, np.ndarray):
                yield PILImage.fromarray(picture).convert("RGB")
                continue
            path, box = picture if isinstance(picture, Cut) else (picture, None)
            try:
                image = open_picture(path)
            except PictureError as error:
                raise _unusable(path, str(error)) from error
            yield image if box is None else _cut_out(image, box, path)

    def _checksum(self) -> str:
        """Return a hash of names, labels and sizes: reading all photographs would take minutes."""
        digest = sha256()
        for face, picture in zip(self.faces, self._pictures, strict=True):
            path = picture.path if isinstance(picture, Cut) else picture
            size = path.stat().st_size if isinstance(path, Path) else path.tobytes()
            digest.update(f"{face.name} {face.split} {face.category} {size!r}\n".encode())
        return digest.hexdigest()[:16]


def _layout(path: Path) -> tuple[str, Callable[[PictureFolder], None]]:
    if path.is_file():
        if path.suffix.lower() == ".csv":
            return "FER2013", lambda folder: _read_fer2013(folder, path)
        raise DatasetError(f"{excerpt(path)} is a file; only FER2013's table ends in .csv")
    for name in _FER_FILES:
        if (path / name).is_file():
            return "FER2013", lambda folder, file=path / name: _read_fer2013(folder, file)
    for root in (path, path / "basic"):
        if (root / _RAF_LABELS).is_file():
            return "RAF-DB", lambda folder, root=root: _read_raf_db(folder, root)
    sets = [name for name in _AFFECTNET_SETS if (path / name / "annotations").is_dir()]
    if sets:
        return "AffectNet", lambda folder: _read_affectnet(folder, sets)
    tables = [name for name in _AFFECTNET_TABLES if (path / name).is_file()]
    if tables:
        return "AffectNet", lambda folder: _read_affectnet_tables(folder, tables)
    return "image folder", _read_image_folder


def _read_fer2013(folder: PictureFolder, path: Path) -> None:
    words = CODES["fer2013"]
    for number, row in _table_rows(path, ("emotion", "pixels")):
        where = f"{excerpt(path)}, line {number}"
        code = row["emotion"].strip()
        if not code.isdigit() or int(code) not in words:
            raise DatasetError(f"{where}: emotion is {excerpt(code)}; it must be 0 to 6")
        split = _fer_split(row["Usage"], where) if "Usage" in row else UNSPLIT
        folder.add(f"line {number}", split, words[int(code)], _grey(row["pixels"], where))


def _fer_split(usage: str, where: str) -> str:
    split = _FER_USAGE.get(usage.strip().lower())
    if split is None:
        raise DatasetError(
            f"{where}: Usage is {excerpt(usage)}; it must be Training, PublicTest or PrivateTest"
        )
    return split


def _grey(text: str, where: str) -> UInt8[np.ndarray, "48 48"]:
    try:
        values = np.array(text.split(), np.int64)
    except (ValueError, OverflowError):
        values = np.full(1, -1)
    if values.size != _FER_SIDE**2 or values.min() < 0 or values.max() > 255:
        raise DatasetError(
            f"{where}: pixels are {values.size} values; they must be {_FER_SIDE**2} of 0 to 255"
        )
    return values.astype(np.uint8).reshape(_FER_SIDE, _FER_SIDE)


def _read_raf_db(folder: PictureFolder, root: Path) -> None:
    path = root / _RAF_LABELS
    regular_file(path, "the label file", DatasetError, _LARGEST_TABLE)
    with reading(path, DatasetError):
        lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        parts = line.split()
        if len(parts) != 2 or not _RAF_PICTURE.fullmatch(parts[0]) or parts[1] not in RAF_DB:
            raise DatasetError(
                f"{excerpt(path)}, line {number} is {excerpt(line)!r}; it must be like "
                "'train_00001.jpg 5', with a number of 1 to 7"
            )
        picture = _raf_picture(root, parts[0])
        if picture is None:
            folder.omit("no file")
        else:
            split = TRAIN if parts[0].startswith("train") else TEST
            folder.add(parts[0], split, RAF_DB[parts[1]], picture)


def _raf_picture(root: Path, name: str) -> Path | None:
    aligned = root / "Image" / "aligned" / f"{Path(name).stem}_aligned.jpg"
    return next((p for p in (aligned, root / "Image" / "original" / name) if p.is_file()), None)


def _read_affectnet(folder: PictureFolder, sets: Sequence[str]) -> None:
    words = CODES["affectnet"]
    for name in sets:
        below = folder.root / name
        for label in sorted((below / "annotations").glob("*_exp.npy"), key=lambda p: p.name):
            number = label.name.removesuffix("_exp.npy")
            code = _affectnet_code(label)
            if code not in words:
                raise DatasetError(f"{excerpt(label)} holds {code}; it must be 0 to 10")
            picture = below / "images" / f"{number}.jpg"
            if code > 7:
                folder.omit(f"labelled {words[code]}")
            elif not picture.is_file():
                folder.omit("no file")
            else:
                folder.add(f"{name}/{number}", _AFFECTNET_SETS[name], words[code], picture)


def _read_affectnet_tables(folder: PictureFolder, tables: Sequence[str]) -> None:
    words = CODES["affectnet"]
    for name in tables:
        path = folder.root / name
        for number, row in _table_rows(path, ("subDirectory_filePath", "expression")):
            code = row["expression"].strip()
            if not code.isdigit() or int(code) not in words:
                raise DatasetError(
                    f"{excerpt(path)}, line {number}: expression is {excerpt(code)}; it must be 0 "
                    "to 10"
                )
            file = row["subDirectory_filePath"].strip()
            below = (folder.root / place / file for place in _AFFECTNET_PICTURES)
            if int(code) > 7:
                folder.omit(f"labelled {words[int(code)]}")
            elif (picture := next((one for one in below if one.is_file()), None)) is None:
                folder.omit("no file")
            else:
                box = _box(row, f"{excerpt(path)}, line {number}")
                cut = picture if box is None else Cut(picture, box)
                folder.add(file, _AFFECTNET_TABLES[name], words[int(code)], cut)


def _table_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    regular_file(path, "the table", DatasetError, _LARGEST_TABLE)
    csv.field_size_limit(1 << 20)
    with reading(path, DatasetError), path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        head = [name.strip() for name in next(rows, [])]
        if lacking := [name for name in columns if name not in head]:
            raise DatasetError(f"{excerpt(path)} has no column {lacking[0]}")
        for number, cells in enumerate(rows, start=2):
            if len(cells) != len(head):
                raise DatasetError(
                    f"{excerpt(path)}, line {number}: {len(cells)} values, and line 1 names "
                    f"{len(head)}"
                )
            yield number, dict(zip(head, cells, strict=True))


def _box(row: Mapping[str, str], where: str) -> tuple[float, float, float, float] | None:
    if not all(row.get(name, "").strip() for name in _AFFECTNET_BOX):
        return None
    try:
        left, top, width, height = (float(row[name]) for name in _AFFECTNET_BOX)
    except ValueError:
        left = top = width = height = 0.0
    if not (math.isfinite(left + top) and 1 <= width < math.inf and 1 <= height < math.inf):
        raise DatasetError(f"{where}: the face's box must be four numbers, its sides 1 at least")
    return left, top, left + width, top + height


def _cut_out(image: Image, box: tuple[float, float, float, float], path: Path) -> Image:
    left, top = max(0, round(box[0])), max(0, round(box[1]))
    right, bottom = min(image.width, round(box[2])), min(image.height, round(box[3]))
    if left >= right or top >= bottom:
        raise _unusable(path, "the face's box lies outside of it")
    return image.crop((left, top, right, bottom))


def _unusable(path: Path, why: str) -> DatasetError:
    return DatasetError(f"the picture {excerpt(path)} cannot be used: {why}")


def _affectnet_code(path: Path) -> int:
    regular_file(path, "the annotation", DatasetError, _LARGEST_LABEL)
    with reading(path, DatasetError):
        # The release keeps the number as text in some files.
        return int(np.load(path, allow_pickle=False).reshape(-1)[0])


def _read_image_folder(folder: PictureFolder) -> None:
    root = folder.root
    splits = {child: _SPLIT_NAMES.get(child.name.lower()) for child in _folders(root)}
    parts = {child: split for child, split in splits.items() if split and _folders(child)}
    if not parts and root.is_dir() and (root / "DATASET").is_dir():
        parts = {
            child: split
            for child in _folders(root / "DATASET")
            if (split := _SPLIT_NAMES.get(child.name.lower()))
        }
    classes = [(split, c) for child, split in parts.items() for c in _folders(child)]
    classes = classes or [(UNSPLIT, child) for child in _folders(root)]
    found = [(split, child, _files(child)) for split, child in classes]
    found = [(split, child, files) for split, child, files in found if files]
    if not found:
        raise DatasetError(
            f"{excerpt(root)} is no synthgen dataset and has no layout that is known: FER2013's "
            "table, RAF-DB's EmoLabel and Image, AffectNet's train_set and val_set, or a folder of "
            "pictures for each category"
        )
    numbered = {child.name for _, child, _ in found if child.name.isdigit()}
    is_raf = numbered and numbered <= set(RAF_DB) and _is_raf(files for *_, files in found)
    if numbered and not is_raf:
        raise DatasetError(
            f"{excerpt(root)} names categories by numbers ({listed(sorted(numbered), 3)}), and "
            "nobody says whose they are; name its folders by words, such as happy"
        )
    folder.kind = "RAF-DB" if is_raf else folder.kind
    for split, child, files in found:
        category = RAF_DB.get(child.name) or emotion_word(child.name)
        for file in files:
            folder.add(file.relative_to(root).as_posix(), split, category, file)


def _is_raf(files: Iterator[Sequence[Path]]) -> bool:
    return all(_RAF_PICTURE.fullmatch(few[0].name) for few in files)


def _folders(root: Path) -> list[Path]:
    with reading(root, DatasetError):
        children = [p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")]
    return sorted(children, key=lambda p: p.name)


def _files(root: Path) -> list[Path]:
    with reading(root, DatasetError):
        files = [p for p in root.iterdir() if p.suffix.lower() in ENDINGS and p.is_file()]
    return sorted(files, key=lambda p: p.name)
