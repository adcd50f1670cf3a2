import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.preparation.corrections import Extremes, correct
from synthgen.action_units import AUS


def vectors(*several):
    return np.array([[one.get(au, 0.0) for au in AUS] for one in several])


def corrected(aus, correction):
    return correct(aus, correction, Extremes.of(aus, correction))


def value(found, row, au):
    return found.aus[row, AUS.index(au)]


def test_the_papers_correction_by_hand():
    found = corrected(
        vectors(
            {"AU1": 2.5, "AU12": 1.0, "AU15": 1.0},
            {"AU1": 5.0, "AU12": 2.0, "AU15": 4.0},
            {"AU12": 1.5},
        ),
        "paper",
    )
    # AU1: 0.5^1.8 = 0.28717 of a span from 0 to 1; AU12: from 0.2 to 0.4; AU15: 0.2^0.8 / 0.8^0.8.
    assert value(found, 0, "AU1") == pytest.approx(5 * 0.5**1.8)
    assert value(found, 1, "AU1") == 5
    assert [value(found, row, "AU12") for row in range(3)] == pytest.approx([0, 5, 2.5])
    assert value(found, 0, "AU15") == pytest.approx(5 * (0.2 / 0.8) ** 0.8)
    assert found.kept.tolist() == [True, True, True]
    assert not found.clipped


def test_what_is_below_1_is_none_and_what_shows_nothing_is_left_out():
    found = corrected(vectors({"AU12": 5.0}, {"AU12": 0.9}, {}), "paper")
    assert [value(found, row, "AU12") for row in range(3)] == [5, 0, 0]
    assert found.kept.tolist() == [True, False, False]
    assert found.totals.tolist() == [5, 0, 0]


def test_the_scripts_correction_by_hand():
    found = corrected(
        vectors(
            {"AU1": 2.5, "AU12": 2.0, "AU15": 1.0, "AU17": 2.0},
            {"AU1": 4.0, "AU12": 0.25, "AU15": 3.0, "AU17": 1.0},
            {"AU12": 1.0},
        ),
        "script",
    )
    # Kept: a value above 0.2 of 1. AU1 back to 0.8; AU15 to AU17's 0.4 (the slip), times 1.8.
    assert found.kept.tolist() == [True, True, False]
    assert value(found, 0, "AU1") == pytest.approx(5 * 0.8 * (0.5 / 0.8) ** 1.8)
    assert value(found, 1, "AU1") == pytest.approx(4.0)
    assert value(found, 0, "AU12") == pytest.approx(2.0)
    assert value(found, 1, "AU12") == 0
    assert value(found, 1, "AU15") == pytest.approx(5 * 1.8 * 0.4)
    assert value(found, 0, "AU15") == pytest.approx(5 * 1.8 * 0.4 * (0.2 / 0.6) ** 0.8)
    assert value(found, 0, "AU17") == pytest.approx(5 * 1.8 * 0.4)
    assert value(found, 1, "AU17") == pytest.approx(5 * 1.8 * 0.4 * 0.5**0.8)


def test_the_scripts_values_beyond_5_are_5_and_counted():
    found = corrected(vectors({"AU17": 5.0}, {"AU17": 2.0}), "script")
    assert [value(found, row, "AU17") for row in range(2)] == pytest.approx([5, 9 * 0.4**0.8])
    assert found.clipped == 1


def test_without_a_correction_values_stay():
    aus = vectors({"AU1": 0.1}, {"AU1": 0.1, "AU2": 0.1})
    found = corrected(aus, "none")
    assert found.aus.tolist() == aus.tolist()
    assert found.kept.tolist() == [False, True]


def test_an_au_of_one_value_has_no_range():
    aus = vectors({"AU12": 3.0}, {"AU12": 3.0, "AU2": 4.0})
    extremes = Extremes.of(aus, "paper")
    assert set(extremes.flat) == set(AUS) - {"AU2"}
    assert correct(aus, "paper", extremes).aus[:, AUS.index("AU12")].tolist() == [0, 0]


@settings(max_examples=25)
@given(
    st.lists(st.lists(st.floats(0, 5), min_size=12, max_size=12), min_size=2, max_size=20),
    st.integers(1, 19),
    st.sampled_from(["paper", "script"]),
)
def test_a_set_seen_in_parts_is_the_set(rows, cut, correction):
    aus = np.array(rows)
    parts = [Extremes.of(part, correction) for part in (aus[:cut], aus[cut:])]
    joined = Extremes.from_json(Extremes.joined(parts).to_json())
    whole = Extremes.of(aus, correction)
    for name in whole.__slots__:
        assert np.array_equal(getattr(joined, name), getattr(whole, name))
    found = correct(aus, correction, joined)
    assert ((found.aus >= 0) & (found.aus <= 5)).all()
