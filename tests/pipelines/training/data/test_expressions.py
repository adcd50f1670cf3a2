import numpy as np
import pytest

from pipelines.training.data.config import ExpressionShare
from pipelines.training.data.drawing import draw_aus
from synthgen.action_units import AUS
from synthgen.config.priors import IntensityRange

KINDS = (ExpressionShare(share=0.25, rate=0.0), ExpressionShare(share=0.75, rate=0.4))


def draw(count, stage="test"):
    span = IntensityRange(low=1.0, high=4.0)
    return np.stack([draw_aus(5, stage, index, KINDS, span) for index in range(count)])


def test_shares_rates_and_intensities_are_what_was_asked_for():
    aus = draw(3000)
    active = aus > 0
    assert (aus[active].min(), aus[active].max()) == pytest.approx((1, 4), abs=0.01)
    assert active.mean() == pytest.approx(0.3, abs=0.01)
    neutral = 0.25 + 0.75 * 0.6**12
    assert (~active.any(axis=1)).mean() == pytest.approx(neutral, abs=0.03)


def test_stages_draw_on_their_own():
    assert not np.array_equal(draw(20), draw(20, "another"))
    assert np.array_equal(draw(20)[7:9], draw(9)[7:])


def test_emotions_are_prototypes_with_variants():
    span, kinds = IntensityRange(low=1.0, high=4.0), (ExpressionShare(share=1, rate="emotions"),)
    aus = np.stack([draw_aus(5, "test", index, kinds, span) for index in range(600)])
    assert 0.02 < (aus == 0).all(axis=1).mean() < 0.09  # one category in 22 is neutral
    for row in aus:
        stretched, parted = row[AUS.index("AU20")] > 0, row[AUS.index("AU25")] > 0
        assert parted or not stretched  # every category with AU20 has AU25 in its prototype
