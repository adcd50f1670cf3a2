"""Procedural faces as training pictures: expressions drawn, views, pixels."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Float

from pipelines.procedural import Identity, random_identity
from pipelines.training.data.config import ExpressionShare
from samplers.priors.emotions import EmotionsConfig, EmotionsPrior, prototype_table
from samplers.randomness import uniforms
from synthgen.action_units import AU_COUNT
from synthgen.config.priors import IntensityRange

Made = TypeVar("Made")

ROUND = 1024
"""Faces that come in turn before their next view: as many are worth keeping."""


def face_number(index: int, views: int) -> int:
    """Return the face that a sample shows: 1,024 faces in turn, `views` times, then the next."""
    rounds, place = divmod(index, ROUND * views)
    return rounds * ROUND + place % ROUND


class RoundCache(Generic[Made]):
    """Makes something of a face once, and keeps it for the face's next views.

    Args:
        make: number of a face → what is kept of it.
    """

    def __init__(self, make: Callable[[int], Made]) -> None:
        self._make = make
        self._kept: dict[int, Made] = {}

    def __getitem__(self, number: int) -> Made:
        if number not in self._kept:
            if len(self._kept) == ROUND:
                self._kept.clear()
            self._kept[number] = self._make(number)
        return self._kept[number]


OF_THE_PICTURE = (
    "yaw", "pitch", "roll", "light", "warmth", "clothes", "clothes_colour", "background",
    "background_edge", "gaze", "light_strength", "pattern", "clothes_accent", "background_kind",
    "background_accent",
)  # fmt: skip
"""Traits of the picture and not of the person."""


def in_another_picture(person: Identity, picture: int) -> Identity:
    """Return the same person as another picture shows them, drawn from a seed."""
    other = random_identity(picture, edition=person.edition)
    return replace(person, **{name: getattr(other, name) for name in OF_THE_PICTURE})


_DRAWS = 2 + 2 * AU_COUNT


def draw_aus(
    seed: int,
    stage: str,
    index: int,
    kinds: Sequence[ExpressionShare],
    intensity: IntensityRange,
) -> Float[np.ndarray, " aus"]:
    """Draw the AU vector of one face.

    Args:
        seed: seed of the run.
        stage: name of the purpose.
        index: number of the face.
        kinds: kinds of expressions; one is chosen by its share.
        intensity: range of the intensity of an active AU.
    """
    draws = uniforms(seed, stage, index, index + 1, _DRAWS)[0]
    kind, category, active, position = np.split(draws, [1, 2, 2 + AU_COUNT])
    ends = np.cumsum([kind.share for kind in kinds])
    rate = kinds[int(np.searchsorted(ends[:-1], kind[0], side="right"))].rate
    chance = _emotion_chance(category[0]) if rate == "emotions" else rate
    values = intensity.low + (intensity.high - intensity.low) * position
    return np.where(active < chance, values, 0.0).astype(np.float32)


def _emotion_chance(draw: float) -> Float[np.ndarray, " aus"]:
    chances = _emotion_chances()
    return chances[int(draw * len(chances))]


@cache
def _emotion_chances() -> Float[np.ndarray, "categories aus"]:
    config = EmotionsConfig(
        prior="emotions", categories=list(prototype_table()), allow_ambiguous=True
    )
    return np.array(EmotionsPrior.from_config(config).chances)
