"""Figures of the paper's protocol on readings whose figures are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.evaluation.paper.statistics import (
    Measured,
    acceptances,
    accuracy,
    correlation_of,
    cross_talk,
    mean_of,
    responses,
    slope_of,
)
from pipelines.libreface.section import ActionUnitPolicy
from synthgen.action_units import AU_COUNT, AUS, au_vector

LEVELS = (1.0, 3.0, 5.0)
ASKED = np.array([au_vector({"AU6": 2, "AU12": 4}), au_vector({"AU1": 3, "AU2": 3})], np.float64)
EXACT = {name: {name: 1.0} for name in AUS}


def shown(moves=EXACT, prompts=4, wobble=0.0, sees=AUS):
    """Readings of a model in which an AU asked for moves AUs by so much per intensity."""
    strength = np.array([[moves[name].get(other, 0.0) for other in AUS] for name in AUS])
    own = np.arange(prompts)[:, None] * wobble  # each prompt is read a little otherwise
    singles = np.array(LEVELS)[None, :, None] * strength[:, None, :]
    unseen = np.where(np.isin(AUS, sees), 0.0, np.nan)
    return Measured(
        levels=LEVELS,
        neutral=np.zeros((prompts, AU_COUNT)) + own + unseen,
        singles=np.broadcast_to(singles, (prompts, *singles.shape)) + own[:, None, None] + unseen,
        combined=np.broadcast_to(ASKED @ strength, (prompts, *ASKED.shape)) + own[:, None] + unseen,
        asked=ASKED,
        sees=sees,
    )


def test_what_is_exactly_shown_has_no_error():
    found = shown()
    for kind in ("singles", "combined"):
        exact = accuracy(found, kind, seed=0)
        assert (exact.mse_sum.value, exact.mse_sum.high) == (0, 0)
        assert exact.r.value == pytest.approx(1)
    nothing = accuracy(found, "singles", seed=0, neutral=True)
    assert nothing.mse_sum.value == pytest.approx((1 + 9 + 25) / 3)
    assert nothing.mse_mean.value == pytest.approx((1 + 9 + 25) / 3 / 12)
    assert nothing.mae_asked.value == pytest.approx(3)
    assert nothing.mae_unasked.value == 0


def test_response_and_cross_talk_are_the_slopes():
    moves = EXACT | {"AU12": {"AU12": 0.8, "AU6": 0.5}, "AU4": {"AU4": 0.5, "AU1": -0.25}}
    found = shown(moves, wobble=0.1)
    slopes = cross_talk(found, seed=0)
    assert slopes["AU12"]["AU6"].value == pytest.approx(0.5)
    assert slopes["AU12"]["AU12"].value == pytest.approx(0.8)
    assert slopes["AU4"]["AU1"].value == pytest.approx(-0.25)
    assert slopes["AU4"]["AU1"].high < 0
    assert slopes["AU1"]["AU4"].value == pytest.approx(0, abs=1e-9)
    own = responses(found, seed=0)["AU12"]
    assert own.slope.value == pytest.approx(0.8)
    assert own.spearman == pytest.approx(1)
    assert [mean.value for mean in own.means] == pytest.approx([0.15, 0.95, 2.55, 4.15])
    assert own.means[0].low < 0.15 < own.means[0].high


def test_a_judge_that_sees_some_aus_is_summed_over_these():
    found = shown(sees=("AU1", "AU12"))
    nothing = accuracy(found, "combined", seed=0, neutral=True)
    assert nothing.mse_sum.value == pytest.approx((16 + 9) / 2)
    assert nothing.mse_mean.value == pytest.approx((16 + 9) / 4)
    assert set(responses(found, seed=0)) == {"AU1", "AU12"}
    assert set(cross_talk(found, seed=0)["AU4"]) == {"AU1", "AU12"}


def test_a_face_that_was_not_found_is_left_out_and_counted():
    found = shown()
    found.singles[0, 3, 1] = np.nan
    assert found.faceless() == 1
    assert accuracy(found, "singles", seed=0).mse_sum.value == 0


def test_who_is_refused_more_often_is_told():
    found = shown(prompts=8)
    found.singles[:4] += 2.0  # of four people, everything is read as raised
    found.combined[:4] += 2.0
    traits = [{"skin": "pale" if number < 4 else "dark"} for number in range(8)]
    rows = acceptances(found, traits, ActionUnitPolicy())
    by_value = {(one.about, one.value): one for one in rows}
    pale, dark = by_value["skin", "pale"], by_value["skin", "dark"]
    assert (pale.kept.share, pale.others.share) == (0, 1)
    assert (pale.differs, dark.differs) == (True, True)
    assert by_value["all", ""].kept.share == 0.5
    assert by_value["AU", "AU4"].kept.share == 0.5
    assert not by_value["AU", "AU4"].differs
    assert [one.value for one in rows if one.differs] == ["pale", "dark"]


@given(st.integers(2, 6), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_figures_are_those_of_numpy(prompts, each, seed):
    draw = np.random.default_rng(seed)
    x, y = draw.normal(size=(2, prompts, each))
    assert mean_of(x, seed).value == pytest.approx(x.mean())
    slope, _ = np.polyfit(x.ravel(), y.ravel(), 1)
    assert slope_of(x, y, seed).value == pytest.approx(slope, abs=1e-6)
    r = correlation_of(x, y, seed)
    assert r.value == pytest.approx(np.corrcoef(x.ravel(), y.ravel())[0, 1], abs=1e-6)
    assert r.low <= r.high
    assert mean_of(x, seed) == mean_of(x, seed)


def test_one_prompt_has_no_interval():
    one = mean_of(np.ones((1, 5)), seed=0)
    assert one.value == 1
    assert np.isnan([one.low, one.high]).all()
