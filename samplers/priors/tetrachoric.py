"""From how often two AUs are active together to the correlation of two latent normals, and back.

AU i is active where a standard normal exceeds the threshold that its rate gives. The correlation of
two such normals that gives a wanted share of both active is their tetrachoric correlation
(Pearson, "Mathematical contributions to the theory of evolution VII", 1900).
"""

import numpy as np
from jaxtyping import Float64
from scipy.special import ndtri, owens_t

MAX_CORRELATION = 1 - 1e-6
"""Largest correlation between two AUs: beyond it their normals are one and the same."""

_HALVINGS = 60
_SLACK = 1e-6
"""Part of a joint probability that may be missed at the ends of what is possible."""


def joint_probability(
    rate: Float64[np.ndarray, " pairs"],
    other: Float64[np.ndarray, " pairs"],
    correlation: Float64[np.ndarray, " pairs"],
) -> Float64[np.ndarray, " pairs"]:
    """Return the probability that both AUs of each pair are active, to about 1e-15.

    By the normal quadrant's formula with Owen's T (Owen, "Tables for computing bivariate normal
    probabilities", Ann. Math. Statist. 27, 1956, eq. 2.1).

    Args:
        rate: probability of the one AU [0, 1].
        other: probability of the other AU [0, 1].
        correlation: correlation of their normals, in (−1, 1).
    """
    h, k = _away_from_zero(ndtri(rate)), _away_from_zero(ndtri(other))
    root = np.sqrt((1 - correlation) * (1 + correlation))
    with np.errstate(invalid="ignore", over="ignore"):
        beyond = owens_t(h, (k / h - correlation) / root) + owens_t(k, (h / k - correlation) / root)
        both = (rate + other) / 2 - beyond - np.where((h < 0) != (k < 0), 0.5, 0.0)
    sure = np.isinf(h) | np.isinf(k)
    lowest, highest = possible_joint(rate, other)
    return np.clip(np.where(sure, rate * other, both), lowest, highest)


def latent_correlation(
    rate: Float64[np.ndarray, " pairs"],
    other: Float64[np.ndarray, " pairs"],
    joint: Float64[np.ndarray, " pairs"],
) -> Float64[np.ndarray, " pairs"]:
    """Return the correlation of the normals that gives each joint probability, by bisection.

    The probability rises with the correlation. At the ends of what is possible, where many
    correlations give almost the same, it is met to 1e-6 by the one nearest to 0. An AU that is
    always or never active says nothing: 0.

    Args:
        rate: probability of the one AU [0, 1].
        other: probability of the other AU [0, 1].
        joint: probability that both are active, within `possible_joint`.

    Returns:
        Correlations in [−1 + 1e-6, 1 − 1e-6].
    """
    lowest, highest = possible_joint(rate, other)
    middle = (lowest + highest) / 2
    wanted = np.clip(
        joint, np.minimum(lowest + _SLACK, middle), np.maximum(highest - _SLACK, middle)
    )
    limit = np.arcsin(MAX_CORRELATION)
    low, high = np.full(rate.shape, -limit), np.full(rate.shape, limit)
    for _ in range(_HALVINGS):
        angle = (low + high) / 2
        below = joint_probability(rate, other, np.sin(angle)) < wanted
        low, high = np.where(below, angle, low), np.where(below, high, angle)
    sure = (rate <= 0) | (rate >= 1) | (other <= 0) | (other >= 1)
    return np.where(sure, 0.0, np.sin((low + high) / 2))


def possible_joint(
    rate: Float64[np.ndarray, " pairs"], other: Float64[np.ndarray, " pairs"]
) -> tuple[Float64[np.ndarray, " pairs"], Float64[np.ndarray, " pairs"]]:
    """Return the least and the largest probability that both are active (the Fréchet bounds)."""
    return np.maximum(rate + other - 1, 0.0), np.minimum(rate, other)


def _away_from_zero(threshold: Float64[np.ndarray, " pairs"]) -> Float64[np.ndarray, " pairs"]:
    return np.where(threshold == 0, 1e-150, threshold)
