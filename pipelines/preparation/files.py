"""Files of a source: found in an order of their own, read as they are, told from others."""

import os
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from pipelines.pictures import open_picture, picture_bytes
from pipelines.preparation.source import Read
from synthgen.errors import PictureError


def files_below(root: Path, endings: Sequence[str]) -> list[Path]:
    """Return the files below a folder with some endings, in order of name; hidden ones are none.

    Args:
        root: the folder.
        endings: endings in lower case.
    """
    return sorted(path for path in _walk(root) if path.suffix.lower() in endings)


def picture_file(path: Path) -> Read | str:
    """Read a picture, or say why it cannot be used."""
    try:
        data = picture_bytes(path)
        return Read(open_picture(data), data)
    except PictureError as error:
        return str(error)


def checksum_of(root: Path, files: Iterable[Path]) -> str:
    """Return a hash of the names and sizes of files: to read all pictures would take hours."""
    digest = sha256()
    for path in files:
        name = os.fsencode(path.relative_to(root).as_posix())
        digest.update(name + f"\0{path.stat().st_size}\n".encode())
    return digest.hexdigest()


def _walk(root: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in names if not name.startswith("."))
