"""From how AUs are asked to go together to the correlation matrix of their latent normals."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from samplers.priors.nearest_correlation import nearest_correlation
from samplers.priors.tetrachoric import (
    MAX_CORRELATION,
    joint_probability,
    latent_correlation,
    possible_joint,
)
from synthgen.action_units import AU_COUNT, AUS, au_index
from synthgen.config import CopulaConfig
from synthgen.errors import ConfigError

_WORTH_TELLING = 0.0005
"""Moves of what was asked for, a correlation or a probability, below this do not count."""

_TOLD = 5
"""Repairs that are told one by one, the largest."""

_ROUNDING = 1e-9
"""By how much a probability may miss its bounds, as 0.1 · 0.2 does."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is asked of one pair: its latent correlation, or a joint probability and its name."""

    pair: tuple[str, str]
    correlation: float
    probability: str = ""

    @property
    def indices(self) -> tuple[int, int]:
        return au_index(self.pair[0]), au_index(self.pair[1])


@dataclass(frozen=True, slots=True)
class _Repair:
    """What became of a wish: correlations, and probabilities where one was asked for."""

    wish: _Wish
    correlation: float
    before: float
    after: float

    @classmethod
    def of(
        cls, wish: _Wish, rates: Float64[np.ndarray, " aus"], found: Float64[np.ndarray, "aus aus"]
    ) -> "_Repair":
        i, j = wish.indices
        correlation = float(found[i, j])
        before_after = np.clip([wish.correlation, correlation], -MAX_CORRELATION, MAX_CORRELATION)
        both = joint_probability(rates[[i, i]], rates[[j, j]], before_after)
        before, after = (both / (rates[j] if "|" in wish.probability else 1.0)).tolist()
        return cls(wish, correlation, before, after)

    @property
    def name(self) -> str:
        return f"{self.wish.pair[0]}+{self.wish.pair[1]}"

    @property
    def move(self) -> float:
        return abs(self.correlation - self.wish.correlation)

    @property
    def counts(self) -> bool:
        """Whether what was asked for is seen to have changed."""
        change = abs(self.after - self.before) if self.wish.probability else self.move
        return change > _WORTH_TELLING

    def told(self) -> str:
        text = (
            f"its latent correlation from {self.wish.correlation:.3f} to {self.correlation:.3f}, "
            f"by {self.move:.3f}"
        )
        if not self.wish.probability:
            return text
        return f"{text} ({self.wish.probability} from {self.before:.4f} to {self.after:.4f})"


def latent_matrix(
    config: CopulaConfig, rates: Float64[np.ndarray, " aus"]
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
    wishes = _wishes(config, rates)
    asked, fixed = np.eye(AU_COUNT), np.eye(AU_COUNT, dtype=bool)
    for wish in wishes:
        i, j = wish.indices
        asked[i, j] = asked[j, i] = np.clip(wish.correlation, -MAX_CORRELATION, MAX_CORRELATION)
        fixed[i, j] = fixed[j, i] = True
    found = nearest_correlation(asked, fixed)
    return found, _repairs(config, rates, wishes, found) + _unnamed(config, fixed, found)


def _wishes(config: CopulaConfig, rates: Float64[np.ndarray, " aus"]) -> list[_Wish]:
    """Return what is asked of the pairs; one with an AU of rate 0 or 1 has nothing to decide."""
    kind, pairs = config.dependence(), config.pairs()
    if kind in ("joint", "conditional"):
        wishes = _of_probabilities(kind, pairs, rates)
    else:
        wishes = [_Wish(pair, number) for pair, number in pairs.items()]
    return [wish for wish in wishes if all(0 < rates[au] < 1 for au in wish.indices)]


def _of_probabilities(
    kind: str, pairs: dict[tuple[str, str], float], rates: Float64[np.ndarray, " aus"]
) -> list[_Wish]:
    joint = [_joint(kind, pair, probability, rates) for pair, probability in pairs.items()]
    rate, other = (
        np.array([rates[au_index(pair[side])] for pair in pairs], dtype=np.float64)
        for side in (0, 1)
    )
    found = latent_correlation(rate, other, np.array(joint)).tolist()
    mark = "|" if kind == "conditional" else " and "
    return [
        _Wish(pair, number, f"P({mark.join(pair)})")
        for pair, number in zip(pairs, found, strict=True)
    ]


def _joint(
    kind: str, pair: tuple[str, str], probability: float, rates: Float64[np.ndarray, " aus"]
) -> float:
    """Return the joint probability that is asked for, if it is possible."""
    rate, other = (float(rates[au_index(name)]) for name in pair)
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
    config: CopulaConfig,
    rates: Float64[np.ndarray, " aus"],
    wishes: list[_Wish],
    found: Float64[np.ndarray, "aus aus"],
) -> tuple[str, ...]:
    """Tell the moves of the pairs that were asked for, the largest first, or refuse them."""
    where = f"expressions.{config.dependence()}"
    repairs = [_Repair.of(wish, rates, found) for wish in wishes]
    moved = sorted((repair for repair in repairs if repair.counts), key=lambda one: -one.move)
    if moved and moved[0].move > config.max_repair:
        raise ConfigError(
            f"{where}: the pairs cannot all go together as asked; the nearest that can moves "
            f"{moved[0].name} most, {moved[0].told()}; max_repair allows moves up to "
            f"{config.max_repair:g}"
        )
    told = [
        f"{where}: {repair.name} was moved so that all pairs can go together, {repair.told()}"
        for repair in moved[:_TOLD]
    ]
    if len(moved) > _TOLD:
        told.append(f"{where}: {len(moved) - _TOLD} more pairs were moved, by less")
    return tuple(told)


def _unnamed(
    config: CopulaConfig, fixed: Bool[np.ndarray, "aus aus"], found: Float64[np.ndarray, "aus aus"]
) -> tuple[str, ...]:
    """Tell of the pairs that were not asked for and could not be left independent."""
    moves = np.triu(np.where(fixed, 0.0, np.abs(found)))
    count = int((moves > _WORTH_TELLING).sum())
    if not count:
        return ()
    i, j = np.unravel_index(int(moves.argmax()), moves.shape)
    pairs = "1 pair that is" if count == 1 else f"{count} pairs that are"
    return (
        f"expressions.{config.dependence()}: {pairs} not named cannot stay independent; "
        f"{AUS[i]}+{AUS[j]} moved most, to a latent correlation of {found[i, j]:.3f}",
    )
