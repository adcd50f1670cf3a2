"""Draws in a fixed order of what makes a person, and picks by weight."""

import math

import numpy as np

from pipelines.procedural.canvas import Colour

Options = tuple[tuple[str, float], ...]
"""Values and their weights."""


class Draws:
    """Uniform draws in a fixed order; each call takes the next one.

    What a later edition draws is a stage of its own, so that the draws of the first stay.

    Args:
        seed: any integer; seeds that agree modulo 2^128 give the same draws.
        stage: number of the purpose.
        count: how many there are.
    """

    def __init__(self, seed: int, stage: int = 0, count: int = 64) -> None:
        generator = np.random.Generator(np.random.Philox(key=seed % 2**128, counter=stage << 192))
        self._values = iter(generator.random(count).tolist())

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Draw between `low` and `high`."""
        return low + (high - low) * next(self._values)

    def deviation(self) -> float:
        """Draw about a standard normal within [-2, 2]."""
        u = min(max(next(self._values), 0.012), 0.988)
        return max(-2.0, min(2.0, 0.595 * math.log(u / (1.0 - u))))

    def choose(self, options: Options) -> str:
        """Draw a value by its weight."""
        return pick(options, next(self._values))


def pick(options: Options, u: float) -> str:
    """Return the value in whose share of the weights `u` [0, 1) lies."""
    remaining = u * sum(weight for _, weight in options)
    for name, weight in options:
        remaining -= weight
        if remaining < 0:
            return name
    return options[-1][0]


def evenly(values: tuple[str, ...]) -> Options:
    """Give each value the same weight."""
    return tuple((value, 1.0) for value in values)


def hue_colour(hue: float, saturation: float, value: float) -> Colour:
    """Turn hue, saturation and value [0–1] into a colour."""
    places = ((n + hue * 6.0) % 6.0 for n in (5.0, 3.0, 1.0))
    red, green, blue = (value * (1.0 - saturation * max(0.0, min(k, 4.0 - k, 1.0))) for k in places)
    return red, green, blue
