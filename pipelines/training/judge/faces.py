"""Portraits with their AUs and traits for the second judge, drawn anew for each index.

Identity seeds begin where neither the AU network nor a generator of faces, nor their held-out
faces, ever come.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from pipelines.evaluation.judge_network import JUDGED_TRAITS
from pipelines.procedural import Identity, random_identity, render
from pipelines.procedural.vocabulary import TRAITS
from pipelines.training.data.expression_config import ExpressionShare
from pipelines.training.data.expressions import draw_aus
from pipelines.training.data.views import ROUND, face_number
from pipelines.training.judge.config import JudgeConfig

FIRST_IDENTITY = 2**44
FIRST_HELD_OUT = 2**45
"""Identity seeds of the first portrait that is learned and of the first that is held out."""

NOT_SHOWN = -100
"""Class of a trait that cannot be seen, such as the colour of no hair."""

SIZE = 128


class Portraits(NamedTuple):
    """Portraits to learn from; without the batch axis, one of them.

    Attributes:
        pixels: RGB [0–255].
        aus: AU intensities [0–5].
        traits: class of each trait of `JUDGED_TRAITS`; `NOT_SHOWN` where it cannot be seen.
    """

    pixels: UInt8[Tensor, "*B 3 128 128"]
    aus: Float[Tensor, "*B aus"]
    traits: Int[Tensor, "*B traits"]


class JudgePortraits(Dataset[Portraits]):
    """The portraits of a training, from index 0 on; each face is shown `views` times."""

    def __init__(self, config: JudgeConfig) -> None:
        self._config = config
        self._drawn: dict[int, Portraits] = {}

    def __len__(self) -> int:
        return self._config.batch_size * sum(cycle.steps for cycle in self._config.cycles)

    def __getitem__(self, index: int) -> Portraits:
        faces, number = self._config.faces, face_number(index, self._config.faces.views)
        if number not in self._drawn:
            if len(self._drawn) == ROUND:
                self._drawn.clear()
            aus = draw_aus(
                self._config.seed, "judge/train", number, faces.expressions, faces.intensity
            )
            self._drawn[number] = draw_portrait(FIRST_IDENTITY + number, aus)
        return self._drawn[number]


class HeldOutPortraits(Dataset[Portraits]):
    """Portraits of identities that are never learned."""

    def __init__(self, config: JudgeConfig) -> None:
        self._config = config

    def __len__(self) -> int:
        return self._config.evaluation.faces

    def __getitem__(self, index: int) -> Portraits:
        asked = self._config.evaluation
        kinds = (ExpressionShare(share=1.0, rate=asked.rate),)
        aus = draw_aus(self._config.seed, "judge/held-out", index, kinds, asked.intensity)
        return draw_portrait(FIRST_HELD_OUT + index, aus)


def draw_portrait(identity_seed: int, aus: Float[np.ndarray, " aus"]) -> Portraits:
    """Draw one portrait."""
    identity = random_identity(seed=identity_seed)
    pixels = np.asarray(render(identity, aus.tolist(), size=SIZE))
    return Portraits(
        torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous(),
        torch.from_numpy(aus),
        torch.tensor(trait_classes(identity)),
    )


def trait_classes(identity: Identity) -> Sequence[int]:
    """Return the class of each judged trait."""
    return [_class(identity, trait) for trait in JUDGED_TRAITS]


def _class(identity: Identity, trait: str) -> int:
    if trait == "hair" and identity.hair_style == "bald":
        return NOT_SHOWN
    return TRAITS[trait].index(identity.traits[trait])
