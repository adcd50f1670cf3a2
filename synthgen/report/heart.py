"""Whether the driver of a run is alive, as far as that can be told from its lease.

The driver renews its lease every few seconds. Two looks between which the lease has changed prove
that it is alive, whatever the clocks say. One look has only the time in the lease, by the driver's
clock.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from synthgen.dataset import Storage, json_files
from synthgen.errors import DatasetError

SILENCE = 60.0
"""A lease that has not been renewed for so long does not show that its driver is alive [s]."""

_LEASE = ".synthgen/lease.json"


@dataclass(frozen=True, slots=True)
class Heart:
    """What is heard of a driver.

    Attributes:
        driver: `host:pid`.
        beats: whether it is alive; None if that cannot be told.
        silence: time since its last heartbeat: as this machine has heard it, or, after one look,
            by this machine's clock against the driver's [s].
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
            clock: time that is never set [s].
        """
        self._storage = storage
        self._clock = clock
        self._lease: bytes | None = None
        self._looked = clock()
        self._moved = False

    def read(self) -> Heart | None:
        """Look; None if nobody holds the run.

        Raises:
            DatasetError: if the lease cannot be read.
        """
        lease, before = self._read(), self._lease
        if lease != before:
            self._lease, self._looked = lease, self._clock()
            self._moved = before is not None
        return None if lease is None else self._judge(lease)

    def _judge(self, lease: bytes) -> Heart:
        driver, beat = _parse(lease)
        watched = self._clock() - self._looked
        if self._moved or watched > SILENCE:
            return Heart(driver, watched <= SILENCE, watched)
        silence = (datetime.now(UTC) - beat).total_seconds()
        return Heart(driver, True if abs(silence) <= SILENCE else None, max(silence, 0.0))

    def _read(self) -> bytes | None:
        if not self._storage.exists(_LEASE):
            return None
        try:
            return self._storage.read(_LEASE)
        except DatasetError:
            if self._storage.exists(_LEASE):
                raise
            return None


def _parse(lease: bytes) -> tuple[str, datetime]:
    try:
        values = json_files.load(lease)
        return str(values["holder"]), datetime.fromisoformat(values["time"])
    except json_files.NOT_WHOLE as error:
        raise DatasetError(
            f"{_LEASE} is corrupt ({json_files.cause(error)}); delete it if no driver runs"
        ) from error
