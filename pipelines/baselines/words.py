"""AUs in words, for models that are told nothing but a text; loads no torch."""

from collections.abc import Mapping, Sequence

from synthgen.action_units import FACS, INTENSITY_WORDS

LEAST_SHOWN = 0.5
"""Intensity from which an AU is told: that of the first word, rounded."""

NEUTRAL = "a neutral expression"


def in_words(aus: Mapping[str, int | float]) -> str:
    """Tell AUs by their FACS names and FACS's words of intensity, the strongest first.

    AUs below 0.5 are not told, and those above 5 as if they were 5.

    Args:
        aus: AU → intensity.

    Returns:
        Such as "severe lip corner puller, slight cheek raiser"; without any AU "a neutral
        expression".
    """
    shown = sorted((name for name in aus if aus[name] >= LEAST_SHOWN), key=lambda name: -aus[name])
    return ", ".join(f"{_degree(aus[name])} {FACS[name]}" for name in shown) or NEUTRAL


def told(prompt: str, aus: Mapping[str, int | float]) -> str:
    """Return a prompt that also tells AUs."""
    return ", ".join(filter(None, [prompt, in_words(aus)]))


def by_name(names: Sequence[str], aus: Sequence[int | float]) -> dict[str, float]:
    """Return AU → intensity of an AU vector."""
    return dict(zip(names, map(float, aus), strict=True))


def _degree(intensity: int | float) -> str:
    level = int(intensity + 0.5)  # half upwards; Python's own rounding is to even numbers
    return INTENSITY_WORDS[min(max(level, 1), len(INTENSITY_WORDS)) - 1]
