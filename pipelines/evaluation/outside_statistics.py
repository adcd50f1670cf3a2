"""Statistics of judges from outside: ridge regression across people, verification, rank-1.

What is tuned or fitted never sees the people whom it predicts, and intervals resample people, not
images: images of a person are not independent.

Shapes: n images, d features, k targets.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import pdist

FOLDS = 5
"""Parts into which people are dealt for the ridge regression."""

PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)
"""Ridge penalties to choose among, of standardised features."""

RESAMPLES = 1000
"""Draws of people for an interval."""

_INTERVAL = (2.5, 97.5)  # percentiles


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval; NaN where there is nothing to count.

    Attributes:
        value: the figure.
        low: lower end of the percentile bootstrap over people.
        high: upper end.
    """

    value: float
    low: float
    high: float


def codes_of(people: Sequence[str]) -> Int[np.ndarray, " n"]:
    """Number people 0, 1, … in the order of their names."""
    return np.unique(list(people), return_inverse=True)[1] if len(people) else np.zeros(0, int)


def cross_validated(
    features: Float[np.ndarray, "n d"],
    targets: Float[np.ndarray, "n k"],
    people: Int[np.ndarray, " n"],
    seed: int,
) -> Float[np.ndarray, "n k"]:
    """Predict each target from all features by ridge regressions that never saw the person.

    People are dealt to `FOLDS` parts; each part is predicted by a regression on the others, its
    penalty chosen among them for each target (see `ridge`).

    Returns:
        The predictions; NaN where there are fewer than two people.
    """
    predicted = np.full(targets.shape, np.nan)
    count = int(people.max()) + 1 if len(people) else 0
    if count < 2:
        return predicted
    parts = np.random.default_rng(seed).permutation(count) % min(FOLDS, count)
    for part in range(min(FOLDS, count)):
        held = parts[people] == part
        predicted[held] = ridge(features[~held], targets[~held], features[held])
    return predicted


def ridge(
    features: Float[np.ndarray, "n d"],
    targets: Float[np.ndarray, "n k"],
    unseen: Float[np.ndarray, "m d"],
    penalties: Sequence[float] = PENALTIES,
) -> Float[np.ndarray, "m k"]:
    """Fit targets by ridge regressions, and predict unseen ones; see `fitted_ridge`."""
    weights, constant = fitted_ridge(features, targets, penalties)
    return unseen @ weights + constant


def fitted_ridge(
    features: Float[np.ndarray, "n d"],
    targets: Float[np.ndarray, "n k"],
    penalties: Sequence[float] = PENALTIES,
) -> tuple[Float[np.ndarray, "d k"], Float[np.ndarray, " k"]]:
    """Fit targets by ridge regressions on standardised features.

    Each target takes the penalty with the smallest leave-one-out error, which follows from one fit:
    residual / (1 − leverage). The constant is not penalised; constant features count for nothing.

    Returns:
        The weights of the features as they are, and the constant.
    """
    centre, middle = features.mean(0), targets.mean(0)
    spread = features.std(0)
    scale = np.where(spread > 1e-12, spread, np.inf)
    left, sizes, right = np.linalg.svd((features - centre) / scale, full_matrices=False)
    turned = left.T @ (targets - middle)
    best = np.full(targets.shape[1], np.inf)
    weights = np.zeros((features.shape[1], targets.shape[1]))
    for penalty in penalties:
        shrunk = sizes**2 / (sizes**2 + penalty)
        leverage = (left**2) @ shrunk + 1 / len(features)
        residual = targets - middle - left @ (shrunk[:, None] * turned)
        error = ((residual / np.maximum(1 - leverage, 1e-9)[:, None]) ** 2).mean(0)
        better = error < best
        turned_back = (sizes / (sizes**2 + penalty))[:, None] * turned[:, better]
        weights[:, better] = (right.T @ turned_back) / scale[:, None]
        best = np.minimum(best, error)
    return weights, middle - centre @ weights


def verification(
    embeddings: Float[np.ndarray, "n d"], people: Int[np.ndarray, " n"], seed: int
) -> Estimate:
    """Return the AUC of telling pairs of images of one person from pairs of two people.

    The AUC is the share of (pair of one person, pair of two people) in which the first is the
    nearer one by Euclidean distance, ties counting half. A person that is drawn several times
    weighs the pairs; copies of an image are never compared with one another.
    """
    one, other = np.triu_indices(len(people), 1)
    distances = pdist(embeddings) if len(people) > 1 else np.zeros(0)
    order = np.argsort(distances, kind="stable")
    one, other, ranked = people[one[order]], people[other[order]], distances[order]
    # Runs of equal distances share what stands on either side of them.
    starts = np.flatnonzero(np.diff(ranked, prepend=-np.inf))
    alike = one == other

    def area(weights: Float[np.ndarray, " people"]) -> float:
        pairs = np.where(alike, weights[one], weights[one] * weights[other])
        same, apart = np.where(alike, pairs, 0.0), np.where(alike, 0.0, pairs)
        if not same.any() or not apart.any():
            return float("nan")
        same, apart = np.add.reduceat(same, starts), np.add.reduceat(apart, starts)
        farther = apart.sum() - np.cumsum(apart) + apart / 2
        return float(same @ farther / (same.sum() * apart.sum()))

    return _estimate(area, people, seed)


def rank1(
    embeddings: Float[np.ndarray, "n d"], people: Int[np.ndarray, " n"], seed: int
) -> tuple[Estimate, float]:
    """Return how often an image's nearest other image shows the same person.

    Images whose person has no other image are compared with, but not counted. The interval draws
    the people who are asked after; all images stay to be found.

    Returns:
        The share, and what it is by chance.
    """
    total = len(people)
    mates = np.bincount(people)[people] - 1 if total else np.zeros(0, int)
    hits = np.zeros(total)
    for place in range(total):
        distances = ((embeddings - embeddings[place]) ** 2).sum(1)
        distances[place] = np.inf
        hits[place] = people[distances.argmin()] == people[place]
    asked = mates > 0

    def share(weights: Float[np.ndarray, " people"]) -> float:
        counted = weights[people] * asked
        return float(counted @ hits / counted.sum()) if counted.any() else float("nan")

    chance = float((mates[asked] / (total - 1)).mean()) if asked.any() else float("nan")
    return _estimate(share, people, seed), chance


def estimates(
    statistics: Callable[[Float[np.ndarray, " people"]], Float[np.ndarray, " k"]],
    people: Int[np.ndarray, " n"],
    seed: int,
) -> list[Estimate]:
    """Return some figures with their intervals, by a bootstrap over people.

    Args:
        statistics: computes the figures, where each person counts as often as the weights say.
        people: numbers of the people, from 0, as `codes_of` gives them.
        seed: of the draws.

    Returns:
        An estimate for each figure; draws in which it is not finite are left out.
    """
    count = int(people.max()) + 1 if len(people) else 0
    values = statistics(np.ones(count))
    drawn = np.array([statistics(weights) for weights in _draws(count, seed)])
    return [
        _interval_of(float(value), drawn[:, place] if len(drawn) else np.zeros(0))
        for place, value in enumerate(values)
    ]


def _interval_of(value: float, drawn: Float[np.ndarray, " draws"]) -> Estimate:
    drawn = drawn[np.isfinite(drawn)]
    if not drawn.size:
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.percentile(drawn, _INTERVAL)
    return Estimate(value, float(low), float(high))


def _estimate(
    statistic: Callable[[Float[np.ndarray, " people"]], float],
    people: Int[np.ndarray, " n"],
    seed: int,
) -> Estimate:
    return estimates(lambda weights: np.array([statistic(weights)]), people, seed)[0]


def _draws(count: int, seed: int) -> Iterator[Float[np.ndarray, " people"]]:
    """Yield how often each person is drawn, with replacement, for each resample."""
    rng = np.random.default_rng(seed)
    for _ in range(RESAMPLES if count else 0):
        yield np.bincount(rng.integers(0, count, count), minlength=count).astype(np.float64)
