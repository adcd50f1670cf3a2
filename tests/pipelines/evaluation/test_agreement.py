import math

import numpy as np
import pytest

from pipelines.evaluation.statistics import agreement
from synthgen.action_units import AUS

DRAWN = np.random.default_rng(0).uniform(0.5, 5, (200, 12)).astype(np.float32)
DRAWN[::2] = 0


def test_agreement_with_itself_is_perfect():
    found = agreement(DRAWN, DRAWN)
    assert list(found) == list(AUS)
    for au in found.values():
        assert au.pearson_r == pytest.approx(1)
        assert (au.mae, au.bias, au.inactive_mean, au.inactive_high) == (0, 0, 0, 0)


def test_r_is_numpys_and_a_shift_shows_as_bias_alone():
    noise = np.random.default_rng(1).normal(0, 1, DRAWN.shape).astype(np.float32)
    found = agreement(DRAWN, DRAWN + noise)
    for column, au in enumerate(found.values()):
        assert au.pearson_r == pytest.approx(
            np.corrcoef(DRAWN[:, column], (DRAWN + noise)[:, column])[0, 1], abs=1e-6
        )
    shifted = agreement(DRAWN, DRAWN + 0.5)["AU12"]
    assert shifted.pearson_r == pytest.approx(1)
    assert (shifted.bias, shifted.inactive_mean) == pytest.approx((0.5, 0.5))


def test_a_constant_measurement_has_no_correlation():
    assert math.isnan(agreement(DRAWN, np.zeros_like(DRAWN))["AU1"].pearson_r)
