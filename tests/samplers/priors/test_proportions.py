from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samplers.shares import MAX_BLOCK, blocked_order, whole_proportions


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"a": 1.0, "b": 1.0}, {"a": 1, "b": 1}),
        ({"a": 0.1, "b": 0.2, "c": 0.7}, {"a": 1, "b": 2, "c": 7}),
        ({"a": 6.0, "b": 4.0}, {"a": 3, "b": 2}),
        ({"a": 0.333, "b": 0.667}, {"a": 333, "b": 667}),
    ],
)
def test_proportions_are_the_smallest_whole_numbers(weights, expected):
    assert whole_proportions(weights) == expected


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=22))
def test_finer_proportions_are_rounded_to_thousandths(values):
    weights = {str(number): value for number, value in enumerate(values)}
    counts = whole_proportions(weights)
    total = sum(counts.values())
    assert total <= MAX_BLOCK
    assert min(counts.values()) >= 1
    exact = sum(map(Fraction, values))
    for name, count in counts.items():
        assert abs(Fraction(count, total) - Fraction(weights[name]) / exact) < len(values) / 900


@given(
    st.integers(0, 2**63 - 1),
    st.lists(st.integers(1, 6), min_size=1, max_size=5),
    st.integers(0, 100),
    st.integers(0, 60),
)
def test_blocks_hold_each_category_exactly_and_rows_stand_alone(seed, counts, start, count):
    counts = tuple(counts)
    order = blocked_order(seed, "stage", counts, start, start + count)
    alone = [
        blocked_order(seed, "stage", counts, row, row + 1)[0] for row in range(start, start + count)
    ]
    assert order.tolist() == alone
    size = sum(counts)
    block = blocked_order(seed, "stage", counts, start * size, (start + 1) * size)
    assert np.bincount(block).tolist() == list(counts)


def test_blocks_differ_in_order():
    blocks = blocked_order(0, "stage", (1,) * 7, 0, 70).reshape(10, 7)
    assert len({tuple(block) for block in blocks.tolist()}) > 5
