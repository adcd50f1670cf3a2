"""The nearest correlation matrix to what was asked, pairs that were not asked giving way first.

Higham, "Computing the nearest correlation matrix", IMA J. Numer. Anal. 22, 2002 (algorithm 3.3);
with entries held fixed: Higham & Strabić, "Anderson acceleration of the alternating projections
method for computing the nearest correlation matrix", Numer. Algorithms 72, 2016, section 3.
"""

import numpy as np
from jaxtyping import Bool, Float64

FLOOR = 1e-6
"""Least eigenvalue of a repaired matrix, so that its Cholesky factor exists."""

_STEPS = 2_000
_TOLERANCE = 1e-10
_DECIMALS = 12
"""Decimals kept, so that the last bits of a linear algebra library decide nothing."""


def nearest_correlation(
    asked: Float64[np.ndarray, "n n"], fixed: Bool[np.ndarray, "n n"]
) -> Float64[np.ndarray, "n n"]:
    """Return a positive definite correlation matrix near to what was asked.

    Where the fixed entries can stand together, they are kept and the others move as little as they
    can (in the Frobenius norm). Where they cannot, all entries move, beginning at the matrix with
    the fixed entries that comes nearest to being one.

    Args:
        asked: symmetric, of unit diagonal, entries in [−1, 1].
        fixed: symmetric mask of the entries that were asked for; the others are wishes.
    """
    if _is_definite(asked):
        return asked
    kept = _alternate(asked, fixed | np.eye(len(asked), dtype=bool))
    if not _is_definite(kept):
        kept = _alternate(kept, np.eye(len(asked), dtype=bool))
    return np.round(_unit_diagonal(_raised(kept, FLOOR)), _DECIMALS)


def _is_definite(matrix: Float64[np.ndarray, "n n"]) -> bool:
    return float(np.linalg.eigvalsh(matrix)[0]) >= FLOOR / 2


def _alternate(
    asked: Float64[np.ndarray, "n n"], fixed: Bool[np.ndarray, "n n"]
) -> Float64[np.ndarray, "n n"]:
    """Project in turn on the definite matrices (with Dykstra's correction) and on the fixed."""
    found, correction = asked, np.zeros_like(asked)
    for _ in range(_STEPS):
        corrected = found - correction
        definite = _raised(corrected, FLOOR)
        correction = definite - corrected
        found = np.where(fixed, asked, definite)
        if np.abs(found - definite).max() < _TOLERANCE:
            break
    return found


def _raised(matrix: Float64[np.ndarray, "n n"], floor: float) -> Float64[np.ndarray, "n n"]:
    values, vectors = np.linalg.eigh(matrix)
    raised = (vectors * np.maximum(values, floor)) @ vectors.T
    return (raised + raised.T) / 2


def _unit_diagonal(matrix: Float64[np.ndarray, "n n"]) -> Float64[np.ndarray, "n n"]:
    scale = 1 / np.sqrt(np.diag(matrix))
    scaled = matrix * scale[:, None] * scale
    np.fill_diagonal(scaled, 1.0)
    return scaled
