import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplers.shares import spread_counts, spread_order


@pytest.mark.parametrize(
    ("shares", "counts"),
    [
        ((0.5, 0.3, 0.2), (5, 3, 2)),
        ((1 / 3, 2 / 3), (1, 2)),
        ((0.5 * 0.3, 0.5 * 0.7, 0.5 * 0.3, 0.5 * 0.7), (3, 7, 3, 7)),
        ((1.0,), (1,)),
    ],
)
def test_the_shortest_block_is_found(shares, counts):
    assert spread_counts(shares) == counts


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=300))
@settings(max_examples=30, deadline=None)
def test_counts_are_near_the_shares_and_none_is_left_out(weights):
    shares = tuple(weight / sum(weights) for weight in weights)
    counts = spread_counts(shares)
    assert min(counts) >= 1
    assert np.abs(np.array(counts) / sum(counts) - shares).max() <= len(shares) / sum(counts)


@given(st.integers(0, 3000), st.integers(0, 400), st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_any_stretch_holds_about_its_share_of_each_cell(start, length, seed):
    counts = (30, 50, 15, 5)
    order = spread_order(seed, "test", counts, start, start + length)
    found = np.bincount(order, minlength=4)
    assert np.abs(found - length * np.array(counts) / 100).max() <= 4
    whole = spread_order(seed, "test", counts, 0, start + length)
    assert (whole[start:] == order).all()


def test_blocks_have_orders_of_their_own():
    order = spread_order(1, "test", (4, 6), 0, 100).reshape(10, 10)
    assert (order.sum(axis=1) == 6).all()
    assert len({tuple(block) for block in order.tolist()}) > 5
