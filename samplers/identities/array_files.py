"""Arrays in foreign files, looked at before they are read: shape, type and size first."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from numpy.lib import format as npy

from synthgen.errors import StoreError
from synthgen.foreign import excerpt, reading, regular_file

LARGEST = 8 << 30
"""Bytes of a file of embeddings that are read at most: four million faces."""

_HARMLESS = 64 << 20
_MOST_PACKED = 20
_LONGEST_HEADER = 10_000


@dataclass(frozen=True, slots=True)
class StoredArray:
    """An array of a file that has not been read yet.

    Attributes:
        shape: its shape, as the file says.
        load: reads it.
    """

    shape: tuple[int, ...]
    load: Callable[[], np.ndarray]

    @classmethod
    def of(cls, values: np.ndarray) -> "StoredArray":
        """Return an array that has been read."""
        return cls(values.shape, lambda: values)


def check_file(path: Path) -> None:
    """Refuse what is no regular file, too large, or mostly holes.

    Raises:
        StoreError: with the file.
    """
    size = regular_file(path, "the store", StoreError, LARGEST)
    refuse_packed(os.stat(path).st_blocks * 512, size, str(path))


def refuse_packed(stored: int, meant: int, where: str) -> None:
    """Refuse a few bytes that would become very many: embeddings cannot be packed that well.

    Args:
        stored: bytes in the file.
        meant: bytes that they become.
        where: the file, for the sentence.

    Raises:
        StoreError: if they are more than 64 MiB and more than 20 times as many.
    """
    if meant > LARGEST or (meant > _HARMLESS and meant > _MOST_PACKED * stored):
        raise StoreError(
            f"{where} holds {stored:,} bytes that would become {meant:,}; embeddings cannot be "
            f"packed to less than a twentieth, and at most {LARGEST:,} bytes are read"
        )


def look_at_npy(path: Path) -> StoredArray:
    """Look at the array of a `.npy` file.

    Raises:
        StoreError: if it is none, or its size is not what its header says.
    """
    check_file(path)
    with reading(path, StoreError), path.open("rb") as file:
        shape, _ = _check_header(file.read, path.stat().st_size, str(path))

    def load() -> np.ndarray:
        with reading(path, StoreError), path.open("rb") as file:
            return npy.read_array(file, allow_pickle=False)

    return StoredArray(shape, load)


def read_npz(path: Path) -> dict[str, StoredArray]:
    """Look at the arrays of a `.npz` file.

    Raises:
        StoreError: if it is none, or an array's size is not what its header says.
    """
    check_file(path)
    with reading(path, StoreError), ZipFile(path) as file:
        return {
            member.filename.removesuffix(".npy"): _member(path, file, member)
            for member in file.infolist()
        }


def check_zip(path: Path) -> None:
    """Refuse a zip file, such as `torch.save` writes, that would become very many bytes.

    Raises:
        StoreError: if it cannot be read, or would.
    """
    with reading(path, StoreError), ZipFile(path) as file:
        for member in file.infolist():
            _refuse_packed_member(path, member)


def _refuse_packed_member(path: Path, member: ZipInfo) -> None:
    where = f"{path}: {excerpt(member.filename)!r}"
    if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise StoreError(f"{where} is packed by another way than zip's own; it must be deflated")
    refuse_packed(member.compress_size, member.file_size, where)


def _member(path: Path, file: ZipFile, member: ZipInfo) -> StoredArray:
    where = f"{path}: {excerpt(member.filename)!r}"
    with file.open(member) as stream:
        shape, dtype = _check_header(stream.read, member.file_size, where)

    def load() -> np.ndarray:
        if dtype.hasobject:
            return np.empty(shape[:1], dtype=object)  # never opened; its length is all that counts
        _refuse_packed_member(path, member)
        with reading(path, StoreError), ZipFile(path) as again, again.open(member) as stream:
            return npy.read_array(stream, allow_pickle=False)

    return StoredArray(shape, load)


def _check_header(
    read: Callable[[int], bytes], size: int, where: str
) -> tuple[tuple[int, ...], np.dtype]:
    """Read the header of an array, within bounds, and compare it with the bytes that there are."""
    start = read(12)
    npy.read_magic(BytesIO(start))
    version = tuple(start[6:8])
    width = 2 if version == (1, 0) else 4
    length = int.from_bytes(start[8 : 8 + width], "little")
    if length > _LONGEST_HEADER:
        raise StoreError(
            f"{where} has a header of {length:,} bytes; an array of numbers has one of "
            f"{_LONGEST_HEADER:,} at most"
        )
    head = BytesIO(start + read(length))
    head.seek(8)
    parse = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = parse(head)
    held = size - head.tell()
    if not dtype.hasobject and prod(shape) * dtype.itemsize != held:
        raise StoreError(
            f"{where} is an array of shape {list(shape)[:8]} and type {dtype}, which takes "
            f"{prod(shape) * dtype.itemsize:,} bytes; the file holds {held:,}"
        )
    return shape, dtype
