"""A ridge map between Action Units and FLAME's numbers, fitted to the faces of a bank.

All sums run in the order of the rows and no library of linear algebra is asked, so that the map is
the same to the bit on every machine.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

RIDGE = 0.01
"""Penalty on each squared coefficient, as a variance of the inputs [their unit, squared].

An AU of that variance is believed half: one that is hardly ever shown moves nothing.
"""

_ROWS = 1 << 14


@dataclass(frozen=True, slots=True, eq=False)
class RidgeMap:
    """A linear map with ranges that it does not leave.

    Attributes:
        inputs: mean of each input in the faces that it was fitted to.
        outputs: mean of each output.
        slopes: change of each output with each input.
        low: smallest value of each output in these faces.
        high: largest value.
    """

    inputs: Float64[np.ndarray, " inputs"]
    outputs: Float64[np.ndarray, " outputs"]
    slopes: Float64[np.ndarray, "inputs outputs"]
    low: Float64[np.ndarray, " outputs"]
    high: Float64[np.ndarray, " outputs"]

    @classmethod
    def fit(
        cls,
        inputs: Float32[np.ndarray, "rows inputs"] | Float64[np.ndarray, "rows inputs"],
        outputs: Float32[np.ndarray, "rows outputs"] | Float64[np.ndarray, "rows outputs"],
    ) -> "RidgeMap":
        """Fit by ridge regression with an intercept: (XᵀX + nλI)⁻¹ XᵀY of centred X and Y."""
        width = inputs.shape[1]
        both = np.hstack([inputs, outputs]).astype(np.float64)
        means = both.sum(axis=0) / len(both)
        products = np.zeros((width, both.shape[1]))
        for start in range(0, len(both), _ROWS):
            part = both[start : start + _ROWS] - means
            for column in range(width):
                products[column] += (part[:, column : column + 1] * part).sum(axis=0)
        products[:, :width] += len(both) * RIDGE * np.eye(width)
        return cls(
            means[:width],
            means[width:],
            _solved(products),
            both[:, width:].min(axis=0),
            both[:, width:].max(axis=0),
        )

    def apply(
        self, inputs: Float32[np.ndarray, "rows inputs"] | Float64[np.ndarray, "rows inputs"]
    ) -> Float64[np.ndarray, "rows outputs"]:
        """Map inputs; outputs stay within what the fitted faces have."""
        found = np.tile(self.outputs, (len(inputs), 1))
        for column, slope in enumerate(self.slopes):
            found += (inputs[:, column].astype(np.float64) - self.inputs[column])[:, None] * slope
        return np.clip(found, self.low, self.high)


def _solved(both: Float64[np.ndarray, "width wide"]) -> Float64[np.ndarray, "width rest"]:
    """Solve A X = B for [A | B] by Gauss-Jordan elimination; A is positive definite."""
    left = both.copy()
    for row in range(len(left)):
        left[row] /= left[row, row]
        others = left[:, row].copy()
        others[row] = 0.0
        left -= others[:, None] * left[row]
    return left[:, len(left) :]
