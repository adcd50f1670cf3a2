"""Categories in exact proportion: each block of positions holds each category its share of it."""

from collections.abc import Mapping
from fractions import Fraction
from math import gcd, lcm

import numpy as np
from jaxtyping import Int64

from samplers.randomness import uniforms

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
    return smallest if sum(smallest.values()) <= MAX_BLOCK else _rounded(smallest)


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


def _rounded(numbers: Mapping[str, int]) -> dict[str, int]:
    total = sum(numbers.values())
    spare = MAX_BLOCK - len(numbers)
    parts = {name: Fraction(number * spare, total) for name, number in numbers.items()}
    rounded = {name: 1 + int(part) for name, part in parts.items()}
    by_remainder = sorted(parts, key=lambda name: (int(parts[name]) - parts[name], name))
    for name in by_remainder[: MAX_BLOCK - sum(rounded.values())]:
        rounded[name] += 1
    return rounded
