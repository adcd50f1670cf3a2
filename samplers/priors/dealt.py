"""Priors that deal out strata in exact shares."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from jaxtyping import Int64

from samplers.priors.prior import Prior


class DealtPrior(Prior, ABC):
    """A prior whose strata come in blocks that hold each in its exact share.

    Rules keep these shares: each stratum is a part of its own.
    """

    balanced: ClassVar[bool] = True

    @abstractmethod
    def ranks(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Return how many positions before each of start … stop−1 have its stratum."""

    def part_of(self, strata: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " rows"]:
        """Return the strata: each is a part."""
        return strata
