"""Rules on AU vectors: which vectors are against one, and which sets of AUs can keep it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64

from synthgen.action_units import AU_COUNT, au_index
from synthgen.config.priors import (
    AtLeastRule,
    AtMostRule,
    CapRule,
    ExcludesRule,
    ImpliesRule,
    RuleConfig,
)


@dataclass(slots=True, eq=False)
class Boxes:
    """Sets of active AUs and the intensities that each leaves them; rules narrow them.

    Attributes:
        active: which AUs are active.
        low: lowest intensity of each AU where it is active.
        high: highest intensity of each AU where it is active.
    """

    active: Bool[np.ndarray, "sets aus"]
    low: Float64[np.ndarray, "sets aus"]
    high: Float64[np.ndarray, "sets aus"]

    def possible(self) -> bool:
        """Return whether a set is left in which each active AU has an intensity."""
        return bool((~self.active | (self.low <= self.high)).all(axis=1).any())

    def drop(self, sets: Bool[np.ndarray, " sets"]) -> None:
        """Make some sets impossible."""
        self.active[sets], self.low[sets], self.high[sets] = True, np.inf, -np.inf


@dataclass(frozen=True, slots=True)
class Rule(ABC):
    """What vectors keep.

    Attributes:
        text: the rule in words; names the stage of its penalty's draws.
        penalty: share of the vectors against the rule that are drawn anew (0, 1]; 1: all.
    """

    text: str
    penalty: float

    @abstractmethod
    def broken(self, vectors: Float32[np.ndarray, "rows aus"]) -> Bool[np.ndarray, " rows"]:
        """Return which vectors are against the rule."""

    @abstractmethod
    def narrow(self, boxes: Boxes) -> None:
        """Leave of some boxes what keeps the rule."""

    @abstractmethod
    def named(self, aus: int) -> frozenset[int]:
        """Return which of so many AUs are not alike to the rule."""


@dataclass(frozen=True, slots=True)
class Implies(Rule):
    """Where one AU is active, another one is, at an intensity or more."""

    one: int
    other: int
    at_least: float

    def broken(self, vectors: Float32[np.ndarray, "rows aus"]) -> Bool[np.ndarray, " rows"]:
        """Return which vectors show the one and not the other, or show it too weakly."""
        shown = (vectors[:, self.other] != 0) & (vectors[:, self.other] >= self.at_least)
        return (vectors[:, self.one] != 0) & ~shown

    def narrow(self, boxes: Boxes) -> None:
        """Raise the lowest intensity of the other."""
        asked = boxes.active[:, self.one]
        low = boxes.low[:, self.other]
        low[asked] = np.maximum(low[asked], self.at_least)
        boxes.drop(asked & ~boxes.active[:, self.other])

    def named(self, aus: int) -> frozenset[int]:
        """Return both AUs."""
        return frozenset({self.one, self.other})


@dataclass(frozen=True, slots=True)
class Count(Rule):
    """Of some AUs, at least and at most so many are active."""

    aus: tuple[int, ...]
    least: int
    most: int

    def broken(self, vectors: Float32[np.ndarray, "rows aus"]) -> Bool[np.ndarray, " rows"]:
        """Return which vectors show fewer or more."""
        return self._outside(vectors != 0)

    def narrow(self, boxes: Boxes) -> None:
        """Drop the sets with fewer or more."""
        boxes.drop(self._outside(boxes.active))

    def named(self, aus: int) -> frozenset[int]:
        """Return the AUs that are counted; where those are all, all are alike."""
        return frozenset(self.aus) if len(self.aus) < aus else frozenset()

    def _outside(self, active: Bool[np.ndarray, "rows aus"]) -> Bool[np.ndarray, " rows"]:
        number = active[:, self.aus].sum(axis=1)
        return (number < self.least) | (number > self.most)


@dataclass(frozen=True, slots=True)
class Cap(Rule):
    """An AU is never stronger than a bound."""

    au: int
    at: float

    def broken(self, vectors: Float32[np.ndarray, "rows aus"]) -> Bool[np.ndarray, " rows"]:
        """Return which vectors show it stronger."""
        return (vectors[:, self.au] != 0) & (vectors[:, self.au] > self.at)

    def narrow(self, boxes: Boxes) -> None:
        """Lower the highest intensity."""
        boxes.high[:, self.au] = np.minimum(boxes.high[:, self.au], self.at)

    def named(self, aus: int) -> frozenset[int]:
        """Return the AU."""
        return frozenset({self.au})


def build_rule(config: RuleConfig) -> Rule:
    """Build the rule of a configuration."""
    head = config.text(), 1.0 if config.penalty is None else config.penalty
    everywhere = tuple(range(AU_COUNT))
    match config:
        case ImpliesRule():
            least = -np.inf if config.at_least is None else config.at_least
            return Implies(*head, au_index(config.if_), au_index(config.then), least)
        case ExcludesRule():
            return Count(*head, tuple(map(au_index, config.exclude)), 0, 1)
        case AtMostRule():
            return Count(*head, everywhere, 0, config.at_most)
        case AtLeastRule():
            return Count(*head, everywhere, config.at_least, AU_COUNT)
        case CapRule():
            return Cap(*head, au_index(config.cap), config.at)
