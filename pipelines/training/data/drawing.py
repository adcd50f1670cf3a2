"""Procedural faces as training pictures: expressions drawn, views, pixels."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Float

from pipelines.procedural import SIDED_AUS, Expression, Identity, random_identity
from pipelines.procedural.expression import DRAWN_AUS
from pipelines.procedural.identity import even_traits
from pipelines.procedural.vocabulary import TRAITS
from pipelines.training.data.config import ExpressionShare, LabelledFaces
from samplers.flame.drawn import APART
from samplers.priors.emotions import EmotionsConfig, EmotionsPrior, prototype_table
from samplers.randomness import uniforms
from synthgen.action_units import DEFAULT_AUS, ActionUnitSet
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


def label_aus(faces: LabelledFaces) -> ActionUnitSet:
    """Return the AUs that drawn faces are labelled with."""
    return DRAWN_AUS if faces.aus == "drawn" else DEFAULT_AUS


def draw_person(faces: LabelledFaces, run: int, stage: str, number: int, seed: int) -> Identity:
    """Draw a person of the configured edition.

    Args:
        faces: whose traits are drawn evenly, and by which edition.
        run: seed of the run.
        stage: name of the purpose: what the numbers count.
        number: number of the person.
        seed: seed of the identity.
    """
    pinned = pinned_evenly(run, stage, number, faces.even) if faces.even else {}
    return random_identity(seed, edition=faces.edition, even=False, **pinned)


def pinned_evenly(
    run: int, stage: str, number: int, chance: float, bearded_women: bool = False
) -> dict[str, str]:
    """Draw each value of each trait as often and by itself; nothing where they go together.

    Args:
        run: seed of the run.
        stage: name of the purpose: what the numbers count.
        number: number of the person.
        chance: chance that they are drawn so [0, 1].
        bearded_women: beards whatever the person.
    """
    draws = uniforms(run, f"{stage}/traits", number, number + 1, 1 + len(TRAITS))[0]
    return even_traits(draws[1:].tolist(), {}, bearded_women) if draws[0] < chance else {}


def draw_aus(
    seed: int,
    stage: str,
    index: int,
    kinds: Sequence[ExpressionShare],
    intensity: IntensityRange,
    aus: ActionUnitSet = DEFAULT_AUS,
) -> Float[np.ndarray, " aus"]:
    """Draw the AU vector of one face.

    Args:
        seed: seed of the run.
        stage: name of the purpose.
        index: number of the face.
        kinds: kinds of expressions; one is chosen by its share.
        intensity: range of the intensity of an active AU.
        aus: the AUs of the vector.
    """
    draws = uniforms(seed, stage, index, index + 1, 2 + 2 * len(aus))[0]
    kind, category, active, position = np.split(draws, [1, 2, 2 + len(aus)])
    ends = np.cumsum([kind.share for kind in kinds])
    rate = kinds[int(np.searchsorted(ends[:-1], kind[0], side="right"))].rate
    chance = _emotion_chance(category[0], aus) if rate == "emotions" else rate
    values = intensity.low + (intensity.high - intensity.low) * position
    shown = np.where(active < chance, values, 0.0).astype(np.float32)
    for pair in APART:
        if all(name in aus for name in pair):
            places = [aus.index(name) for name in pair]
            if shown[places].all():
                shown[min(places, key=shown.__getitem__)] = 0.0
    return shown


_AT_REST = 1 / 3
"""Share of the weaker sides that do not move at all."""


def draw_sides(
    seed: int, stage: str, number: int, aus: Float[np.ndarray, " aus"], one_sided: float
) -> Float[np.ndarray, "2 aus"]:
    """Draw how strong each AU is on the left and the right side of the person.

    Args:
        seed: seed of the run.
        stage: name of the purpose: what the numbers count.
        number: number of the face.
        aus: intensities of `DRAWN_AUS`, as `draw_aus` gives them: those of the stronger side.
        one_sided: chance that the sides of a face differ [0, 1]: of each AU that a half face can
            show, one is then weaker or at rest.
    """
    places = [DRAWN_AUS.index(name) for name in SIDED_AUS]
    sides = np.stack([aus, aus])  # [2, aus]
    draws = uniforms(seed, f"{stage}/sides", number, number + 1, 1 + 2 * len(places))[0]
    if draws[0] < one_sided:
        which, strength = draws[1:].reshape(2, -1)
        weaker = (which < 0.5).astype(int)  # 0: the person's left
        kept = np.clip((strength - _AT_REST) / (1 - _AT_REST), 0.0, 1.0)
        sides[weaker, places] *= kept.astype(np.float32)
    return sides


def expression_of_sides(sides: Float[np.ndarray, "2 aus"]) -> Expression:
    """Return the expression of what `draw_sides` gives, as `render` takes it."""
    left, right = (tuple(side.tolist()) for side in sides)
    return Expression(left, right)


def _emotion_chance(draw: float, aus: ActionUnitSet) -> Float[np.ndarray, " aus"]:
    chances = _emotion_chances(aus)
    return chances[int(draw * len(chances))]


@cache
def _emotion_chances(aus: ActionUnitSet) -> Float[np.ndarray, "categories aus"]:
    config = EmotionsConfig(
        prior="emotions",
        action_units=list(aus.names),
        categories=list(prototype_table(aus)),
        allow_ambiguous=True,
    )
    return np.array(EmotionsPrior.from_config(config).chances)
