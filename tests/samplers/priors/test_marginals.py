import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betainc

from samplers.priors.copula import Intensities, pieces
from samplers.priors.copula_section import Marginal
from synthgen.action_units import DEFAULT_AUS

LEVELS = {"rate": 0.1, "levels": {"A": 0.4, "C": 0.5, "E": 0.1}}
QUANTILES = {"rate": 0.1, "quantiles": [0.5, 1.2, 1.2, 3.1, 5.0]}


def quantiles(entry, levels):
    table = Intensities.from_config({"AU1": Marginal.model_validate(entry)}, DEFAULT_AUS)
    return table.quantiles(np.zeros(len(levels), dtype=np.int64), np.array(levels))


def test_levels_are_uniform_within_their_bins():
    found = quantiles(LEVELS, [0.0, 0.2, 0.4, 0.65, 0.9, 0.95, 1.0])
    assert found == pytest.approx([0.5, 1.0, 2.5, 3.0, 4.5, 4.75, 5.0])


def test_a_level_of_no_weight_is_never_drawn():
    found = quantiles(LEVELS, np.linspace(0, 1, 100_001).tolist())
    assert not ((found > 1.5) & (found < 2.5)).any()
    assert not ((found > 3.5) & (found < 4.5)).any()


def test_quantiles_are_joined_by_straight_lines():
    found = quantiles(QUANTILES, [0.0, 0.125, 0.25, 0.4, 0.5, 0.75, 1.0])
    assert found == pytest.approx([0.5, 0.85, 1.2, 1.2, 1.2, 3.1, 5.0])


def test_a_range_is_uniform_and_the_whole_one_where_nothing_is_said():
    assert quantiles({"rate": 1.0}, [0.0, 0.5, 1.0]) == pytest.approx([0.5, 2.75, 5.0])
    entry = {"rate": 1.0, "intensity": {"low": 2.0, "high": 4.0}}
    assert quantiles(entry, [0.25, 1.0]) == pytest.approx([2.5, 4.0])


@settings(max_examples=30, deadline=None)
@given(st.floats(0.5, 1000), st.floats(0.5, 1000))
def test_a_beta_is_met_to_two_in_a_million(a, b):
    levels = np.random.default_rng(0).uniform(size=20_000)
    found = quantiles({"rate": 1.0, "beta": {"a": a, "b": b, "low": 0.0, "high": 1.0}}, levels)
    assert np.abs(betainc(a, b, found) - levels).max() < 2e-6


@pytest.mark.parametrize("shape", [(0.2, 0.2), (0.05, 3.0), (0.1, 0.4)])
def test_a_beta_of_small_shapes_is_met_to_the_width_of_a_piece(shape):
    levels = np.random.default_rng(0).uniform(size=20_000)
    a, b = shape
    found = quantiles({"rate": 1.0, "beta": {"a": a, "b": b, "low": 0.0, "high": 1.0}}, levels)
    assert np.abs(betainc(a, b, found) - levels).max() < 0.0016


@pytest.mark.parametrize(
    ("entry", "mean"),
    [
        (LEVELS, 0.4 * 1.0 + 0.5 * 3.0 + 0.1 * 4.75),
        (QUANTILES, (0.85 + 1.2 + 2.15 + 4.05) / 4),
        ({"rate": 0.1, "beta": {"a": 2, "b": 3}}, 0.5 + 4.5 * 0.4),
    ],
    ids=["levels", "quantiles", "beta"],
)
def test_means_are_exact(entry, mean):
    assert pieces(Marginal.model_validate(entry)).mean == pytest.approx(mean, abs=1e-5)


def test_each_au_has_its_own_quantiles():
    table = Intensities.from_config({"AU2": Marginal(rate=1.0, quantiles=[1.0, 2.0])}, DEFAULT_AUS)
    found = table.quantiles(np.array([0, 1, 2]), np.array([1.0, 1.0, 0.0]))
    assert found == pytest.approx([5.0, 2.0, 0.5])
    assert table.lowest[1] == 1.0
    assert table.highest[1] == 2.0
