import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prior_sections import BLENDS, COMMON
from scipy.stats import kstest

from samplers import load_prior
from samplers.priors.emotions import blend_scales, blended, category_prototype, prototype_table
from synthgen.action_units import AUS, DEFAULT_AUS
from synthgen.errors import ConfigError

CATEGORIES = sorted(prototype_table())


def test_the_aus_of_one_expression_rise_together_and_each_stays_uniform():
    prior = load_prior({**COMMON, "categories": ["fearful"], "spread": 0.5, "variants": False})
    vectors = prior.sample(20_000, seed=1).astype(float)
    shown = vectors[:, [AUS.index(au) for au in ("AU1", "AU4", "AU20", "AU25")]]
    for values in shown.T:
        assert kstest(values, "uniform", args=(1, 4)).pvalue > 1e-4
    assert (np.ptp(shown, axis=1) <= 1.0 + 1e-6).all()
    assert np.corrcoef(shown.T).min() > 0.9


@given(st.floats(0, 6), st.integers(0, 2**32))
def test_a_common_profile_keeps_the_range(spread, seed):
    prior = load_prior({**COMMON, "categories": ["happy"], "spread": spread})
    vectors = prior.sample(40, seed)
    assert vectors[vectors != 0].min() >= 1
    assert vectors.max() <= 5


def test_the_profile_changes_no_active_au():
    common, alone = load_prior(COMMON), load_prior({**COMMON, "profile": "independent"})
    assert common.rates().tolist() == alone.rates().tolist()
    assert common.mean_intensities().tolist() == alone.mean_intensities().tolist()


def test_a_blend_is_a_category_of_its_own():
    prior = load_prior(BLENDS)
    assert prior.categories == ("happy", "sad", "happy+surprised")
    assert prior.category_shares() == {"happy": 0.4, "sad": 0.2, "happy+surprised": 0.4}
    strata = prior.strata(0, "train", 0, 20_000)
    vectors = prior.vectors(0, "train", 0, strata)[strata == 2]
    rates = dict(zip(AUS, (vectors != 0).mean(axis=0), strict=True))
    assert [au for au in AUS if rates[au] == 1] == ["AU1", "AU2", "AU12", "AU25", "AU26"]
    assert rates["AU5"] == pytest.approx(0.66, abs=0.03)
    assert rates["AU6"] == pytest.approx(0.51, abs=0.03)
    strongest = dict(zip(AUS, vectors.max(axis=0), strict=True))
    assert all(strongest[au] == pytest.approx(5, abs=0.02) for au in ("AU1", "AU2", "AU25"))
    assert all(strongest[au] == pytest.approx(5 / 3, abs=0.02) for au in ("AU6", "AU12"))


@given(st.sampled_from(CATEGORIES), st.sampled_from(CATEGORIES), st.floats(0.01, 0.99))
def test_a_blend_shows_what_either_shows(one, other, share):
    parts = prototype_table()[one], prototype_table()[other]
    union = blended(*parts)
    assert set(union.shown) == {*parts[0].shown, *parts[1].shown}
    assert {*union.shown, *union.variants} == {
        au for part in parts for au in (*part.shown, *part.variants)
    }
    scales = blend_scales(*parts, share, DEFAULT_AUS)
    assert all(0 < scale <= 1 for scale in scales)
    assert category_prototype(union.name, DEFAULT_AUS) == union or one == other


def test_a_blend_of_equal_shares_shows_both_in_full():
    happy, surprised = prototype_table()["happy"], prototype_table()["surprised"]
    assert blend_scales(happy, surprised, 0.5, DEFAULT_AUS) == (1.0,) * 12


@pytest.mark.parametrize(
    ("blends", "message"),
    [
        (
            [{"of": ["happy", "neutral"]}],
            "expressions.categories: 'happy' and 'happy+neutral' have the same prototype on the "
            "12 AUs (AU12, AU25); leave one out, or set allow_ambiguous: true",
        ),
        (
            [{"of": ["happy", "hapy"]}],
            "expressions.categories: unknown category 'hapy'; did you mean 'happy'? Those "
            "that exist: " + ", ".join(prototype_table()),
        ),
        (
            [{"of": ["happy", "happy"]}],
            "expressions: blends.0: 'happy' cannot be blended with itself",
        ),
        (
            [{"of": ["happy", "sad"]}, {"of": ["sad", "happy"]}],
            "expressions: blends: happy and sad are blended twice",
        ),
    ],
)
def test_blends_that_cannot_be_are_refused(blends, message):
    with pytest.raises(ConfigError) as caught:
        load_prior({**BLENDS, "blends": blends})
    assert str(caught.value) == message
