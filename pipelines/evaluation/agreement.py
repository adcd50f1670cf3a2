"""How well measured AUs agree with those that were drawn."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from synthgen.action_units import AUS

_HIGH = 99.0


@dataclass(frozen=True, slots=True)
class AUAgreement:
    """Agreement on one AU; intensities are [0–5].

    Attributes:
        pearson_r: correlation of measured with drawn intensity; NaN where either is constant.
        mae: mean |measured − drawn|.
        bias: mean of measured − drawn.
        inactive_mean: mean measured intensity where the AU is absent.
        inactive_high: 99th percentile of the same.
    """

    pearson_r: float
    mae: float
    bias: float
    inactive_mean: float
    inactive_high: float


def agreement(
    drawn: Float[np.ndarray, "faces aus"], measured: Float[np.ndarray, "faces aus"]
) -> dict[str, AUAgreement]:
    """Compare measured with drawn AU vectors, one AU at a time.

    Returns:
        AU name → its agreement, in the order of an AU vector.
    """
    columns = zip(AUS, drawn.T.astype(float), measured.T.astype(float), strict=True)
    return {name: _agreement(one_drawn, one_found) for name, one_drawn, one_found in columns}


def _agreement(
    drawn: Float[np.ndarray, " faces"], measured: Float[np.ndarray, " faces"]
) -> AUAgreement:
    error = measured - drawn
    absent = measured[drawn == 0]
    return AUAgreement(
        pearson_r=pearson(drawn, measured),
        mae=float(np.abs(error).mean()),
        bias=float(error.mean()),
        inactive_mean=float(absent.mean()) if absent.size else float("nan"),
        inactive_high=float(np.percentile(absent, _HIGH)) if absent.size else float("nan"),
    )


def pearson(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Return the correlation of two rows of numbers; NaN where either is constant."""
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 0 else float("nan")
