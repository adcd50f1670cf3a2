"""Whether a machine may write to the output, how much room is there, and whether all see it."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from synthgen.dataset import layout, reached
from synthgen.errors import SynthgenError


@dataclass(frozen=True, slots=True)
class Output:
    """What a machine finds at the output.

    Attributes:
        free: room that is left [bytes]; None where nobody says, as with object stores.
        problem: why nothing can be written there; None: it can.
        shared: whether a file that the driver wrote there is seen; None: not looked for.
    """

    free: int | None = None
    problem: str | None = None
    shared: bool | None = None


def is_local(path: str) -> bool:
    """Tell whether an output lies in the machine's own file system."""
    return "://" not in path or path.startswith("file://")


def probe_output(path: str, beacon: str | None = None) -> Output:
    """Write a file at the output and delete it again.

    Args:
        path: the output; it need not exist, and nothing is left there.
        beacon: file that the driver wrote, to be looked for.
    """
    seen = None if beacon is None else Path(beacon).is_file()
    if not is_local(path):
        return Output(problem=_put_and_delete(path))
    folder = _local(path)
    nearest = _nearest(folder)
    return Output(shutil.disk_usage(nearest).free, _write_and_delete(folder, nearest), seen)


@contextlib.contextmanager
def lit_beacon(path: str) -> Iterator[str | None]:
    """Keep a file where the output will be, for other machines to look for; yield its name.

    None is yielded where the output is an object store, or nothing can be written.
    """
    if not is_local(path):
        yield None
        return
    file = _nearest(_local(path)) / layout.temporary_file("seen", secrets.token_hex(8))
    try:
        file.touch(exist_ok=False)
    except OSError:
        yield None  # the probe says why
        return
    try:
        yield str(file)
    finally:
        file.unlink(missing_ok=True)


def _local(path: str) -> Path:
    return Path(path.removeprefix("file://")).expanduser().absolute()


def _nearest(folder: Path) -> Path:
    """Return the folder, or where it would be made: the nearest that exists."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def _write_and_delete(folder: Path, nearest: Path) -> str | None:
    if not nearest.is_dir():
        return f"{nearest} is a file; output.path must be a folder"
    # Inside an output, only names of ours in .synthgen pass for leftovers of a run.
    place = folder / ".synthgen" if nearest == folder else nearest
    name = layout.temporary_file(layout.RUN, secrets.token_hex(8)).rpartition("/")[2]
    made = not place.exists()
    try:
        place.mkdir(exist_ok=True)
        try:
            (place / name).write_bytes(b"probe")
        finally:
            (place / name).unlink(missing_ok=True)
    except OSError as error:
        return f"cannot write to {place}: {os.strerror(error.errno or 0)}"
    finally:
        if made and place.exists():
            with contextlib.suppress(OSError):  # another run has begun there
                place.rmdir()
    return None


def _put_and_delete(url: str) -> str | None:
    name = layout.temporary_file(layout.RUN, secrets.token_hex(8))
    try:
        storage = reached(url)
        storage.write(name, b"probe")
        storage.delete(name)
    except SynthgenError as error:
        return str(error)
    return None
