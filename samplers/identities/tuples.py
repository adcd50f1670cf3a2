"""The order in which identities take the tuples of slot values: without replacement, addressed."""

from dataclasses import dataclass
from functools import reduce
from hashlib import blake2b

import numpy as np
from jaxtyping import Float64

from samplers.randomness import derive_seed, uniforms

TABLE_LIMIT = 2**22
"""Most tuples whose order is sorted once and kept; more are permuted arithmetically."""

MOST_TUPLES = 2**1000
"""Most tuples that `FeistelOrder` can permute: halves of 64 bytes."""

_STAGE = "identities/order"
_ROUNDS = 8
_WIDTH = 4
_HALF_BYTES = 64


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
        tuples: number of tuples, at least 2.
        keys: key of each round.
    """

    tuples: int
    keys: tuple[bytes, ...]

    @classmethod
    def build(cls, seed: int, tuples: int) -> "FeistelOrder":
        """Build the permutation of a run's seed."""
        rounds = range(_ROUNDS)
        return cls(
            tuples, tuple(derive_seed(seed, _STAGE, n).to_bytes(8, "little") for n in rounds)
        )

    def tuple_number(self, identity: int) -> int:
        """Return the number of the tuple that an identity shows."""
        number = self._permute(identity)
        while number >= self.tuples:
            number = self._permute(number)
        return number

    def _permute(self, number: int) -> int:
        bits = ((self.tuples - 1).bit_length() + 1) // 2
        mask = (1 << bits) - 1
        left, right = number >> bits, number & mask
        for key in self.keys:
            left, right = right, left ^ (_mix(key, right) & mask)
        return left << bits | right


def weighted_order(seed: int, weights: list[list[float]], identities: int) -> TableOrder:
    """Draw tuples one after another, each in proportion to its weight, without replacement.

    Sorting ln(−ln(u)/w) ascending is Efraimidis & Spirakis' (2006) order of u^(1/w) descending.
    More identities only lengthen the order.

    Args:
        seed: seed of the run.
        weights: weight above 0 of each value, slot by slot; a tuple's weight is their product.
        identities: tuples to keep.
    """
    tuples = int(np.prod([len(slot) for slot in weights], dtype=np.int64))
    rows = -(-tuples // _WIDTH)
    keys = uniforms(seed, _STAGE, 0, rows, _WIDTH).reshape(-1)[:tuples]
    if is_weighted(weights):
        keys = np.log(-np.log(keys)) - _log_weights(weights)
    return TableOrder(np.argsort(keys, kind="stable")[:identities].astype(np.int32))


def is_weighted(weights: list[list[float]]) -> bool:
    """Return whether some value of some slot weighs more than another one."""
    return any(len(set(slot)) > 1 for slot in weights)


def _log_weights(weights: list[list[float]]) -> Float64[np.ndarray, " tuples"]:
    """Return the logarithm of each tuple's weight; the last slot's value changes fastest."""
    return reduce(np.add.outer, [np.log(slot) for slot in weights], np.zeros(())).reshape(-1)


def _mix(key: bytes, half: int) -> int:
    text = half.to_bytes(_HALF_BYTES, "little")
    return int.from_bytes(blake2b(text, key=key, digest_size=_HALF_BYTES).digest(), "little")
