"""Numbers of made arrays whose answers are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipelines.evaluation.statistics import (
    au_errors,
    controls,
    mean_cosine,
    overall_pearson,
    spearman,
    trait_agreement,
)
from synthgen.action_units import AU_COUNT, AUS

LEVELS = (1.0, 2.0, 3.0, 4.0, 5.0)
intensities = st.floats(0, 5, width=32)


def obedient(prompts=3, gain=1.0, leak=0.0):
    """Return what a model shows that follows each AU by `gain` and moves all others by `leak`."""
    neutral = np.zeros((prompts, AU_COUNT), np.float32)
    singles = np.full((prompts, AU_COUNT, len(LEVELS), AU_COUNT), leak, np.float32)
    for au in range(AU_COUNT):
        singles[:, au, :, au] = gain * np.array(LEVELS)
    return neutral, singles


def test_an_obedient_model_is_read_as_one():
    found = controls(LEVELS, *obedient(gain=0.5, leak=0.25))
    assert list(found) == list(AUS)
    for control in found.values():
        assert control.spearman == pytest.approx(1)
        assert control.pearson == pytest.approx(1)
        assert control.means == pytest.approx((0, 0.5, 1, 1.5, 2, 2.5))
        assert control.unasked == pytest.approx(0.25)
    assert overall_pearson(LEVELS, *obedient(gain=0.5)) == pytest.approx(1)


def test_a_model_that_does_nothing_has_no_correlation():
    neutral, singles = obedient(gain=0.0)
    control = controls(LEVELS, neutral, singles)["AU12"]
    assert np.isnan(control.spearman)
    assert np.isnan(control.pearson)
    assert np.isnan(overall_pearson(LEVELS, neutral, singles))


def test_errors_are_those_of_equation_3():
    requested = np.zeros((2, AU_COUNT), np.float32)
    requested[0, [0, 6]] = 2, 9  # 9 counts as 5
    requested[1, 3] = 4
    measured = np.zeros_like(requested)
    measured[0, [0, 6, 7]] = 1, 5, 0.5
    measured[1, 3] = 2
    found = au_errors(requested, measured)
    assert found.images == 2
    assert found.faceless == 0
    assert found.mse_sum == pytest.approx(((1 + 0 + 0.25) + 4) / 2)
    assert found.mse_mean == pytest.approx(found.mse_sum / AU_COUNT)
    assert found.mae_asked == pytest.approx((1 + 0 + 2) / 3)
    assert found.mae_unasked == pytest.approx(0.5 / 21)


def test_images_without_a_face_are_left_out_and_counted():
    requested = np.ones((3, AU_COUNT), np.float32)
    measured = np.ones_like(requested)
    measured[1] = np.nan
    found = au_errors(requested, measured)
    assert (found.images, found.faceless, found.mse_sum) == (2, 1, 0)
    neutral, singles = obedient()
    singles[0, 0, 2] = np.nan
    control = controls(LEVELS, neutral, singles)["AU1"]
    assert control.pearson == pytest.approx(1)
    assert control.means == pytest.approx((0, *LEVELS))


def test_without_any_face_there_are_no_numbers():
    requested = np.ones((2, AU_COUNT), np.float32)
    found = au_errors(requested, np.full_like(requested, np.nan))
    assert (found.images, found.faceless) == (0, 2)
    assert np.isnan([found.mse_sum, found.mae_asked, found.mae_unasked, found.pearson]).all()


@given(arrays(np.float32, (4, AU_COUNT), elements=intensities), st.floats(0, 5))
def test_an_error_of_all_aus_alike_gives_its_square(requested, error):
    found = au_errors(requested, (requested + np.float32(error)).astype(np.float32))
    assert found.mse_mean == pytest.approx(error**2, rel=1e-4, abs=1e-5)
    assert found.mse_sum == pytest.approx(AU_COUNT * found.mse_mean)


@given(st.lists(st.integers(0, 1000), min_size=6, max_size=6, unique=True))
def test_ranks_alone_decide_spearman(values):
    levels, measured = [0.0, *LEVELS], list(map(float, values))
    stretched = np.exp(np.array(measured) / 100).tolist()
    assert spearman(levels, measured) == pytest.approx(spearman(levels, stretched))
    reversed_ = [-value for value in measured]
    assert spearman(levels, measured) == pytest.approx(-spearman(levels, reversed_))
    assert spearman(levels, sorted(measured)) == pytest.approx(1)


def test_traits_agree_where_the_prompt_names_what_is_read():
    wanted = [{"hair": "black", "age": "old"}, {"hair": "red", "age": "young"}]
    read = {"hair": ["black", "blond"], "age": ["old", "young"]}
    assert trait_agreement(wanted, read) == {"hair": 0.5, "age": 1.0}


def test_likeness_is_the_mean_cosine():
    one = np.array([[1, 0], [0, 1]], np.float32)
    other = np.array([[1, 0], [0.6, 0.8]], np.float32)
    assert mean_cosine(one, other) == pytest.approx(0.9)
