"""Shares held exactly: cells spread evenly, categories in blocks, samples in splits.

`spread_order` serves quotas, which must hold in small splits too; `blocked_order` shuffles freely.

Identities go to splits by a pattern of fixed period, whatever the number of samples: a finished run
can grow, and no identity is in two splits.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import gcd, lcm

import numpy as np
from jaxtyping import Int64

from samplers.randomness import derive_seed, uniforms

_BLOCK = 1000
"""Positions of a block of up to a hundred cells; of more cells it has ten for each."""

_EXACT = 1e-6
"""A count that is nearer than this to a whole number is one."""


def spread_counts(shares: tuple[float, ...]) -> tuple[int, ...]:
    """Return how often each cell stands in a block: the shortest that holds the shares exactly.

    Where no block of 1000 does, the shares are rounded by largest remainder, each count at least 1.

    Args:
        shares: share of each cell, above 0; they add up to 1.
    """
    sizes = np.arange(len(shares), _BLOCK + 1)[:, None]
    exact = sizes * np.array(shares)
    whole = np.rint(exact)
    fits = (np.abs(exact - whole) < _EXACT).all(axis=1) & (whole >= 1).all(axis=1)
    if fits.any():
        return tuple(whole[fits.argmax()].astype(int).tolist())
    return _rounded_counts(np.array(shares), max(_BLOCK, 10 * len(shares)))


def spread_order(
    seed: int, stage: str, counts: tuple[int, ...], start: int, stop: int
) -> Int64[np.ndarray, " rows"]:
    """Return the cell of each position start … stop−1.

    Positions are cut into blocks of `sum(counts)`. In each, the k-th of the n positions of a cell
    stands at (k + u) / n of the block, u drawn anew for each.
    """
    size = sum(counts)
    first, last = start // size, -(-stop // size)
    blocks = [_block(seed, stage, counts, block) for block in range(first, last)]
    order = np.concatenate([np.empty(0, np.int64), *blocks])
    return order[start - first * size : stop - first * size]


@lru_cache(maxsize=64)
def _block(
    seed: int, stage: str, counts: tuple[int, ...], block: int
) -> Int64[np.ndarray, " rows"]:
    cells = np.repeat(np.arange(len(counts)), counts)
    places = np.concatenate([np.arange(count) for count in counts])
    numbers = uniforms(seed, stage, block, block + 1, len(cells))[0]
    keys = (places + numbers) / np.array(counts)[cells]
    return cells[np.argsort(keys, kind="stable")]


def _rounded_counts(shares: np.ndarray, size: int) -> tuple[int, ...]:
    parts = shares * (size - len(shares))
    counts = 1 + parts.astype(int)
    remainders = parts - parts.astype(int)
    counts[np.argsort(-remainders, kind="stable")[: size - counts.sum()]] += 1
    return tuple(counts.tolist())


MAX_BLOCK = 1000
"""Longest block of positions in which the proportions are exact."""


def whole_proportions(weights: Mapping[str, float]) -> dict[str, int]:
    """Turn weights into the smallest whole numbers in the same proportion.

    Where these add up to more than `MAX_BLOCK`, the shares are rounded to thousandths by largest
    remainder, each at least one.

    Args:
        weights: name → weight above 0, taken as the decimal number that it prints as.
    """
    exact = {name: Fraction(repr(float(weight))) for name, weight in weights.items()}
    scale = lcm(*(weight.denominator for weight in exact.values()))
    whole = {name: int(weight * scale) for name, weight in exact.items()}
    divisor = gcd(*whole.values())
    smallest = {name: number // divisor for name, number in whole.items()}
    return smallest if sum(smallest.values()) <= MAX_BLOCK else _rounded_numbers(smallest)


def blocked_order(
    seed: int, stage: str, counts: tuple[int, ...], start: int, stop: int
) -> Int64[np.ndarray, " rows"]:
    """Return the category number of each position start … stop−1.

    Positions are cut into blocks of `sum(counts)`; each block holds category c `counts[c]` times,
    in an order of its own, which depends on the seed, the stage and the block's number alone.
    """
    block = np.repeat(np.arange(len(counts)), counts)
    first, last = start // len(block), -(-stop // len(block))
    order = np.argsort(uniforms(seed, stage, first, last, len(block)), axis=1, kind="stable")
    return block[order].reshape(-1)[start - first * len(block) : stop - first * len(block)]


def blocked_ranks(
    seed: int, stage: str, counts: tuple[int, ...], start: int, stop: int
) -> Int64[np.ndarray, " rows"]:
    """Return how many positions before each of start … stop−1 have its category number."""
    size = sum(counts)
    first, last = start // size, -(-stop // size)
    order = blocked_order(seed, stage, counts, first * size, last * size).reshape(-1, size)
    ranks = np.empty_like(order)
    for category, count in enumerate(counts):
        here = order == category
        before = np.arange(first, last)[:, None] * count
        ranks[here] = (before + np.cumsum(here, axis=1) - 1)[here]
    return ranks.reshape(-1)[start - first * size : stop - first * size]


def _rounded_numbers(numbers: Mapping[str, int]) -> dict[str, int]:
    total = sum(numbers.values())
    spare = MAX_BLOCK - len(numbers)
    parts = {name: Fraction(number * spare, total) for name, number in numbers.items()}
    rounded = {name: 1 + int(part) for name, part in parts.items()}
    by_remainder = sorted(parts, key=lambda name: (int(parts[name]) - parts[name], name))
    for name in by_remainder[: MAX_BLOCK - sum(rounded.values())]:
        rounded[name] += 1
    return rounded


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

    def enough(self, split: str) -> int:
        """Return from how many samples on a split has one."""
        return self.members[split][0] * self.group + 1


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


def deal(
    seed: int, stage: str, names: Sequence[str], shares: Mapping[str, float]
) -> dict[str, str]:
    """Deal names out to splits: shares by largest remainder, at least one name for each split.

    Args:
        seed: seed of the draw.
        stage: name of its purpose.
        names: the names, each once; their order decides nothing.
        shares: split → share above 0; they add up to 1. Not more splits than names.
    """
    counts = np.array(list(shares.values()))
    rounded = _rounded_counts(counts / counts.sum(), len(names))
    order = sorted(names, key=lambda name: (derive_seed(seed, f"{stage}/{name}"), name))
    splits = [split for split, count in zip(shares, rounded, strict=True) for _ in range(count)]
    return dict(zip(order, splits, strict=True))
