"""AUs in words."""

from hypothesis import given
from hypothesis import strategies as st

from pipelines.baselines.words import by_name, in_words, told
from synthgen.action_units import AUS


def test_the_strongest_come_first_by_facs_names():
    aus = {"AU1": 1.0, "AU6": 2.5, "AU12": 4.6, "AU26": 0.4, "AU4": -3}
    assert in_words(aus) == (
        "maximum lip corner puller, marked cheek raiser, trace inner brow raiser"
    )
    assert told("a man", {"AU12": 9}) == "a man, maximum lip corner puller"
    assert told("a man", {}) == "a man, a neutral expression"
    assert told("", {"AU9": 0.5}) == "trace nose wrinkler"


@given(st.lists(st.floats(-9, 9), min_size=12, max_size=12))
def test_each_au_that_shows_is_told_once(intensities):
    aus = by_name(AUS, intensities)
    phrases = in_words(aus).split(", ")
    shown = sum(value >= 0.5 for value in intensities)
    assert len(phrases) == max(shown, 1)
