from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplers.identities.tuples import (
    Permutation,
    PermutedOrder,
    cut_table,
    split_tables,
    weighted_order,
)
from samplers.shares import Partition


@given(st.integers(0, 2**63 - 1), st.integers(1, 700))
@settings(max_examples=30, deadline=None)
def test_a_permutation_takes_each_number_once(seed, size):
    order = Permutation.build(seed, size)
    assert sorted(map(order.of, range(size))) == list(range(size))


def test_a_permutation_reaches_far_and_spreads():
    order = Permutation.build(1, 10**40)
    numbers = [order.of(identity) for identity in range(400)]
    assert len(set(numbers)) == 400
    assert max(numbers) < 10**40
    assert np.mean(numbers) / 10**40 == pytest.approx(0.5, abs=0.08)


@given(
    st.integers(0, 2**63 - 1),
    st.lists(st.lists(st.floats(0.01, 100), min_size=1, max_size=5), max_size=4),
)
@settings(max_examples=50)
def test_the_weighted_order_takes_each_tuple_once(seed, weights):
    tuples = int(np.prod([len(slot) for slot in weights], dtype=int))
    assert sorted(weighted_order(seed, weights)) == list(range(tuples))


def test_weights_decide_how_often_a_value_comes_first():
    first = [weighted_order(seed, [[1.0, 3.0]])[0] for seed in range(2000)]
    assert np.mean(first) == pytest.approx(0.75, abs=0.03)


def test_the_last_slot_changes_fastest_in_a_tuples_weight():
    weights = [[1.0, 1e-9], [1e-9, 1e-9, 1.0]]
    assert weighted_order(0, weights)[0] == 2


def test_tiny_weights_do_not_vanish():
    order = weighted_order(0, [[1.0, 1e-250], [1.0, 1e-250]])
    assert (order[0], order[3]) == (0, 3)


def test_equal_weights_are_as_none():
    assert np.array_equal(
        weighted_order(4, [[2.0] * 5, [0.1] * 6]), weighted_order(4, [[1.0] * 5, [1.0] * 6])
    )


THIRDS = {"train": Fraction(2, 3), "test": Fraction(1, 3)}


def slots_of(sizes):
    return {name: [str(n) for n in range(size)] for name, size in zip("cab", sizes, strict=False)}


def home_of(values, slots, partition, seed):
    """Return the split of each tuple of values, as both ways of ordering find it."""
    cut = cut_table(slots, partition.pattern)
    tables = split_tables(weighted_order(seed, [[1.0] * len(v) for v in slots.values()]), cut,
                          partition.pattern)  # fmt: skip
    permuted = PermutedOrder.build(seed, slots, partition)
    both = []
    for number in (tables, None):
        found = {}
        for split in partition.members:
            size = len(tables[split])
            for rank in range(size):
                place = number[split][rank] if number else permuted.tuple_number(split, rank)
                found[values(int(place))] = split
        both.append(found)
    return both


@given(
    st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1), st.lists(st.integers(1, 6), max_size=3)
)
@settings(max_examples=40, deadline=None)
def test_no_seed_moves_a_tuple_to_another_split(seed, other, sizes):
    slots, partition = slots_of(sizes), Partition.build(THIRDS, 1)
    for one, two in zip(
        home_of(int, slots, partition, seed), home_of(int, slots, partition, other), strict=True
    ):
        assert one == two
        assert sorted(one) == list(range(int(np.prod(sizes, dtype=int))))
        shown = Counter(one.values())
        assert shown["test"] == partition.size("test", len(one))


def test_the_order_of_the_slots_in_the_template_moves_no_tuple():
    partition = Partition.build(THIRDS, 1)
    slots = slots_of((3, 4, 5))
    turned = dict(reversed(slots.items()))

    def digits(chosen):
        names = list(chosen)
        sizes = [len(chosen[name]) for name in names]
        return lambda number: tuple(
            sorted(zip(names, map(int, np.unravel_index(number, sizes)), strict=True))
        )

    assert home_of(digits(slots), slots, partition, 1) == home_of(
        digits(turned), turned, partition, 1
    )
