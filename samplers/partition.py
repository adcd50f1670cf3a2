"""Which split a sample belongs to, and where it stands there.

Identities go to splits by a pattern of fixed period, whatever the number of samples: a finished run
can grow, and no identity is in two splits.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import lcm


@dataclass(frozen=True, slots=True)
class Partition:
    """A bijection between sample indices and (split, position).

    Attributes:
        group: samples that show one identity; all of them are in one split.
        pattern: split of each identity of a period.
        ranks: for each identity of a period, how many of its split stand before it.
        members: split → its places in a period, ascending.
    """

    group: int
    pattern: tuple[str, ...]
    ranks: tuple[int, ...]
    members: Mapping[str, tuple[int, ...]]

    @classmethod
    def build(cls, shares: Mapping[str, Fraction], group: int) -> "Partition":
        """Cut a sequence of identities into splits.

        Args:
            shares: split → share of identities; they add up to 1.
            group: samples that show one identity.
        """
        pattern = _pattern(shares)
        members = {
            split: tuple(k for k, name in enumerate(pattern) if name == split) for split in shares
        }
        ranks = tuple(members[split].index(k) for k, split in enumerate(pattern))
        return cls(group, pattern, ranks, members)

    def locate(self, index: int) -> tuple[str, int]:
        """Return split and position of a sample."""
        identity, expression = divmod(index, self.group)
        cycle, place = divmod(identity, len(self.pattern))
        split = self.pattern[place]
        rank = cycle * len(self.members[split]) + self.ranks[place]
        return split, rank * self.group + expression

    def index(self, split: str, position: int) -> int:
        """Return the index of the sample at a position of a split."""
        rank, expression = divmod(position, self.group)
        cycle, member = divmod(rank, len(self.members[split]))
        identity = cycle * len(self.pattern) + self.members[split][member]
        return identity * self.group + expression

    def size(self, split: str, samples: int) -> int:
        """Return how many of the first `samples` samples are in a split."""
        identities, rest = divmod(samples, self.group)
        cycles, place = divmod(identities, len(self.pattern))
        members = self.members[split]
        whole = cycles * len(members) + bisect_left(members, place)
        return whole * self.group + (rest if self.pattern[place] == split else 0)


def _pattern(shares: Mapping[str, Fraction]) -> tuple[str, ...]:
    """Spread the splits evenly over the shortest period that holds each share exactly.

    Each place goes to the split that lags most behind its share; ties to the larger share, then to
    the name, so that the order of the file decides nothing.
    """
    period = lcm(*(share.denominator for share in shares.values()))
    order = sorted(shares, key=lambda split: (-shares[split], split))
    # Whole numbers: a thousandfold of fractions, for a thousand splits, takes ten seconds.
    parts = {split: int(shares[split] * period) for split in order}
    lags = dict.fromkeys(order, 0)
    pattern = []
    for _ in range(period):
        for name in order:
            lags[name] += parts[name]
        split = max(order, key=lags.__getitem__)
        lags[split] -= period
        pattern.append(split)
    return tuple(pattern)
