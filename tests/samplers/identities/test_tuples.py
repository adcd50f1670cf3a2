import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplers.identities.prompts import FeistelOrder, weighted_order


@given(st.integers(0, 2**63 - 1), st.integers(2, 700))
@settings(max_examples=30, deadline=None)
def test_the_feistel_order_is_a_permutation(seed, tuples):
    order = FeistelOrder.build(seed, tuples)
    assert sorted(map(order.tuple_number, range(tuples))) == list(range(tuples))


def test_the_feistel_order_reaches_far_and_spreads():
    order = FeistelOrder.build(1, 10**40)
    numbers = [order.tuple_number(identity) for identity in range(400)]
    assert len(set(numbers)) == 400
    assert max(numbers) < 10**40
    assert np.mean(numbers) / 10**40 == pytest.approx(0.5, abs=0.08)


@given(
    st.integers(0, 2**63 - 1),
    st.lists(st.lists(st.floats(0.01, 100), min_size=1, max_size=5), max_size=4),
)
@settings(max_examples=50)
def test_the_weighted_order_takes_each_tuple_once_and_only_grows(seed, weights):
    tuples = int(np.prod([len(slot) for slot in weights], dtype=int))
    whole = weighted_order(seed, weights, tuples).table
    assert sorted(whole) == list(range(tuples))
    part = weighted_order(seed, weights, tuples // 2).table
    assert np.array_equal(part, whole[: tuples // 2])


def test_weights_decide_how_often_a_value_comes_first():
    first = [weighted_order(seed, [[1.0, 3.0]], 1).tuple_number(0) for seed in range(2000)]
    assert np.mean(first) == pytest.approx(0.75, abs=0.03)


def test_the_last_slot_changes_fastest_in_a_tuples_weight():
    weights = [[1.0, 1e-9], [1e-9, 1e-9, 1.0]]
    assert weighted_order(0, weights, 1).tuple_number(0) == 2


def test_tiny_weights_do_not_vanish():
    order = weighted_order(0, [[1.0, 1e-250], [1.0, 1e-250]], 4)
    assert order.table.tolist()[0] == 0
    assert order.table.tolist()[3] == 3


def test_equal_weights_are_as_none():
    assert np.array_equal(
        weighted_order(4, [[2.0] * 5, [0.1] * 6], 30).table,
        weighted_order(4, [[1.0] * 5, [1.0] * 6], 30).table,
    )
