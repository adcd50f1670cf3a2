"""The order in which identities take the tuples of slot values: without replacement, addressed."""

from dataclasses import dataclass
from functools import reduce
from hashlib import blake2b

import numpy as np
from jaxtyping import Float64

from samplers.randomness import derive_seed, uniforms

TABLE_LIMIT = 2**22
"""Most tuples whose order is sorted once and kept; more are permuted arithmetically."""

_STAGE = "identities/order"
_ROUNDS = 8
_WIDTH = 4


@dataclass(frozen=True, slots=True, eq=False)
class TableOrder:
    """Tuples of all identities of a run, looked up.

    Attributes:
        table: tuple number of each identity.
    """

    table: np.ndarray

    def tuple_number(self, identity: int) -> int:
        """Return the number of the tuple that an identity shows."""
        return int(self.table[identity])


@dataclass(frozen=True, slots=True)
class FeistelOrder:
    """A pseudo-random permutation of [0, tuples), by a Feistel network and cycle walking.

    Luby & Rackoff, SIAM J. Comput. 1988; cycle walking: Black & Rogaway, CT-RSA 2002.

    Attributes:
        seed: seed of the run.
        tuples: number of tuples.
    """

    seed: int
    tuples: int

    def tuple_number(self, identity: int) -> int:
        """Return the number of the tuple that an identity shows."""
        number = self._permute(identity)
        while number >= self.tuples:
            number = self._permute(number)
        return number

    def _permute(self, number: int) -> int:
        bits = (self.tuples.bit_length() + 1) // 2
        mask = (1 << bits) - 1
        left, right = number >> bits, number & mask
        for turn in range(_ROUNDS):
            left, right = right, left ^ (self._mix(turn, right) & mask)
        return left << bits | right

    def _mix(self, turn: int, half: int) -> int:
        key = derive_seed(self.seed, _STAGE, turn).to_bytes(8, "little")
        text = half.to_bytes(64, "little")
        return int.from_bytes(blake2b(text, key=key, digest_size=64).digest(), "little")


def weighted_order(seed: int, weights: list[list[float]], identities: int) -> TableOrder:
    """Draw tuples one after another, each in proportion to its weight, without replacement.

    Sorting −ln(u)/w ascending is Efraimidis & Spirakis' (2006) order of u^(1/w) descending. More
    identities only lengthen the order.

    Args:
        seed: seed of the run.
        weights: weight above 0 of each value, slot by slot; a tuple's weight is their product.
        identities: tuples to keep.
    """
    tuples = int(np.prod([len(slot) for slot in weights], dtype=np.int64))
    rows = -(-tuples // _WIDTH)
    keys = uniforms(seed, _STAGE, 0, rows, _WIDTH).reshape(-1)[:tuples]
    if is_weighted(weights):
        keys = -np.log(keys) / _tuple_weights(weights)
    return TableOrder(np.argsort(keys, kind="stable")[:identities].astype(np.int32))


def is_weighted(weights: list[list[float]]) -> bool:
    """Return whether some value of some slot weighs more than another one."""
    return any(len(set(slot)) > 1 for slot in weights)


def _tuple_weights(weights: list[list[float]]) -> Float64[np.ndarray, " tuples"]:
    """Multiply out; the last slot's value changes fastest."""
    shares = [np.array(slot) / sum(slot) for slot in weights]
    return reduce(np.multiply.outer, shares, np.ones(())).reshape(-1)
