"""Finished shards whose files are not what their markers say: found, told, and made again.

What a marker says is a promise about bytes, so a shard that breaks it is made again like one that
was never finished, and comes out equal to the byte. A store that does not answer is no damage.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pyarrow.parquet as pq

from synthgen.dataset import layout
from synthgen.dataset.layout import ShardKey
from synthgen.dataset.markers import FileStamp, ShardMarker
from synthgen.dataset.parquet import UNREADABLE
from synthgen.dataset.storage import Storage
from synthgen.errors import DatasetError, MissingFileError
from synthgen.foreign import first_few, first_line

_log = logging.getLogger(__name__)

_READERS = 16
"""Shards that are looked at at a time."""

_SHOWN = 5


class DamagedShardError(DatasetError):
    """A finished shard's files are not what its marker says.

    Attributes:
        marker: its marker.
    """

    def __init__(self, marker: ShardMarker, problems: Sequence[str]) -> None:
        """Say what is wrong, and how the shard is made again."""
        self.marker = marker
        super().__init__(
            f"{'; '.join(problems)}; `synthgen generate` with the dataset's configuration makes "
            "the shard again"
        )


def find_damage(
    storage: Storage, markers: Iterable[ShardMarker], *, verify: bool = False
) -> dict[ShardKey, list[str]]:
    """Find the finished shards whose files are missing or of another content.

    Sizes are compared, and on this machine's own disks the rows that footers tell; behind a URL a
    footer would cost a round trip or two for each file, and the card reads them all anyway.

    Args:
        storage: the dataset.
        markers: its finished shards.
        verify: whether all bytes are read and their checksums compared.

    Returns:
        Shard → one sentence for each file that is wrong; shards that are whole are left out.

    Raises:
        DatasetError: if the store fails.
    """
    markers = list(markers)
    sizes: dict[str, int] = {}
    for folder in layout.OF_SHARDS:
        sizes |= storage.sizes(folder)
    look = partial(_shard_problems, storage, sizes, verify)
    with ThreadPoolExecutor(_READERS, "damage") as readers:
        found = list(readers.map(look, markers))
    return {
        marker.key: problems for marker, problems in zip(markers, found, strict=True) if problems
    }


def changed_files(storage: Storage, marker: ShardMarker) -> list[str]:
    """Compare the checksums of a finished shard's files.

    Returns:
        One sentence for each file that is missing or of another content.

    Raises:
        DatasetError: if the store fails.
    """
    return [
        problem
        for name, stamp in marker.files.items()
        if (problem := _changed(storage, name, stamp)) is not None
    ]


@contextmanager
def telling_damage(storage: Storage, marker: ShardMarker) -> Iterator[None]:
    """Blame what reading a shard raises on its files, if they are not what its marker says.

    Corrupt bytes may raise anything, so the checksums decide; any other error passes as it is.

    Raises:
        DamagedShardError: if the shard's files have changed.
    """
    try:
        yield
    except Exception as error:
        if problems := changed_files(storage, marker):
            raise DamagedShardError(marker, problems) from error
        raise


def report_damage(problems: Sequence[str], shards: int) -> None:
    """Log that shards are made again, and why."""
    _log.warning(
        "%s made again: %s",
        "a finished shard is" if shards == 1 else f"{shards} finished shards are",
        shortened(problems),
        extra={"event": "shards_damaged", "failures": shards},
    )


def shortened(problems: Sequence[str]) -> str:
    """Join the first problems, and say how many there are beside them."""
    return first_few(problems, _SHOWN, "; ", "; and ")


def _shard_problems(
    storage: Storage, sizes: Mapping[str, int], verify: bool, marker: ShardMarker
) -> list[str]:
    rows = marker.rows_of_files
    found = (
        _file_problem(storage, sizes, verify, name, stamp, rows[name])
        for name, stamp in marker.files.items()
    )
    return [problem for problem in found if problem is not None]


def _file_problem(
    storage: Storage, sizes: Mapping[str, int], verify: bool, name: str, stamp: FileStamp, rows: int
) -> str | None:
    if name not in sizes:
        return f"{name} is missing"
    if sizes[name] != stamp.bytes:
        return f"{name} has {sizes[name]} bytes; its marker says {stamp.bytes}"
    if verify and (problem := _changed(storage, name, stamp)):
        return problem
    return _footer_problem(storage, name, stamp, rows) if verify or storage.is_local else None


def _changed(storage: Storage, name: str, stamp: FileStamp) -> str | None:
    try:
        found = storage.sha256(name)
    except MissingFileError:
        return f"{name} is missing"
    if found == stamp.sha256:
        return None
    return f"{name} has sha256 {found[:12]}…; its marker says {stamp.sha256[:12]}…"


def _footer_problem(storage: Storage, name: str, stamp: FileStamp, rows: int) -> str | None:
    """Compare the rows that a footer tells; what cannot be read is compared by its checksum."""
    try:
        with storage.open(name) as file:
            found = pq.read_metadata(file).num_rows
    except UNREADABLE as error:
        if problem := _changed(storage, name, stamp):
            return problem
        raise DatasetError(f"{name} is not readable Parquet: {first_line(error)}") from error
    return None if found == rows else f"{name} has {found} rows; its marker says {rows}"
