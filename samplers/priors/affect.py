"""Valence and arousal of emotion categories: a published map, not a measurement.

Positions are means over 300 raters of words for emotions, on scales of pleasure and arousal from −1
to 1: J. A. Russell and A. Mehrabian, "Evidence for a three-factor theory of emotions", Journal of
Research in Personality 11 (1977), 273–294. In between neutral and a position, quality is the
proportion of the two and intensity their absolute degree: R. Reisenzein, "Pleasure-arousal theory
and the intensity of emotions", Journal of Personality and Social Psychology 67 (1994), 525–539.
"""

from collections.abc import Sequence

NEUTRAL = "neutral"

POSITIONS = {
    "happy": (0.81, 0.51),
    "sad": (-0.63, -0.27),
    "surprised": (0.40, 0.67),
    "fearful": (-0.64, 0.60),
    "disgusted": (-0.60, 0.35),
    "angry": (-0.51, 0.59),
}
"""Category → its pleasure and arousal [−1, 1] by Russell and Mehrabian."""

_MOST = 5.0
"""Intensity of an AU at which a category has its whole position."""


def affect(category: str | None, aus: Sequence[float]) -> tuple[float, float] | None:
    """Return the valence and arousal [−1, 1] of a category at an intensity.

    The intensity is the mean of the AUs asked for, of 5 at most; neutral is the origin.

    Args:
        category: name of the category; None where there is none.
        aus: intensities asked for [0–5].

    Returns:
        None for categories that the source does not place, compound ones and blends among them.
    """
    if category == NEUTRAL:
        return 0.0, 0.0
    if category not in POSITIONS:
        return None
    active = [value for value in aus if value != 0]
    share = min(max(sum(active) / (_MOST * len(active)), 0.0), 1.0) if active else 0.0
    valence, arousal = POSITIONS[category]
    return share * valence, share * arousal
