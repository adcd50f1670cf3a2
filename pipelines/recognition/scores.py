"""Figures of recognisers on a test: accuracy, F1, calibration, agreement on AUs, with intervals.

A figure is the mean over the recognisers of all seeds; its interval is a bootstrap over the people
of the test (over its pictures, where nobody says whom they show), so it tells how far another test
would differ. The spread over the seeds stands beside it.

Shapes: n pictures, C categories, A Action Units, S seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from pipelines.evaluation.outside_statistics import Estimate, codes_of, estimates

BINS = 15
"""Bins of confidence of the calibration error (Guo et al., ICML 2017)."""

_NONE = -1
"""Number of the category of a picture that has none."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure over all seeds.

    Attributes:
        estimate: mean over the seeds, with its interval.
        seeds: the figure of each seed.
    """

    estimate: Estimate
    seeds: tuple[float, ...]

    @property
    def spread(self) -> float:
        """Standard deviation over the seeds (n − 1); NaN of fewer than two."""
        return float(np.std(self.seeds, ddof=1)) if len(self.seeds) > 1 else float("nan")


@dataclass(frozen=True, slots=True)
class CategoryScores:
    """One category; NaN where the test has none of it, or none is called so.

    Attributes:
        pictures: pictures of the test that show it.
        precision: share of those called so that show it.
        recall: share of those that show it that are called so.
        f1: harmonic mean of both.
    """

    pictures: int
    precision: Figure
    recall: Figure
    f1: Figure


@dataclass(frozen=True, slots=True)
class ExpressionScores:
    """Categories of all pictures that have one.

    Attributes:
        pictures: their number.
        accuracy: share that is called what it is.
        macro_f1: mean F1 over the categories that the test has.
        ece: expected calibration error: mean |accuracy − confidence| over bins of confidence.
        most_common: accuracy of who always says the test's most frequent category.
        categories: category → its figures.
        confusion: share of the pictures of a category (row) that are called another (column), mean
            over the seeds; NaN in rows of categories that the test has not.
        reliability: bins of confidence: mean confidence, accuracy, share of the pictures; of all
            seeds together.
    """

    pictures: int
    accuracy: Figure
    macro_f1: Figure
    ece: Figure
    most_common: float
    categories: dict[str, CategoryScores]
    confusion: tuple[tuple[float, ...], ...]
    reliability: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, slots=True)
class AUScores:
    """One AU, over the pictures in which it is known.

    Attributes:
        pictures: their number.
        r: Pearson's correlation of the intensity told with the one known.
        icc: ICC(3,1) of both (Shrout & Fleiss, 1979): agreement of two raters, fixed, without
            their difference in level.
        mae: mean |told − known|.
    """

    pictures: int
    r: Figure
    icc: Figure
    mae: Figure


def score_expressions(
    shown: Sequence[str | None],
    told: Float[np.ndarray, "S n C"],
    categories: Sequence[str],
    people: Sequence[str],
    seed: int,
) -> ExpressionScores | None:
    """Compare categories with what recognisers of several seeds tell.

    Args:
        shown: category of each picture; those with none, or one that nobody learned, are left out.
        told: probabilities.
        categories: names of the categories, in order.
        people: whom each picture shows.
        seed: of the bootstrap.

    Returns:
        None where no picture has a category.
    """
    numbers = np.array([categories.index(c) if c in categories else _NONE for c in shown], int)
    kept = numbers != _NONE
    if not kept.any() or not categories:
        return None
    truth, told = numbers[kept], told[:, kept]
    owners = codes_of([p for p, keep in zip(people, kept, strict=True) if keep])
    width = len(categories)
    called = told.argmax(2)
    sure = told.max(2)
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)

    def of_seed(number: int, weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, " k"]:
        table = np.bincount(truth * width + called[number], weights, width * width)
        table = table.reshape(width, width)
        gap = weights * ((called[number] == truth) - sure[number])
        ece = np.abs(np.bincount(bins[number], gap, BINS)).sum() / weights.sum()
        return np.concatenate([_of_confusion(table), [ece]])

    figures = _figures(of_seed, len(told), owners, seed)
    present = np.bincount(truth, minlength=width)
    parts = figures[2 : 2 + 3 * width]
    return ExpressionScores(
        pictures=len(truth),
        accuracy=figures[0],
        macro_f1=figures[1],
        ece=figures[-1],
        most_common=float(present.max() / len(truth)),
        categories={
            name: CategoryScores(int(present[n]), parts[n], parts[width + n], parts[2 * width + n])
            for n, name in enumerate(categories)
        },
        confusion=_confusion(truth, called, width),
        reliability=_reliability(truth, called, sure, bins),
    )


def score_aus(
    known: Float[np.ndarray, "n A"],
    told: Float[np.ndarray, "S n A"],
    aus: Sequence[str],
    people: Sequence[str],
    seed: int,
) -> dict[str, AUScores]:
    """Compare intensities with what recognisers of several seeds tell.

    Args:
        known: intensities [0–5]; NaN where nobody says.
        told: intensities.
        aus: names of the AUs, in order.
        people: whom each picture shows.
        seed: of the bootstrap.

    Returns:
        AU → its figures, of those that are known in any picture.
    """
    found = {}
    for place, name in enumerate(aus):
        kept = np.isfinite(known[:, place])
        if not kept.any():
            continue
        truth, answers = known[kept, place].astype(np.float64), told[:, kept, place]
        owners = codes_of([p for p, keep in zip(people, kept, strict=True) if keep])

        def of_seed(
            number: int,
            weights: Float[np.ndarray, " n"],
            truth: Float[np.ndarray, " n"] = truth,
            answers: Float[np.ndarray, "S n"] = answers,
        ) -> Float[np.ndarray, " k"]:
            return _agreement(truth, answers[number], weights)

        r, icc, mae = _figures(of_seed, len(told), owners, seed)
        found[name] = AUScores(int(kept.sum()), r, icc, mae)
    return found


def _figures(of_seed, seeds: int, people: Int[np.ndarray, " n"], seed: int) -> list[Figure]:
    """Estimate the mean of figures over the seeds, each a function of the pictures' weights."""

    def mean(weights: Float[np.ndarray, " people"]) -> Float[np.ndarray, " k"]:
        return np.mean([of_seed(number, weights[people]) for number in range(seeds)], axis=0)

    ones = np.ones(len(people))
    alone = [of_seed(number, ones) for number in range(seeds)]
    found = estimates(mean, people, seed)
    return [
        Figure(one, tuple(float(values[place]) for values in alone))
        for place, one in enumerate(found)
    ]


def _of_confusion(table: Float[np.ndarray, "C C"]) -> Float[np.ndarray, " k"]:
    """Return accuracy, macro-F1, and precision, recall and F1 of each category."""
    hits, shown, called = table.diagonal(), table.sum(1), table.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(called > 0, hits / called, np.nan)
        recall = np.where(shown > 0, hits / shown, np.nan)
        f1 = np.where(shown > 0, 2 * hits / (shown + called), np.nan)
    accuracy = hits.sum() / table.sum()
    return np.concatenate([[accuracy, f1[shown > 0].mean()], precision, recall, f1])


def _confusion(
    truth: Int[np.ndarray, " n"], called: Int[np.ndarray, "S n"], width: int
) -> tuple[tuple[float, ...], ...]:
    table = sum(np.bincount(truth * width + row, minlength=width * width) for row in called)
    table = np.asarray(table, np.float64).reshape(width, width)
    with np.errstate(invalid="ignore"):
        shares = table / table.sum(1, keepdims=True)
    return tuple(tuple(float(value) for value in row) for row in shares)


def _reliability(
    truth: Int[np.ndarray, " n"],
    called: Int[np.ndarray, "S n"],
    sure: Float[np.ndarray, "S n"],
    bins: Int[np.ndarray, "S n"],
) -> tuple[tuple[float, float, float], ...]:
    right = (called == truth).astype(np.float64)
    found = []
    for number in range(BINS):
        here = bins == number
        if here.any():
            share = float(here.mean())
            found.append((float(sure[here].mean()), float(right[here].mean()), share))
    return tuple(found)


def _agreement(
    truth: Float[np.ndarray, " n"], told: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "3"]:
    """Return Pearson's r, ICC(3,1) and the mean absolute error, of weighted pictures.

    With two raters ICC(3,1) = (BMS − EMS) / (BMS + EMS) is twice the covariance over the sum of
    the variances.
    """
    total = weights.sum()
    one, other = truth - weights @ truth / total, told - weights @ told / total
    both = weights @ (one * other)
    first, second = weights @ one**2, weights @ other**2
    r = both / np.sqrt(first * second) if first > 0 and second > 0 else np.nan
    icc = 2 * both / (first + second) if first > 0 else np.nan
    return np.array([r, icc, weights @ np.abs(truth - told) / total])
