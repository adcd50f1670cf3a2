"""Figures of recognisers, against calculations by hand."""

import numpy as np
import pytest

from pipelines.recognition.scores import score_aus, score_expressions

CATEGORIES = ("neutral", "happy", "sad")


def sure(*called: int, confidence: float = 0.8) -> np.ndarray:
    """Return probabilities that call pictures so."""
    rest = (1 - confidence) / 2
    return np.where(np.arange(3) == np.array(called)[:, None], confidence, rest)


def test_categories_are_counted_as_by_hand():
    shown = ["happy", "happy", "neutral", "neutral", None, "awed"]
    told = sure(1, 0, 0, 0, 2, 2)[None]
    scores = score_expressions(shown, told, CATEGORIES, list("aabbcc"), 0)
    assert scores.pictures == 4
    assert scores.accuracy.seeds == (0.75,)
    assert scores.most_common == 0.5
    happy, neutral = scores.categories["happy"], scores.categories["neutral"]
    assert (happy.precision.seeds, happy.recall.seeds) == ((1.0,), (0.5,))
    assert neutral.precision.seeds[0] == pytest.approx(2 / 3)
    # Nobody shows `sad`, which counts in no mean.
    assert scores.macro_f1.seeds[0] == pytest.approx((2 / 3 + 0.8) / 2)
    assert np.isnan(scores.categories["sad"].f1.seeds[0])
    assert scores.confusion[:2] == ((1.0, 0.0, 0.0), (0.5, 0.5, 0.0))
    assert np.isnan(scores.confusion[2]).all()
    # All are 80 % sure, and three of four are right.
    assert scores.ece.seeds[0] == pytest.approx(0.05)
    assert scores.reliability == ((pytest.approx(0.8), 0.75, 1.0),)


def test_figures_are_means_over_seeds_with_their_spread_and_intervals_over_people():
    shown = ["happy", "neutral"] * 10
    right, wrong = sure(*[1, 0] * 10), sure(*[0, 0] * 10)
    people = [str(n // 2) for n in range(20)]
    scores = score_expressions(shown, np.stack([right, wrong]), CATEGORIES, people, 3)
    assert scores.accuracy.seeds == (1.0, 0.5)
    assert scores.accuracy.estimate.value == 0.75
    assert scores.accuracy.spread == pytest.approx(np.sqrt(0.125))
    # Each person is recognised equally well, so that drawing people changes nothing.
    assert (scores.accuracy.estimate.low, scores.accuracy.estimate.high) == (0.75, 0.75)
    alone = score_expressions(shown, right[None] * 0.5 + wrong[None] * 0.5, CATEGORIES, people, 3)
    assert np.isnan(alone.accuracy.spread)


def test_a_test_without_categories_has_no_scores():
    assert score_expressions([None], sure(1)[None], CATEGORIES, ["a"], 0) is None


def test_aus_agree_as_by_hand():
    known = np.array([[0.0, np.nan], [2.0, np.nan], [4.0, np.nan]])
    told = np.array([[[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]])
    scores = score_aus(known, told, ("AU1", "AU12"), list("abc"), 0)
    assert list(scores) == ["AU1"]
    assert scores["AU1"].pictures == 3
    assert scores["AU1"].r.seeds[0] == pytest.approx(1.0)
    # ICC(3,1) of (0, 2, 4) and (1, 2, 3): between people 9, residual 1 (mean squares).
    assert scores["AU1"].icc.seeds[0] == pytest.approx((9 - 1) / (9 + 1))
    assert scores["AU1"].mae.seeds[0] == pytest.approx(2 / 3)


def test_who_tells_a_constant_has_no_correlation_and_no_agreement():
    known = np.array([[0.0], [2.0], [4.0]])
    scores = score_aus(known, np.ones((1, 3, 1)), ("AU1",), list("abc"), 0)
    assert np.isnan(scores["AU1"].r.estimate.value)
    assert scores["AU1"].icc.estimate.value == 0
