import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from samplers.priors.au_sets import SetCounts, set_members, set_numbers
from samplers.priors.prior import MOST_NAMED, Part
from samplers.priors.rules import Boxes, Cap, Count, Implies

members = st.integers(1, 30).flatmap(
    lambda aus: arrays(bool, st.tuples(st.integers(0, 40), st.just(aus)))
)


@given(members)
@settings(deadline=None)
def test_sets_are_read_from_the_numbers_that_they_were_written_as(found):
    assert (set_members(set_numbers(found), found.shape[1]) == found).all()


@given(members, st.integers(0, 40))
@settings(deadline=None)
def test_counts_are_those_of_all_rows_whatever_the_parts(found, cut):
    counts, other = SetCounts(found.shape[1]), SetCounts(found.shape[1])
    counts.add(found[:cut])
    other.add(found[cut:])
    counts.merge(other)
    assert counts.counts.sum() == len(found)
    assert (counts.together() == found.T.astype(int) @ found.astype(int)).all()
    some = np.arange(found.shape[1]) % 2 == 0
    assert counts.holding(some) == (found & some).any(axis=1).sum()


AUS = 7
rules = st.one_of(
    st.builds(
        lambda one, step, least: Implies("", 1.0, one, (one + step) % AUS, least),
        st.integers(0, AUS - 1),
        st.integers(1, AUS - 1),
        st.sampled_from([-np.inf, 1.0, 4.0, 6.0]),
    ),
    st.builds(
        lambda aus, least, most: Count("", 1.0, tuple(aus), least, most),
        st.one_of(st.just(range(AUS)), st.sets(st.integers(0, AUS - 1), min_size=2).map(sorted)),
        st.integers(0, 3),
        st.integers(0, AUS),
    ),
    st.builds(lambda au, at: Cap("", 1.0, au, at), st.integers(0, AUS - 1), st.floats(0, 5)),
)


def possible(part, patterns, chosen):
    low, high = (np.broadcast_to(end, patterns.shape).copy() for end in (part.low, part.high))
    boxes = Boxes(patterns.copy(), low, high)
    for rule in chosen:
        rule.narrow(boxes)
    return boxes.possible()


@given(
    st.lists(rules, max_size=5),
    st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=AUS, max_size=AUS),
    st.sets(st.integers(0, AUS), min_size=1),
)
@settings(deadline=None, max_examples=300)
def test_sets_that_stand_for_others_tell_what_all_sets_would(chosen, chances, numbers):
    part = Part.of("this prior", chances, [2.0] * AUS, [5.0] * AUS, numbers)
    named = frozenset().union(*(rule.named(AUS) for rule in chosen))
    few, all_ = part.patterns(named), part.patterns(range(AUS))
    assert len(few) <= len(all_)
    assert possible(part, few, chosen) == possible(part, all_, chosen)


def test_rules_that_tell_too_many_aus_apart_are_refused():
    part = Part.of("this prior", [0.5] * 24, [0.5] * 24, [5.0] * 24, range(25))
    assert len(part.patterns(range(MOST_NAMED))) == 11 * 2**MOST_NAMED
    with pytest.raises(ValueError, match="apart") as caught:
        part.patterns(range(15))
    assert str(caught.value) == (
        "the rules tell 15 AUs of this prior apart; at most 14 are possible, so name fewer AUs in "
        "rules"
    )
