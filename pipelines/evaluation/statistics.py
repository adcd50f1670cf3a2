"""Statistics of an evaluation: errors, correlation, agreement (ICC), with intervals.

Requests are clipped to [0, 5] before they are compared. An image in which no face was found is left
out of what needs its face, and counted.

Shapes: n images, P prompts, L intensities above 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from synthgen.action_units import DEFAULT_AUS, MAX_INTENSITY, MIN_INTENSITY, ActionUnitSet

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
    drawn: Float[np.ndarray, "faces aus"],
    measured: Float[np.ndarray, "faces aus"],
    aus: ActionUnitSet = DEFAULT_AUS,
) -> dict[str, AUAgreement]:
    """Compare measured with drawn AU vectors, one AU at a time.

    Args:
        drawn: AU vectors as drawn.
        measured: the same as measured.
        aus: the AUs of the vectors.

    Returns:
        AU name → its agreement, in the order of an AU vector.
    """
    columns = zip(aus.names, drawn.T.astype(float), measured.T.astype(float), strict=True)
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
    """Return the correlation of two rows of numbers; NaN where either is constant or empty."""
    if not len(x):
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 0 else float("nan")


AUArray = Float[np.ndarray, "n aus"]


@dataclass(frozen=True, slots=True)
class Control:
    """Response of one AU to its intensity when it is asked for alone.

    Attributes:
        spearman: rank correlation of the intensity with the mean measured; NaN if that is constant.
        pearson: correlation of the intensity with the measured one, over all images.
        means: mean measured at each intensity, that of the neutral face first.
        unasked: mean measured of the other AUs, where this one is asked for.
    """

    spearman: float
    pearson: float
    means: tuple[float, ...]
    unasked: float


@dataclass(frozen=True, slots=True)
class Errors:
    """Distance of measured AUs from those asked for.

    Attributes:
        images: images with a face.
        faceless: images without one.
        mse_sum: squared error, summed over the AUs (Eq. 3 of the paper), mean over images.
        mse_mean: the same, mean over the AUs.
        mae_asked: mean absolute error over the AUs asked for.
        mae_unasked: mean absolute error over the others.
        pearson: correlation of what was asked for with what was measured, over all AUs and images.
    """

    images: int
    faceless: int
    mse_sum: float
    mse_mean: float
    mae_asked: float
    mae_unasked: float
    pearson: float


def au_errors(requested: AUArray, measured: AUArray) -> Errors:
    """Compare AU vectors image by image."""
    seen = _seen(measured)
    asked, found = _clipped(requested[seen]), measured[seen].astype(np.float64)
    error, active = np.abs(found - asked), asked != 0
    squares = error**2
    return Errors(
        images=int(seen.sum()),
        faceless=int((~seen).sum()),
        mse_sum=_mean(squares.sum(1)),
        mse_mean=_mean(squares),
        mae_asked=_mean(error[active]),
        mae_unasked=_mean(error[~active]),
        pearson=_pearson(asked.ravel(), found.ravel()),
    )


def au_correlations(
    requested: AUArray, measured: AUArray, aus: ActionUnitSet = DEFAULT_AUS
) -> dict[str, float]:
    """Return AU → correlation of what was asked for with what was measured; NaN if constant."""
    asked = _clipped(requested)
    return {
        name: _pearson(asked[:, place], measured[:, place].astype(np.float64))
        for place, name in enumerate(aus.names)
    }


def controls(
    levels: Sequence[float],
    neutral: Float[np.ndarray, "P aus"],
    singles: Float[np.ndarray, "P aus L aus"],
    aus: ActionUnitSet = DEFAULT_AUS,
) -> dict[str, Control]:
    """Follow each AU over its intensities.

    Args:
        levels: the intensities above 0, rising.
        neutral: measured AUs of each prompt's neutral face.
        singles: measured AUs where the AU of axis 1 is asked for at the intensity of axis 2.
        aus: which AUs they are.
    """
    return {
        name: _control(levels, neutral[:, place], singles[:, place], place)
        for place, name in enumerate(aus.names)
    }


def overall_pearson(
    levels: Sequence[float],
    neutral: Float[np.ndarray, "P aus"],
    singles: Float[np.ndarray, "P aus L aus"],
) -> float:
    """Correlate intensity asked for with intensity measured, over each AU's own images."""
    count = neutral.shape[1]
    own = [_own(neutral[:, place], singles[:, place], place) for place in range(count)]
    asked = np.broadcast_to([0.0, *levels], (count, len(neutral), len(levels) + 1))
    return _pearson(asked.ravel(), np.stack(own).ravel())


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the correlation of the ranks of two rows of numbers; NaN where either is constant."""
    if not np.isfinite([*x, *y]).all():
        return float("nan")
    return pearson(rankdata(x), rankdata(y))


def trait_agreement(
    wanted: Sequence[Mapping[str, str]], read: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """Return trait → share of images that show the value that their prompt names.

    Args:
        wanted: for each image, trait → value.
        read: trait → value read in each image.
    """
    return {
        trait: _mean(np.array([asked[trait] == value for asked, value in
                               zip(wanted, values, strict=True)], np.float64))
        for trait, values in read.items()
    }  # fmt: skip


def mean_cosine(one: Float[np.ndarray, "n d"], other: Float[np.ndarray, "n d"]) -> float:
    """Return the mean cosine between unit vectors, row by row (CLIP-I)."""
    return _mean((one.astype(np.float64) * other).sum(1))


def _control(
    levels: Sequence[float],
    neutral: Float[np.ndarray, " P"],
    singles: Float[np.ndarray, "P L aus"],
    place: int,
) -> Control:
    own = _own(neutral, singles, place)
    asked = np.broadcast_to([0.0, *levels], own.shape)
    means = tuple(_mean(column[np.isfinite(column)]) for column in own.T)
    others = np.delete(singles, place, axis=-1)
    return Control(
        spearman=spearman([0.0, *levels], means),
        pearson=_pearson(asked.ravel(), own.ravel()),
        means=means,
        unasked=_mean(others[np.isfinite(others)]),
    )


def _own(
    neutral: Float[np.ndarray, " P"], singles: Float[np.ndarray, "P L aus"], place: int
) -> Float[np.ndarray, "P levels"]:
    """Return what was measured of an AU in its own images, the neutral face first."""
    return np.concatenate([neutral[:, None], singles[:, :, place]], axis=1).astype(np.float64)


def _pearson(asked: Float[np.ndarray, " n"], found: Float[np.ndarray, " n"]) -> float:
    seen = np.isfinite(found)
    return pearson(asked[seen].astype(np.float64), found[seen]) if seen.any() else float("nan")


def _seen(measured: AUArray) -> Bool[np.ndarray, " n"]:
    return np.isfinite(measured).all(1)


def _clipped(requested: AUArray) -> Float[np.ndarray, "n aus"]:
    return np.clip(requested, MIN_INTENSITY, MAX_INTENSITY).astype(np.float64)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
