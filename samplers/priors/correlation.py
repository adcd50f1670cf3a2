"""Correlations of latent normals from how often AUs go together, repaired where they cannot.

AU i is active where a standard normal exceeds the threshold that its rate gives. The correlation of
two such normals that gives a wanted share of both active is their tetrachoric correlation
(Pearson, "Mathematical contributions to the theory of evolution VII", 1900).

Higham, "Computing the nearest correlation matrix", IMA J. Numer. Anal. 22, 2002 (algorithm 3.3);
with entries held fixed: Higham & Strabić, "Anderson acceleration of the alternating projections
method for computing the nearest correlation matrix", Numer. Algorithms 72, 2016, section 3.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from scipy.special import ndtri, owens_t

from samplers.priors.copula_section import CopulaKeys
from synthgen.action_units import ActionUnitSet
from synthgen.errors import ConfigError
from synthgen.foreign import counted

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
        fixed: symmetric mask of the entries that were asked for; the others are targets.
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


_WORTH_TELLING = 0.0005
"""Moves of what was asked for, a correlation or a probability, below this do not count."""

_TOLD = 5
"""Repairs that are told one by one, the largest."""

_ROUNDING = 1e-9
"""By how much a probability may miss its bounds, as 0.1 · 0.2 does."""


@dataclass(frozen=True, slots=True)
class _PairTarget:
    """Request for one pair: its latent correlation, or a joint probability and its name."""

    pair: tuple[str, str]
    indices: tuple[int, int]
    correlation: float
    probability: str = ""


@dataclass(frozen=True, slots=True)
class _PairFit:
    """Result of a request: correlations, and probabilities where one was asked for."""

    target: _PairTarget
    correlation: float
    before: float
    after: float

    @classmethod
    def of(
        cls,
        target: _PairTarget,
        rates: Float64[np.ndarray, " aus"],
        found: Float64[np.ndarray, "aus aus"],
    ) -> "_PairFit":
        i, j = target.indices
        correlation = float(found[i, j])
        before_after = np.clip([target.correlation, correlation], -MAX_CORRELATION, MAX_CORRELATION)
        both = joint_probability(rates[[i, i]], rates[[j, j]], before_after)
        before, after = (both / (rates[j] if "|" in target.probability else 1.0)).tolist()
        return cls(target, correlation, before, after)

    @property
    def name(self) -> str:
        return f"{self.target.pair[0]}+{self.target.pair[1]}"

    @property
    def move(self) -> float:
        return abs(self.correlation - self.target.correlation)

    @property
    def counts(self) -> bool:
        """True where the value asked for has visibly changed."""
        change = abs(self.after - self.before) if self.target.probability else self.move
        return change > _WORTH_TELLING

    def told(self) -> str:
        text = (
            f"its latent correlation from {self.target.correlation:.3f} to {self.correlation:.3f}, "
            f"by {self.move:.3f}"
        )
        if not self.target.probability:
            return text
        return f"{text} ({self.target.probability} from {self.before:.4f} to {self.after:.4f})"


def latent_matrix(
    config: CopulaKeys, rates: Float64[np.ndarray, " aus"]
) -> tuple[Float64[np.ndarray, "aus aus"], tuple[str, ...]]:
    """Return the correlations of the latent normals, and what was repaired, a sentence each.

    A pair that is not named is left independent, as far as the named ones allow it.

    Args:
        config: what is asked.
        rates: probability of each AU [0, 1].

    Raises:
        ConfigError: if a pair is asked what the rates of its AUs rule out, or if the pairs cannot
            stand together but by moving one by more than `max_repair`.
    """
    targets = _pair_targets(config, rates)
    asked, fixed = np.eye(len(rates)), np.eye(len(rates), dtype=bool)
    for target in targets:
        i, j = target.indices
        asked[i, j] = asked[j, i] = np.clip(target.correlation, -MAX_CORRELATION, MAX_CORRELATION)
        fixed[i, j] = fixed[j, i] = True
    found = nearest_correlation(asked, fixed)
    return found, _repairs(config, rates, targets, found) + _unnamed(config, fixed, found)


def _pair_targets(config: CopulaKeys, rates: Float64[np.ndarray, " aus"]) -> list[_PairTarget]:
    """Return what is asked of the pairs; one with an AU of rate 0 or 1 has nothing to decide."""
    kind, pairs = config.dependence(), config.pairs()
    if kind in ("joint", "conditional"):
        targets = _of_probabilities(kind, pairs, rates, config.au_set)
    else:
        targets = [
            _PairTarget(pair, pair_indices(pair, config.au_set), number)
            for pair, number in pairs.items()
        ]
    return [target for target in targets if all(0 < rates[au] < 1 for au in target.indices)]


def pair_indices(pair: tuple[str, str], aus: ActionUnitSet) -> tuple[int, int]:
    """Return the places of two AUs in a vector."""
    return aus.index(pair[0]), aus.index(pair[1])


def _of_probabilities(
    kind: str,
    pairs: dict[tuple[str, str], float],
    rates: Float64[np.ndarray, " aus"],
    aus: ActionUnitSet,
) -> list[_PairTarget]:
    indices = [pair_indices(pair, aus) for pair in pairs]
    asked = zip(pairs.items(), indices, strict=True)
    joint = [
        _joint(kind, pair, probability, (float(rates[i]), float(rates[j])))
        for (pair, probability), (i, j) in asked
    ]
    rate, other = (
        np.array([rates[both[side]] for both in indices], dtype=np.float64) for side in (0, 1)
    )
    found = latent_correlation(rate, other, np.array(joint)).tolist()
    mark = "|" if kind == "conditional" else " and "
    return [
        _PairTarget(pair, places, number, f"P({mark.join(pair)})")
        for pair, places, number in zip(pairs, indices, found, strict=True)
    ]


def _joint(
    kind: str, pair: tuple[str, str], probability: float, rates: tuple[float, float]
) -> float:
    """Return the joint probability that is asked for, if it is possible."""
    rate, other = rates
    scale = other if kind == "conditional" else 1.0
    if scale == 0:
        raise ConfigError(
            f"expressions.conditional: {pair[0]}|{pair[1]} cannot be, as the rate of {pair[1]} "
            "is 0; give it a rate above 0, or leave the pair out"
        )
    _check_bounds(kind, pair, probability, scale, (rate, other))
    return probability * scale


def _check_bounds(
    kind: str,
    pair: tuple[str, str],
    probability: float,
    scale: float,
    rates: tuple[float, float],
) -> None:
    bounds = possible_joint(np.array([rates[0]]), np.array([rates[1]]))
    low, high = (float(bound[0]) / scale for bound in bounds)
    if not low - _ROUNDING <= probability <= high + _ROUNDING:
        mark = "|" if kind == "conditional" else "+"
        raise ConfigError(
            f"expressions.{kind}: {mark.join(pair)} is {probability:g}; with the rates "
            f"{rates[0]:g} of {pair[0]} and {rates[1]:g} of {pair[1]} it can be from {low:.4g} to "
            f"{high:.4g}"
        )


def _repairs(
    config: CopulaKeys,
    rates: Float64[np.ndarray, " aus"],
    targets: list[_PairTarget],
    found: Float64[np.ndarray, "aus aus"],
) -> tuple[str, ...]:
    """Tell the moves of the pairs that were asked for, the largest first, or refuse them."""
    where = f"expressions.{config.dependence()}"
    fits = [_PairFit.of(target, rates, found) for target in targets]
    moved = sorted((fit for fit in fits if fit.counts), key=lambda one: -one.move)
    if moved and moved[0].move > config.max_repair:
        raise ConfigError(
            f"{where}: the pairs cannot all go together as asked; the nearest that can moves "
            f"{moved[0].name} most, {moved[0].told()}; max_repair allows moves up to "
            f"{config.max_repair:g}"
        )
    told = [
        f"{where}: {fit.name} was moved so that all pairs can go together, {fit.told()}"
        for fit in moved[:_TOLD]
    ]
    if len(moved) > _TOLD:
        told.append(f"{where}: {len(moved) - _TOLD} more pairs were moved, by less")
    return tuple(told)


def _unnamed(
    config: CopulaKeys, fixed: Bool[np.ndarray, "aus aus"], found: Float64[np.ndarray, "aus aus"]
) -> tuple[str, ...]:
    """Tell of the pairs that were not asked for and could not be left independent."""
    moves = np.triu(np.where(fixed, 0.0, np.abs(found)))
    count = int((moves > _WORTH_TELLING).sum())
    if not count:
        return ()
    i, j = np.unravel_index(int(moves.argmax()), moves.shape)
    names = config.action_units
    pairs = counted(count, "pair that is", "pairs that are")
    return (
        f"expressions.{config.dependence()}: {pairs} not named cannot stay independent; "
        f"{names[i]}+{names[j]} moved most, to a latent correlation of {found[i, j]:.3f}",
    )
