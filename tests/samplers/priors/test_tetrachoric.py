import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import ndtri

from samplers.priors.correlation import (
    MAX_CORRELATION,
    joint_probability,
    latent_correlation,
    possible_joint,
)

rates = st.floats(0.001, 0.999)
correlations = st.floats(-0.9999, 0.9999)


def one(*numbers):
    return (np.array([number]) for number in numbers)


def by_quadrature(rate, other, correlation):
    """Integrate the bivariate normal density over the angle of its correlation (Plackett 1954)."""
    h, k = -ndtri(rate), -ndtri(other)

    def density(angle):
        spread = h * h + k * k - 2 * h * k * np.sin(angle)
        return np.exp(-spread / (2 * np.cos(angle) ** 2)) / (2 * np.pi)

    top = np.arcsin(correlation)
    return rate * other + quad(density, 0, top, epsabs=1e-13, epsrel=1e-12, limit=300)[0]


@settings(max_examples=60, deadline=None)
@given(rates, rates, correlations)
def test_joint_probabilities_are_those_of_quadrature(rate, other, correlation):
    found = joint_probability(*one(rate, other, correlation))[0]
    assert found == pytest.approx(by_quadrature(rate, other, correlation), abs=1e-11)


def test_joint_probabilities_at_equal_odds_are_sheppards():
    correlation = np.array([-0.9, 0.0, 0.5, 0.99])
    half = np.full(4, 0.5)
    expected = 0.25 + np.arcsin(correlation) / (2 * np.pi)
    assert joint_probability(half, half, correlation) == pytest.approx(expected, abs=1e-15)


@settings(deadline=None)
@given(rates, rates, correlations)
def test_the_correlation_that_is_found_gives_the_joint_probability(rate, other, correlation):
    asked = joint_probability(*one(rate, other, correlation))
    found = latent_correlation(*one(rate, other), asked)
    assert joint_probability(*one(rate, other), found) == pytest.approx(asked, abs=1.01e-6)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_an_au_that_is_always_or_never_active_goes_with_none(rate):
    joint = joint_probability(*one(rate, 0.3, 0.9))
    assert joint.tolist() == [rate * 0.3]
    assert latent_correlation(*one(rate, 0.3), joint).tolist() == [0.0]


def test_the_ends_of_what_is_possible_are_met():
    rate, other = np.array([0.1, 0.3, 0.8]), np.array([0.2, 0.3, 0.7])
    lowest, highest = possible_joint(rate, other)
    assert lowest.tolist() == pytest.approx([0.0, 0.0, 0.5])
    assert highest.tolist() == [0.1, 0.3, 0.7]
    for asked in (lowest, highest):
        found = latent_correlation(rate, other, asked)
        assert np.abs(found).max() <= MAX_CORRELATION
        assert joint_probability(rate, other, found) == pytest.approx(asked, abs=0.0005)
