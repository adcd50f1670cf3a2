"""The order in which examples are learned from."""

import numpy as np
from jaxtyping import Int

from samplers.randomness import uniforms


class Order:
    """Turns places of a training, 0, 1, 2, …, into examples.

    Examples without end come in their own order, each once. A number of examples is shuffled anew
    for each epoch, a function of (seed, epoch) alone.

    Args:
        count: number of examples; None: without end.
        seed: seed of the training.
        stage: name of the purpose.
    """

    def __init__(self, count: int | None, seed: int, stage: str) -> None:
        self._count, self._seed, self._stage = count, seed, stage
        self._epoch: int | None = None
        self._rows: Int[np.ndarray, " count"] = np.empty(0, np.int64)

    def __call__(self, place: int) -> tuple[int, int]:
        """Return the example that is learned from at a place, and the epoch."""
        if self._count is None:
            return place, 0
        epoch, within = divmod(place, self._count)
        if epoch != self._epoch:
            draws = uniforms(self._seed, f"{self._stage}/{epoch}", 0, self._count, 1)[:, 0]
            self._rows, self._epoch = np.argsort(draws, kind="stable"), epoch
        return int(self._rows[within]), epoch
