"""Doubling a batch as long as it is worth it; with hypothesis over what sizes may cost."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cluster.probing import largest_worthwhile

SIZES = [2**power for power in range(7)]
rates = st.lists(st.floats(0.1, 1e4), min_size=len(SIZES), max_size=len(SIZES))


def always():
    return True


@given(rates, st.sampled_from(SIZES), st.sampled_from(SIZES[1:]))
def test_the_size_is_a_power_of_two_that_fits(found, largest, room):
    table = dict(zip(SIZES, found, strict=True))

    def rate(size):
        if size > room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return table[size]

    size = largest_worthwhile(rate, always, largest)
    assert size in SIZES
    assert size <= min(largest, room)
    taken = SIZES[: SIZES.index(size) + 1]
    assert all(table[twice] >= 1.1 * table[once] for once, twice in pairwise(taken))
    if 2 * size <= min(largest, room):
        assert table[2 * size] < 1.1 * table[size]


def test_a_size_that_leaves_too_little_memory_is_not_taken():
    tried = []

    def rate(size):
        tried.append(size)
        return float(size)

    assert largest_worthwhile(rate, lambda: tried[-1] <= 8, 64) == 8
    assert tried == [1, 2, 4, 8, 16]


def test_any_other_error_is_raised():
    def rate(size):
        if size == 4:
            raise RuntimeError("the driver is gone")
        return float(size)

    with pytest.raises(RuntimeError, match="the driver is gone"):
        largest_worthwhile(rate, always, 64)
