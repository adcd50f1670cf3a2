"""Whether the driver of a run is alive, as far as that can be told from its lease.

A driver of this machine is seen, or seen to be gone. Of another machine's, two looks between which
the lease has changed prove that it is alive, and one that stands still for long that it is gone:
times of two machines are never compared.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from synthgen.dataset import Storage, layout
from synthgen.dataset.holder import Holder, parse_holder, place
from synthgen.dataset.lease import STALE
from synthgen.errors import DatasetError


@dataclass(frozen=True, slots=True)
class Heart:
    """What is heard of a driver.

    Attributes:
        driver: its process, machine and beginning.
        beats: whether it is alive; None if that cannot be told yet.
        silence: time for which this machine has waited for a heartbeat [s].
    """

    driver: str
    beats: bool | None
    silence: float


class HeartReader:
    """Looks at the lease of a run again and again."""

    def __init__(self, storage: Storage, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without having heard anything.

        Args:
            storage: the dataset.
            clock: tells seconds that never go back.
        """
        self._storage = storage
        self._clock = clock
        self._lease: bytes | None = None
        self._since = clock()
        self._moved = False

    def read(self) -> Heart | None:
        """Look; None if nobody holds the run.

        Raises:
            DatasetError: if the lease cannot be read.
        """
        lease, before = self._read(), self._lease
        if lease != before:
            self._lease, self._since = lease, self._clock()
            self._moved = before is not None
        return None if lease is None else self._judged(parse_holder(lease))

    def _judged(self, holder: Holder | None) -> Heart:
        silence = self._clock() - self._since
        if holder is not None and holder.place and holder.place == place():
            return Heart(str(holder), holder.is_alive(), silence)
        beats = False if silence > STALE else True if self._moved else None
        return Heart(str(holder or "an unknown process"), beats, silence)

    def _read(self) -> bytes | None:
        try:
            return self._storage.read(layout.LEASE)
        except DatasetError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise
