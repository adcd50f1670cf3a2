"""Who writes a dataset: a process, and whether it is still there."""

import os
import platform
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from synthgen.dataset import json_files
from synthgen.dataset.markers import now

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
        return json_files.dump(asdict(self))

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
        holder = Holder(**json_files.load(data))
    except json_files.NOT_WHOLE:
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
