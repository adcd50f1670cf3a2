"""Tuples of slot values: which split each belongs to, and in what order each split shows its own.

The cut follows from the slots alone and the order from the seed, too, so that no seed moves a tuple
from one split to another. Tuples are numbered with the last slot's value changing fastest; the cut
takes the slots by name, so that their order in the template decides nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from hashlib import blake2b
from math import prod

import numpy as np
from jaxtyping import Float64, Int64

from samplers.randomness import derive_seed, uniforms
from samplers.shares import Partition

TABLE_LIMIT = 2**22
"""Most tuples whose order is sorted once and kept; more are permuted arithmetically."""

MOST_TUPLES = 2**1000
"""Most tuples that `Permutation` can permute: halves of 64 bytes."""

_STAGE = "identities/order"
_CUT, _CUT_SEED = "identities/cut", 0
_ROUNDS = 8
_WIDTH = 4
_HALF_BYTES = 64


@dataclass(frozen=True, slots=True)
class Permutation:
    """A pseudo-random permutation of [0, size), by a Feistel network and cycle walking.

    Luby & Rackoff, SIAM J. Comput. 1988; cycle walking: Black & Rogaway, CT-RSA 2002.

    Attributes:
        size: numbers that are permuted, at least 1.
        keys: key of each round.
    """

    size: int
    keys: tuple[bytes, ...]

    @classmethod
    def build(cls, seed: int, size: int, stage: str = _STAGE) -> "Permutation":
        """Build the permutation of a seed and a stage."""
        rounds = range(_ROUNDS)
        return cls(size, tuple(derive_seed(seed, stage, n).to_bytes(8, "little") for n in rounds))

    def of(self, number: int) -> int:
        """Return the number that takes the place of another one."""
        number = self._permute(number)
        while number >= self.size:
            number = self._permute(number)
        return number

    def _permute(self, number: int) -> int:
        bits = ((self.size - 1).bit_length() + 1) // 2
        mask = (1 << bits) - 1
        left, right = number >> bits, number & mask
        for key in self.keys:
            left, right = right, left ^ (_mix(key, right) & mask)
        return left << bits | right


@dataclass(frozen=True, slots=True, eq=False)
class TableOrder:
    """The tuples of each split in the order in which it shows them, looked up.

    Attributes:
        tables: split → numbers of its tuples.
        by_cell: whether the cut into splits went through one cell of quotas after another.
    """

    tables: Mapping[str, np.ndarray]
    by_cell: bool = False

    def tuple_number(self, split: str, rank: int) -> int:
        """Return the number of the tuple that the identity of a rank in its split shows."""
        table = self.tables[split]
        return int(table[rank % len(table)])


@dataclass(frozen=True, slots=True, eq=False)
class PermutedOrder:
    """The tuples of each split in the order in which it shows them, computed.

    Attributes:
        sizes: values of each slot, by the names of the slots.
        places: for each slot of the template, its place in `sizes`.
        cut: permutation of all tuples whose numbers the splits' pattern is laid on.
        partition: split of each place of the cut.
        orders: split → permutation of its tuples.
    """

    sizes: tuple[int, ...]
    places: tuple[int, ...]
    cut: Permutation
    partition: Partition
    orders: Mapping[str, Permutation]

    @classmethod
    def build(
        cls, seed: int, slots: Mapping[str, Sequence[object]], partition: Partition
    ) -> "PermutedOrder":
        """Build the order of a run's seed.

        Args:
            seed: seed of the run.
            slots: slot → its values, in order of the template.
            partition: the splits of the run.
        """
        by_name = sorted(slots)
        tuples = count_tuples(slots)
        single = replace(partition, group=1)
        return cls(
            sizes=tuple(len(slots[name]) for name in by_name),
            places=tuple(by_name.index(name) for name in slots),
            cut=Permutation.build(_CUT_SEED, tuples, _CUT),
            partition=single,
            orders={
                split: Permutation.build(seed, size, f"{_STAGE}/{split}")
                for split in partition.members
                if (size := single.size(split, tuples))
            },
        )

    def tuple_number(self, split: str, rank: int) -> int:
        """Return the number of the tuple that the identity of a rank in its split shows."""
        order = self.orders[split]
        number = self.cut.of(self.partition.index(split, order.of(rank % order.size)))
        digits = []
        for size in reversed(self.sizes):
            number, digit = divmod(number, size)
            digits.append(digit)
        digits.reverse()
        return reduce(
            lambda number, place: number * self.sizes[place] + digits[place], self.places, 0
        )


def count_tuples(slots: Mapping[str, Sequence[object]]) -> int:
    """Return how many tuples the values of some slots yield."""
    return prod(len(values) for values in slots.values())


def cut_table(
    slots: Mapping[str, Sequence[object]],
    pattern: Sequence[str],
    cells: Int64[np.ndarray, " tuples"] | None = None,
) -> Int64[np.ndarray, " tuples"]:
    """Return the place of each tuple in the splits' pattern; as many hold each as it stands there.

    Args:
        slots: slot → its values, in order of the template.
        pattern: split of each identity of a period.
        cells: cell of each tuple, for a cut that goes through one cell after another, so that each
            of as many tuples as the period has some in each split; None: no cells.
    """
    by_name = sorted(slots)
    sizes = [len(values) for values in slots.values()]
    to_template = [by_name.index(name) for name in slots]
    in_order = np.arange(prod(sizes)).reshape([len(slots[name]) for name in by_name])
    numbers = in_order.transpose(to_template).reshape(-1)  # by name, of each tuple
    keys = _keys(_CUT_SEED, _CUT, len(numbers))[numbers]
    order = np.argsort(keys, kind="stable") if cells is None else np.lexsort((keys, cells))
    places = np.empty(len(numbers), dtype=np.int64)
    places[order] = np.arange(len(numbers)) % len(pattern)
    return places


def split_tables(
    order: np.ndarray, cut: Int64[np.ndarray, " tuples"], pattern: Sequence[str]
) -> dict[str, np.ndarray]:
    """Give each split its tuples, in a given order of all.

    Args:
        order: the numbers of all tuples.
        cut: place of each tuple in the pattern.
        pattern: split of each identity of a period.
    """
    names = list(dict.fromkeys(pattern))
    homes = np.array([names.index(split) for split in pattern])[cut[order]]
    return {split: order[homes == number] for number, split in enumerate(names)}


def weighted_order(seed: int, weights: list[list[float]]) -> Int64[np.ndarray, " tuples"]:
    """Draw tuples one after another, each in proportion to its weight, without replacement.

    Sorting ln(−ln(u)/w) ascending is Efraimidis & Spirakis' (2006) order of u^(1/w) descending.

    Args:
        seed: seed of the run.
        weights: weight above 0 of each value, slot by slot; a tuple's weight is their product.
    """
    keys = _keys(seed, _STAGE, int(np.prod([len(slot) for slot in weights], dtype=np.int64)))
    if is_weighted(weights):
        keys = np.log(-np.log(keys)) - _log_weights(weights)
    return np.argsort(keys, kind="stable")


def is_weighted(weights: list[list[float]]) -> bool:
    """Return whether some value of some slot weighs more than another one."""
    return any(len(set(slot)) > 1 for slot in weights)


def _keys(seed: int, stage: str, tuples: int) -> Float64[np.ndarray, " tuples"]:
    return uniforms(seed, stage, 0, -(-tuples // _WIDTH), _WIDTH).reshape(-1)[:tuples]


def _log_weights(weights: list[list[float]]) -> Float64[np.ndarray, " tuples"]:
    """Return the logarithm of each tuple's weight; the last slot's value changes fastest."""
    return reduce(np.add.outer, [np.log(slot) for slot in weights], np.zeros(())).reshape(-1)


def _mix(key: bytes, half: int) -> int:
    text = half.to_bytes(_HALF_BYTES, "little")
    return int.from_bytes(blake2b(text, key=key, digest_size=_HALF_BYTES).digest(), "little")
