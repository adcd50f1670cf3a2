"""Sets of AUs as whole numbers, bit i for AU i.

There are 2^n sets of n AUs, so no table here has an entry for each: memory follows the sets that
occur.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Int64


def set_numbers(members: Bool[np.ndarray, "rows aus"]) -> Int64[np.ndarray, " rows"]:
    """Write sets as whole numbers."""
    return members @ _bits(members.shape[1])


def set_members(sets: Int64[np.ndarray, " rows"], aus: int) -> Bool[np.ndarray, "rows aus"]:
    """Read sets from whole numbers.

    Args:
        sets: the numbers.
        aus: number of AUs that a set may hold.
    """
    return (sets[:, None] & _bits(aus)) != 0


def _bits(aus: int) -> Int64[np.ndarray, " aus"]:
    return 1 << np.arange(aus, dtype=np.int64)


@dataclass(slots=True, eq=False)
class SetCounts:
    """A count of each set that occurred.

    Attributes:
        aus: number of AUs that a set may hold.
        sets: the sets that occurred, ascending.
        counts: how often each did.
    """

    aus: int
    sets: Int64[np.ndarray, " sets"] = field(default_factory=lambda: np.zeros(0, np.int64))
    counts: Int64[np.ndarray, " sets"] = field(default_factory=lambda: np.zeros(0, np.int64))

    def add(self, members: Bool[np.ndarray, "rows aus"]) -> None:
        """Count some more sets."""
        self._add(*np.unique(set_numbers(members), return_counts=True))

    def merge(self, other: "SetCounts") -> None:
        """Add the counts of others."""
        self._add(other.sets, other.counts)

    def members(self) -> Bool[np.ndarray, "sets aus"]:
        """Return which AUs each set that occurred holds."""
        return set_members(self.sets, self.aus)

    def together(self) -> Int64[np.ndarray, "aus aus"]:
        """Return how often both AUs of each pair were in a set; the diagonal: each AU."""
        members = self.members()
        return (members * self.counts[:, None]).T @ members.astype(np.int64)

    def holding(self, some: Bool[np.ndarray, " aus"]) -> int:
        """Return how often a set held one of some AUs, or several."""
        return int(self.counts[(self.members() & some).any(axis=1)].sum())

    def _add(self, sets: np.ndarray, counts: np.ndarray) -> None:
        places = np.concatenate([self.sets, sets])
        self.sets, place = np.unique(places, return_inverse=True)
        total = np.zeros(len(self.sets), np.int64)
        np.add.at(total, place.reshape(-1), np.concatenate([self.counts, counts]))
        self.counts = total
