import pytest

from samplers.priors.affect import POSITIONS, affect


def test_a_whole_expression_has_the_published_place():
    # Russell and Mehrabian (1977), as quoted again and again since: pleasure, arousal.
    assert affect("happy", [0.0, 5.0, 5.0]) == (0.81, 0.51)
    assert affect("sad", [5.0]) == (-0.63, -0.27)
    assert affect("angry", [0.0, 0.0, 5.0]) == (-0.51, 0.59)


@pytest.mark.parametrize("category", POSITIONS)
def test_the_place_grows_with_the_mean_intensity_of_what_is_asked_for(category):
    valence, arousal = POSITIONS[category]
    assert affect(category, [0.0, 2.0, 3.0]) == pytest.approx((valence / 2, arousal / 2))
    assert affect(category, [0.0, 0.0]) == (0, 0)
    assert affect(category, [9.0]) == (valence, arousal)


def test_neutral_is_the_origin_and_what_the_source_does_not_place_has_none():
    assert affect("neutral", [0.0, 0.0]) == (0, 0)
    for category in ("happily surprised", "happy+sad", "contempt", "smile", None):
        assert affect(category, [5.0]) is None
