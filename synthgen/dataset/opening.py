"""Begin or continue a run: its place checked, the store asked, only our files touched."""

import errno
import logging
import os
import shutil
import stat
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from synthgen.config.output import protocol_of
from synthgen.dataset import layout
from synthgen.dataset.damage import find_damage, report_damage, shortened
from synthgen.dataset.layout import ShardKey
from synthgen.dataset.loading import refuse_unloadable
from synthgen.dataset.markers import ShardMarker, readable_markers
from synthgen.dataset.retry import RetryPolicy
from synthgen.dataset.run_record import (
    CONFIGURATION,
    RunRecord,
    differences,
    joined_hardware,
    lost_record,
    read_record,
    source_names,
)
from synthgen.dataset.storage import Storage, has_buckets, where_to_look, whom
from synthgen.errors import OutputError
from synthgen.foreign import excerpt, first_few, first_line

_LEAST_FREE = 1_000_000
"""Bytes that must be left on a disk for a run to begin at all; what it takes is foreseen later."""

_LONGEST_PATH = 4096
"""Bytes of a path on Linux; a system with a smaller bound says so when it is asked."""

_OURS = 120
"""Bytes of the longest name of a file of ours, below the output."""


def check_place(storage: Storage) -> None:
    """Refuse a folder that cannot be made or written, or where ours have no room; write nothing.

    A store behind a URL is not asked: only writing tells what it allows.

    Raises:
        OutputError: if a link leads nowhere, a file is in the way, a name is too long, nothing may
            be written there, or the disk is full.
    """
    if not storage.is_local:
        return
    folder = Path(storage.root).absolute()
    nearest = _nearest(folder)
    _check_names(folder, nearest)
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(
            f"nothing can be written in {excerpt(nearest)}: no permission, or a disk that is read "
            "only; choose another output.path"
        )
    free = shutil.disk_usage(nearest).free
    if free < _LEAST_FREE:
        raise OutputError(
            f"the disk of {excerpt(nearest)} is full ({free:,} bytes are left); make room, or "
            "choose another output.path"
        )
    if found := obstacles(storage):
        shown = first_few([f"{name} is {kind}" for name, kind in found.items()], 5)
        raise OutputError(
            f"{storage.url} has no room for files of the dataset: {shown}; move it away, or "
            f"let `{layout.repair_command(storage.url)}` set it aside"
        )


def obstacles(storage: Storage) -> dict[str, str]:
    """Return name → kind of what lies where files and folders of ours belong and is none of them.

    Object stores have no folders, so that nothing is in the way there.
    """
    found: dict[str, str] = {}
    if not storage.is_local:
        return found
    for folder in layout.FOLDERS:
        for name, kind in storage.kinds(folder).items():
            due = "directory" if name in layout.FOLDERS else "file"
            if kind != due and (name in layout.FOLDERS or layout.is_ours(name)):
                found[name] = _KINDS[kind]
    return found


def strays(storage: Storage) -> list[str]:
    """Return the names of files beside the shards that are no files of ours; hidden ones aside."""
    return [
        name
        for folder in layout.OF_SHARDS
        for name in storage.names(folder)
        if not layout.is_ours(name) and not name.rpartition("/")[2].startswith(".")
    ]


_KINDS = {
    "file": "a file",
    "directory": "a folder",
    "other": "no regular file, or a link that leads nowhere",
}


def _nearest(folder: Path) -> Path:
    """Return the output, or the folder in which it would be made.

    Raises:
        OutputError: if that is no folder.
    """
    for place in (folder, *folder.parents):
        try:
            found = place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if error.errno == errno.ELOOP:
                continue  # a folder above is the link that leads in a circle
            raise OutputError(
                f"output.path {excerpt(folder)} cannot be used: {_reason(error)}; choose another"
            ) from error
        if stat.S_ISLNK(found.st_mode):
            found = _followed(place)
        if not stat.S_ISDIR(found.st_mode):
            what = "a file" if stat.S_ISREG(found.st_mode) else "no folder"
            raise OutputError(f"{excerpt(place)} is {what}; choose a folder for output.path")
        return place
    return Path(folder.anchor)


def _followed(link: Path) -> os.stat_result:
    try:
        return link.stat()
    except FileNotFoundError as error:
        raise OutputError(
            f"{excerpt(link)} is a link to {excerpt(os.readlink(link))}, which does not exist; "
            "make that folder, or choose another output.path"
        ) from error
    except OSError as error:
        why = "leads in a circle" if error.errno == errno.ELOOP else f"fails: {_reason(error)}"
        raise OutputError(
            f"{excerpt(link)} is a link that {why}; choose another output.path"
        ) from error


def _check_names(folder: Path, nearest: Path) -> None:
    """Refuse names that the file system would refuse once work has begun."""
    allowed = os.pathconf(nearest, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
    for name in folder.relative_to(nearest).parts:
        if (length := len(os.fsencode(name))) > allowed:
            raise OutputError(
                f"a folder of output.path has a name of {length} bytes ({excerpt(name, 60)}); at "
                f"most {allowed} are allowed there"
            )
    if (length := len(os.fsencode(folder)) + _OURS) > _LONGEST_PATH:
        raise OutputError(
            f"output.path and the dataset's own names make paths of {length} bytes; at most "
            f"{_LONGEST_PATH} are allowed: choose a shorter one"
        )


def _reason(error: OSError) -> str:
    return (error.strerror or first_line(error)).lower()


FIRST_ANSWER = 10.0
"""Longest wait for the first answer of a store [s]. A run that goes on has more patience."""

_ASK_AGAIN = 0.7
"""Share of it in which a store that fails is asked again, so that there is time to say why."""


def reached(url: str, patience: RetryPolicy | None = None) -> Storage:
    """Open a dataset's folder or URL, and see that its store answers; nothing is written.

    Args:
        url: a folder or a URL.
        patience: of the storage that is returned; the first question is asked for ten seconds
            at most.

    Raises:
        OutputError: if the URL is none of a dataset, the store does not answer in time or refuses,
            or the bucket does not exist.
        MissingDependencyError: if the protocol needs a package that is not installed.
    """
    if protocol_of(url) == "file":
        return Storage(url, patience)
    # Opening alone may ask for credentials over the network, and no package bounds all that it
    # does: so another thread asks, which nobody waits for at the end.
    seconds = patience.seconds if patience else 0.0
    brief = RetryPolicy(min(_ASK_AGAIN * FIRST_ANSWER, seconds))
    _within(FIRST_ANSWER, url, lambda: _ask(url, brief))
    return Storage(url, patience)


def _ask(url: str, patience: RetryPolicy) -> None:
    storage = Storage(url, patience, once=True)
    try:
        there = storage.has_bucket() if has_buckets(url) else True
        if there:
            storage.exists(layout.RUN)
    except OutputError as error:
        raise OutputError(f"{error}; {whom(url)} was asked: {where_to_look(url)}") from error
    if not there:
        bucket = storage.root.partition("/")[0]
        raise OutputError(f"{whom(url)} has no bucket {bucket}; {where_to_look(url)}")


def _within(seconds: float, url: str, ask: Callable[[], None]) -> None:
    answers: SimpleQueue[BaseException | None] = SimpleQueue()

    def run() -> None:
        try:
            ask()
            answers.put(None)
        except BaseException as error:
            answers.put(error)

    threading.Thread(target=run, name="first answer", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except Empty:
        raise OutputError(
            f"cannot reach {excerpt(url)}: {whom(url)} has not answered for {seconds:g} s; "
            f"{where_to_look(url)}"
        ) from None
    if answer is not None:
        raise answer


_log = logging.getLogger(__name__)

_NEWER = {
    'output.ids: nothing → "run"': "output.ids: plain",
    "output.mark: nothing → true": "output.mark: false",
}
"""A difference to a run without a newer key → what that run was begun with."""


class ShardRange(Protocol):
    """A shard of the plan: samples start to stop of a split's own numbering."""

    @property
    def split(self) -> str:
        """Split of the shard."""
        ...

    @property
    def number(self) -> int:
        """Number of the shard in its split."""
        ...

    @property
    def start(self) -> int:
        """First sample."""
        ...

    @property
    def stop(self) -> int:
        """The sample after the last."""
        ...


def check_output(
    storage: Storage, configuration: Mapping[str, Any], samples: int, *, overwrite: bool = False
) -> None:
    """Refuse an output that `open_run` would refuse, before any model is loaded.

    Args:
        storage: the output folder.
        configuration: the configuration's part of the identity of the data.
        samples: samples asked for.
        overwrite: whether a dataset of ours that lies there may be deleted.

    Raises:
        OutputError: if the folder holds something else, or a dataset of another configuration or
            of more samples, or if nothing can be written there, or nothing could load it.
        DatasetError: if its record is corrupt.
    """
    check_place(storage)
    refuse_unloadable(storage)
    if not storage.exists(layout.RUN):
        _refuse_foreign(storage)
    elif not overwrite:
        old = read_record(storage)
        identity = {**old.identity, CONFIGURATION: configuration}
        _refuse_other(storage, old, replace(old, identity=identity, samples=samples))


def open_run(
    storage: Storage,
    record: RunRecord,
    config_yaml: str,
    planned: Iterable[ShardRange],
    *,
    overwrite: bool = False,
    mixed_hardware: bool = False,
    verify: bool = False,
) -> dict[ShardKey, ShardMarker]:
    """Make a folder ready for a run and return the finished shards' markers.

    An empty folder becomes a dataset; a dataset of ours with the same identity is continued, with
    as many samples or more; any other folder is refused and stays as it is. A shard that has grown
    since, because more samples are asked for, does not count as finished: its marker is deleted,
    as are those that are corrupt, disagree with the plan, or whose files are not what they say; all
    of these are logged at once.

    Args:
        storage: the output folder.
        record: the run that is to be made there.
        config_yaml: the resolved configuration, to be stored with the data.
        planned: all shards of the run.
        overwrite: delete the files of our own dataset that lies there, and only those.
        mixed_hardware: go on with another kind of accelerator than the dataset was begun on.
        verify: compare the checksums of all finished shards.

    Raises:
        OutputError: if the folder holds something else, a dataset of another identity, of other
            hardware or of more samples, or cannot be written.
        DatasetError: if the record is corrupt, or the store fails.
    """
    if not storage.exists(layout.RUN):
        _refuse_foreign(storage)
        obsolete, finished, kept = [], {}, record
    elif overwrite:
        clear(storage, (layout.RUN, layout.LEASE))
        obsolete, finished, kept = [], {}, record
    else:
        old = read_record(storage)
        _refuse_other(storage, old, record)
        hardware = joined_hardware(storage.url, old.hardware, record.hardware, mixed=mixed_hardware)
        finished, obsolete = _finished_shards(storage, planned, verify)
        kept = replace(old, samples=record.samples, hardware=hardware)
    remove_leftovers(storage)
    # The record comes first: it is what makes the folder ours should the next step fail.
    _write_if_new(storage, layout.RUN, kept.to_json())
    _write_if_new(storage, layout.CONFIG, config_yaml.encode())
    _delete_manifests(storage, obsolete)
    for name in obsolete:
        storage.delete(name)
    return finished


def remove_leftovers(storage: Storage) -> None:
    """Delete what writes that were cut off have left; nobody else may be writing.

    Only folders of this machine know such files: stores show an object when it is whole.

    Raises:
        OutputError: if a file cannot be deleted.
    """
    if not storage.is_local:
        return
    for folder in layout.FOLDERS:
        for name in storage.names(folder):
            if layout.is_temporary(name):
                storage.delete(name)


def clear(storage: Storage, kept: Collection[str]) -> None:
    """Delete the files of a dataset of ours but some: those that keep the folder ours, and a lease.

    Markers go first, so that no shard counts as finished without its files.

    Args:
        storage: the dataset.
        kept: names of the files that stay.

    Raises:
        OutputError: if a file cannot be deleted.
    """
    for folder in (layout.MARKERS, *layout.FOLDERS):
        for name in storage.names(folder):
            if layout.is_ours(name) and name not in kept:
                storage.delete(name)


def _delete_manifests(storage: Storage, markers: Collection[str]) -> None:
    """Delete what signers have said of shards that are made again: it is not true of the new."""
    again = {layout.shard_of(name) for name in markers}
    for folder in layout.OF_SHARDS if again else ():
        for name in storage.names(folder):
            if layout.is_manifest(name) and layout.shard_of(layout.vouched_for(name)) in again:
                storage.delete(name)


def _refuse_foreign(storage: Storage) -> None:
    if lost := lost_record(storage):
        raise OutputError(lost)
    inside = storage.entries(".synthgen")
    others = [name for name in storage.entries() if name != ".synthgen"]
    others += [name for name in inside if not (layout.is_temporary(name) or name == layout.LEASE)]
    if others:
        raise OutputError(
            f"{storage.url} holds files that are not a synthgen dataset (such as "
            f"{excerpt(others[0])}); choose another output.path"
        )


def _refuse_other(storage: Storage, old: RunRecord, new: RunRecord) -> None:
    if old.sources:
        raise OutputError(
            f"{storage.url} was merged from {source_names(old)}, and no run goes on there; run "
            "each in its own dataset and merge them again, choose another output.path, or start "
            "anew with --overwrite"
        )
    if old.outdated:
        raise OutputError(
            f"{storage.url} {old.outdated}; continue it with that one, choose another "
            "output.path, or start anew with --overwrite"
        )
    changed = differences(old.identity, new.identity)
    if changed and all(difference in _NEWER for difference in changed):
        begun = " and ".join(_NEWER[difference] for difference in changed)
        raise OutputError(
            f"{storage.url} was begun with {begun}; continue it so, choose another "
            "output.path, or start anew with --overwrite"
        )
    if changed:
        raise OutputError(
            f"{storage.url} holds a dataset that was made otherwise ({shortened(changed)}); "
            "choose another output.path, or start anew with --overwrite"
        )
    if new.samples < old.samples:
        raise OutputError(
            f"{storage.url} holds a run of {old.samples} samples and samples is {new.samples}; a "
            "run can be extended but not cut: raise samples, or start anew with --overwrite"
        )


def _finished_shards(
    storage: Storage, planned: Iterable[ShardRange], verify: bool
) -> tuple[dict[ShardKey, ShardMarker], list[str]]:
    """Return the markers of the shards that need not be made, and the names of all others."""
    markers, corrupt = readable_markers(storage)
    plan = {(shard.split, shard.number): shard for shard in planned}
    _refuse_unplanned(storage, markers, plan)
    if found := strays(storage):
        _log.warning(
            "no part of the dataset, though programs that read all files of a folder read it: %s",
            shortened(found),
            extra={"event": "strays"},
        )
    problems = find_damage(storage, markers.values(), verify=verify)
    for key, marker in markers.items():
        if marker.start != plan[key].start or marker.stop > plan[key].stop:
            problems.setdefault(key, []).append(
                f"marker {_range(marker)} and the plan {plan[key].start} to {plan[key].stop}"
            )
    if problems or corrupt:
        told = [error.problem for error in corrupt.values()]
        told += [problem for found in problems.values() for problem in found]
        report_damage(told, len(problems) + len(corrupt))
    finished = {
        key: marker
        for key, marker in markers.items()
        if key not in problems and marker.stop == plan[key].stop
    }
    obsolete = [marker.name for key, marker in markers.items() if key not in finished]
    return finished, [*corrupt, *obsolete]


def _refuse_unplanned(
    storage: Storage, markers: Mapping[ShardKey, ShardMarker], plan: Mapping[ShardKey, ShardRange]
) -> None:
    """Refuse shards that nobody asked for: whoever loads the dataset would load them too."""
    others = [_range(marker) for key, marker in markers.items() if key not in plan]
    for folder in layout.OF_SHARDS:
        for name in storage.names(folder):
            key = layout.shard_of(name)
            if key is not None and key not in plan and key not in markers:
                others.append(f"{name} has no marker")
    if others:
        raise OutputError(
            f"{storage.url} has shards that the plan does not have ({shortened(others)}); let "
            f"`{layout.repair_command(storage.url)}` set them aside"
        )


def _range(marker: ShardMarker) -> str:
    return f"{marker.name} says samples {marker.start} to {marker.stop}"


def _write_if_new(storage: Storage, name: str, data: bytes) -> None:
    if not storage.exists(name) or storage.read(name) != data:
        storage.write(name, data)
