"""Random numbers addressed by (seed, stage, row): the same alone and in bulk, to the bit.

A *stage* is the name of one purpose of random numbers. Each (seed, stage) has a Philox4x64-10
stream of its own (Salmon et al., SC 2011), keyed by a hash of both; row i starts at a counter that
i gives. So a row depends on nothing else that is drawn, and a new stage changes no other's draws.
"""

from functools import lru_cache
from hashlib import blake2b

import numpy as np
from jaxtyping import Float64, UInt64

_WORDS = 4
"""64-bit words that one Philox counter yields."""

_SEED_BYTES = 8


def uniforms(
    seed: int, stage: str, start: int, stop: int, width: int
) -> Float64[np.ndarray, "rows width"]:
    """Draw the rows start … stop−1 of a stage, uniform in the open interval (0, 1).

    Args:
        seed: seed of the run [0, 2^63).
        stage: name of the purpose; other names give independent numbers.
        start: first row, from 0.
        stop: row after the last one.
        width: numbers in a row; a stage keeps one width.

    Returns:
        Multiples of 2^-53 in [2^-53, 1 − 2^-53].
    """
    raw = _raw_rows(seed, stage, start, stop, width)
    return ((raw >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def normals(
    seed: int, stage: str, start: int, stop: int, width: int
) -> Float64[np.ndarray, "rows width"]:
    """Draw rows of standard normals, by the inverse of their distribution function.

    Args and rows are those of `uniforms`.
    """
    from scipy.special import ndtri  # 0.1 s, for those who draw normals

    return ndtri(uniforms(seed, stage, start, stop, width))


def derive_seed(seed: int, stage: str, *numbers: int) -> int:
    """Return a seed in [0, 2^63) for (seed, stage, numbers), by BLAKE2b.

    Args:
        seed: seed of the run [0, 2^63).
        stage: name of the purpose.
        numbers: address of the thing that is seeded, each in [0, 2^63).
    """
    address = b"".join(number.to_bytes(_SEED_BYTES, "little") for number in numbers)
    digest = blake2b(_name(seed, stage) + address, digest_size=8, person=b"synthgen-seed")
    return int.from_bytes(digest.digest(), "little") >> 1


def _raw_rows(
    seed: int, stage: str, start: int, stop: int, width: int
) -> UInt64[np.ndarray, "rows width"]:
    if not 0 <= start <= stop or width < 1:
        raise ValueError(f"rows {start} to {stop} of width {width} are no range")
    counters = -(-width // _WORDS)
    philox = np.random.Philox(key=_key(seed, stage), counter=start * counters)
    raw = philox.random_raw((stop - start) * counters * _WORDS)
    return raw.reshape(stop - start, counters * _WORDS)[:, :width]


@lru_cache(maxsize=256)
def _key(seed: int, stage: str) -> int:
    digest = blake2b(_name(seed, stage), digest_size=16, person=b"synthgen-philox").digest()
    return int.from_bytes(digest, "little")


def _name(seed: int, stage: str) -> bytes:
    name = stage.encode()
    return seed.to_bytes(_SEED_BYTES, "little") + len(name).to_bytes(4, "little") + name
