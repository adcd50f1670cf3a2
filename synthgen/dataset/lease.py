"""One run at a time on an output: a lease that a heartbeat keeps.

The lease is a file that names its holder. A holder that this machine can see to be dead is replaced
at once; another when its heartbeat has stood still for `STALE` seconds by the watcher's own clock:
times of two machines are never compared. Folders, S3 and Google let only one of two create the
file, and S3 only one of two replace it. Where two may both replace it, the last one to write wins,
and the other finds so when it reads the file again after `SETTLE` seconds; what is left is a writer
that is held up for longer than that between its last look and its writing. It then finds so at its
next heartbeat, as a holder does that was frozen and replaced.

Until then it, and actors that it left behind, may still commit shards. They are shards of the same
dataset, equal to the byte: `open_run` lets nothing else continue. Only `--overwrite` could begin
another dataset there, and so it does not replace a holder that is not seen to be dead.
"""

import logging
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from synthgen.dataset import layout
from synthgen.dataset.markers import now
from synthgen.dataset.storage import Storage
from synthgen.errors import DatasetError, OutputError, RunError, SynthgenError

_START_TIME = 19
"""Place of a process's start time behind its state in `/proc/PID/stat` (proc(5), field 22)."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that writes a dataset.

    Attributes:
        token: what no other holder has.
        host: name of its machine, for people.
        pid: its number there.
        place: boot of the machine and namespace of its process numbers, or "" where the system
            does not tell; two containers of a machine have one boot and two namespaces.
        started: when it began, in ticks since that boot, or "".
        since: when it began to hold, for people: UTC, ISO 8601.
        beat: counts up while it lives.
    """

    token: str
    host: str
    pid: int
    place: str
    started: str
    since: str
    beat: int = 0

    @classmethod
    def here(cls) -> Self:
        """Return this process as a new holder."""
        pid = os.getpid()
        return cls(uuid.uuid4().hex, platform.node(), pid, place(), start_time(pid), now())

    def next_beat(self) -> Self:
        """Return the same holder a heartbeat later."""
        return replace(self, beat=self.beat + 1)

    def to_json(self) -> bytes:
        """Write the holder for people and programs to read."""
        return layout.to_json(asdict(self))

    def is_another_here(self) -> bool:
        """Tell whether it is (or was) another process that this one can see."""
        return bool(self.place) and self.place == place() and not self._is_this()

    def is_alive(self) -> bool:
        """Tell whether the process runs; asked only of one that this process can see."""
        return self.started != "" and self.started == start_time(self.pid)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since[:19].replace('T', ' ')} UTC"

    def _is_this(self) -> bool:
        return self.pid == os.getpid() and self.is_alive()


def parse_holder(data: bytes) -> Holder | None:
    """Read a holder; None where the file is half written, or nothing of ours."""
    try:
        holder = Holder(**layout.from_json(data))
    except layout.NOT_WHOLE:
        return None
    return holder if isinstance(holder.pid, int) and isinstance(holder.since, str) else None


def place() -> str:
    """Return which process numbers this process sees, or "" where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


def start_time(pid: int) -> str:
    """Return when a process of this place began, or "" where there is none that runs."""
    try:
        said = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The name in brackets may hold anything, brackets and spaces too.
    fields = said.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[_START_TIME]


_log = logging.getLogger(__name__)

BEAT = 5.0
"""Time between two heartbeats [s]."""

STALE = 30.0
"""Time for which a heartbeat stands still before its holder counts as gone [s]."""

SETTLE = 1.0
"""Time after which whoever wrote the lease looks whether it is still its own [s]."""

_LOOK = 1.0
"""Time between two looks at a heartbeat [s]."""


class Lease:
    """The right to write a dataset; a context manager that holds it."""

    def __init__(
        self,
        storage: Storage,
        *,
        overwrite: bool = False,
        otherwise: str = "choose another output.path",
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a lease; nothing is read or written.

        Args:
            storage: the dataset.
            overwrite: whether the run begins anew.
            otherwise: what a user may do rather than wait for the end of who holds it.
            sleep: waits for some seconds.
            clock: tells seconds that never go back.
        """
        self._storage = storage
        self._overwrite = overwrite
        self._otherwise = otherwise
        self._sleep = sleep
        self._clock = clock
        self._gone: bytes | None = None
        self._mine = Holder.here()
        self._lost: Holder | str | None = None
        self._ended = threading.Event()
        self._beating = threading.Thread(target=self._keep, name="lease", daemon=True)

    def look(self) -> None:
        """Refuse a dataset that is held, before any work is done; write nothing.

        Raises:
            OutputError: if another run holds it.
        """
        found = self._read()
        if found is not None:
            self._refuse_the_living(found)

    def __enter__(self) -> Self:
        while not self._taken():
            _log.info("another run was quicker to take the lease of %s", self._storage.url)
        self._beating.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._beating.join()
        try:
            if self._is_mine():
                self._storage.delete(layout.LEASE)
        except SynthgenError as failure:
            # The run's own end counts more, and a lease without heartbeat holds nobody back.
            _log.warning("the lease is left behind: %s", failure, extra={"event": "lease_left"})

    def check(self) -> None:
        """See that the lease is still held; costs nothing.

        Raises:
            RunError: if another run took it.
        """
        if self._lost is not None:
            raise RunError(
                f"{self._storage.url} was taken over by another run ({self._lost}) while this one "
                "stood still; what is committed stays"
            )

    def confirm(self) -> None:
        """See in the store that the lease is still held.

        Raises:
            RunError: if another run took it.
            SynthgenError: if the store fails for longer than its patience.
        """
        self._count_up(self._storage)
        self.check()

    def beat(self) -> None:
        """Count the heartbeat up, or find that the lease is lost.

        Raises:
            SynthgenError: if the store fails.
        """
        self._count_up(self._storage.hurried())

    def _count_up(self, storage: Storage) -> None:
        later = self._mine.next_beat()
        if storage.replace(layout.LEASE, self._mine.to_json(), later.to_json()):
            self._mine = later
        elif not self._is_mine():
            found = self._read()
            self._lost = (found and parse_holder(found)) or "its lease is gone"
            _log.warning("the lease is lost: %s", self._lost, extra={"event": "lease_lost"})

    def _keep(self) -> None:
        while self._lost is None and not self._ended.wait(BEAT):
            try:
                self.beat()
            except SynthgenError as error:
                # While the store fails nobody can take the lease either.
                _log.info("a heartbeat failed: %s", error)

    def _taken(self) -> bool:
        found = self._read()
        if found is None:
            written = self._storage.create(layout.LEASE, self._mine.to_json())
            certain = self._storage.is_local
        else:
            self._refuse_the_living(found)
            written = self._storage.replace(layout.LEASE, found, self._mine.to_json())
            certain = False
        if written and not certain:
            self._sleep(SETTLE)
        return written and self._is_mine()

    def _refuse_the_living(self, found: bytes) -> None:
        """Return when the holder is gone.

        Raises:
            OutputError: if it lives, or may live and its data is to be deleted.
        """
        holder = parse_holder(found)
        if holder is not None and holder.is_another_here():
            if holder.is_alive():
                self._refuse(holder)
        elif found != self._gone:
            self._watch(found, holder)

    def _watch(self, found: bytes, holder: Holder | None) -> None:
        who = holder or "an unknown process"
        _log.warning(
            "%s is held by %s; watching for up to %g s whether it is alive",
            self._storage.url,
            who,
            STALE,
            extra={"event": "lease_watched"},
        )
        until = self._clock() + STALE
        while self._clock() < until:
            self._sleep(_LOOK)
            seen = self._read()
            if seen is None:
                return
            if seen != found:
                self._refuse(parse_holder(seen) or who)
        if self._overwrite:
            raise OutputError(
                f"{self._storage.url} was left by {who}, whose actors may still be writing; "
                f"continue it without --overwrite, or delete {layout.LEASE} there once they are "
                "gone"
            )
        self._gone = found

    def _refuse(self, holder: Holder | str) -> None:
        raise OutputError(
            f"{self._storage.url} is being written by another run ({holder}); wait for its end, or "
            f"{self._otherwise}"
        )

    def _read(self) -> bytes | None:
        try:
            return self._storage.read(layout.LEASE)
        except DatasetError as error:
            if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
                return None
            raise

    def _is_mine(self) -> bool:
        """Read whose the lease is; its beat may be one that was written without an answer."""
        holder = parse_holder(self._read() or b"")
        if holder is None or holder.token != self._mine.token:
            return False
        self._mine = holder
        return True
