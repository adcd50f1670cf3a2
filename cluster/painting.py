"""Paints batches: one at a time, all of one shape."""

import threading
from collections.abc import Sequence

from PIL.Image import Image

from cluster.memory import naming_batch_size
from cluster.stages import StageTimes
from pipelines.interfaces import ImageSource
from samplers.spec import Attempt
from synthgen.errors import RunError


class Painter:
    """Paints batches for several threads, one batch at a time.

    Args:
        source: what paints.
    """

    def __init__(self, source: ImageSource) -> None:
        self._source = source
        self._turn = threading.Lock()
        self._stopped = False

    def stop(self) -> None:
        """Paint no further batch."""
        self._stopped = True

    def paint(self, attempts: Sequence[Attempt], size: int, times: StageTimes) -> list[Image]:
        """Paint at most a batch of attempts, padded to its size: bits hold for one shape.

        Args:
            attempts: what to paint.
            size: images of a whole batch.
            times: told how long painting took, and waiting for the turn.

        Raises:
            RunError: if the device has not enough memory for a batch, or after `stop`.
        """
        padded = [*attempts, *[attempts[-1]] * (size - len(attempts))]
        with times.waiting():
            self._turn.acquire()
        try:
            if self._stopped:
                raise RunError("the run was stopped")
            with times.busy("paint"), naming_batch_size(size, "paint"):
                return self._source.paint(padded)[: len(attempts)]
        finally:
            self._turn.release()
