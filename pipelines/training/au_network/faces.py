"""Procedural faces with their AUs, drawn anew for each index: data without end and without files.

Sample i is a function of (configuration, i): the same in every process, run and order. Training
takes identity seeds from 0 on; held-out ones start where no training run comes.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import Dataset

from pipelines.libreface.alignment import CenteredAligner
from pipelines.libreface.preprocessing import face_pixels, resized_side
from pipelines.procedural import random_identity, render
from pipelines.training.au_network.augmentation import DRAWS, augment
from pipelines.training.au_network.config import AUNetworkConfig, ExpressionShare
from samplers.priors.emotions import EmotionsPrior
from samplers.priors.prototypes import prototype_table
from samplers.randomness import uniforms
from synthgen.action_units import AU_COUNT
from synthgen.config.priors import EmotionsConfig, IntensityRange

HELD_OUT = 2**40
"""Identity seed of the first held-out face; training takes identity seeds from 0 on."""

_ROUND = 1024
_DRAWS = 2 + 2 * AU_COUNT


class Face(NamedTuple):
    """A face to learn from.

    Attributes:
        pixels: normalised input of the network, float32 [3, side, side].
        aus: AU intensities [0–5], float32 [12].
    """

    pixels: Tensor
    aus: Tensor


class TrainingFaces(Dataset[Face]):
    """The faces of a training run, augmented, from index 0 on."""

    def __init__(self, config: AUNetworkConfig) -> None:
        self._config = config
        self._aligner = CenteredAligner(resized_side(config.input_size))
        self._drawn: dict[int, tuple[Image, Float[np.ndarray, " 12"]]] = {}

    def __len__(self) -> int:
        return self._config.steps * self._config.batch_size

    def __getitem__(self, index: int) -> Face:
        config = self._config
        image, aus = self._draw(face_number(index, config.faces.views))
        draws = uniforms(config.seed, "au-net/augmentation", index, index + 1, DRAWS)[0]
        chance = config.cycle(index // config.batch_size).augmented
        image = augment(image, draws, chance, config.augmentation)
        return _face(self._aligner, image, aus, config.input_size)

    def _draw(self, number: int) -> tuple[Image, Float[np.ndarray, " 12"]]:
        if number not in self._drawn:
            if len(self._drawn) == _ROUND:
                self._drawn.clear()
            config, faces = self._config, self._config.faces
            aus = draw_aus(config.seed, "au-net/train", number, faces.expressions, faces.intensity)
            image = render(random_identity(seed=number), aus.tolist(), size=faces.size)
            self._drawn[number] = image, aus
        return self._drawn[number]


class HeldOutFaces(Dataset[Face]):
    """Faces of identities that are never learned, as they are drawn.

    Args:
        config: the training run.
        count: number of faces, counted from the same first one.
    """

    def __init__(self, config: AUNetworkConfig, count: int) -> None:
        self._config = config
        self._count = count
        self._aligner = CenteredAligner(resized_side(config.input_size))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Face:
        config, asked = self._config, self._config.evaluation
        kinds = (ExpressionShare(share=1.0, rate=asked.rate),)
        aus = draw_aus(config.seed, "au-net/held-out", index, kinds, asked.intensity)
        image = render(random_identity(seed=HELD_OUT + index), aus.tolist(), size=config.faces.size)
        return _face(self._aligner, image, aus, config.input_size)


def face_number(index: int, views: int) -> int:
    """Return the face that a sample shows: 1,024 faces in turn, `views` times, then the next."""
    rounds, place = divmod(index, _ROUND * views)
    return rounds * _ROUND + place % _ROUND


def draw_aus(
    seed: int,
    stage: str,
    index: int,
    kinds: Sequence[ExpressionShare],
    intensity: IntensityRange,
) -> Float[np.ndarray, " 12"]:
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


def _emotion_chance(draw: float) -> Float[np.ndarray, " 12"]:
    chances = _emotion_chances()
    return chances[int(draw * len(chances))]


@cache
def _emotion_chances() -> Float[np.ndarray, "categories 12"]:
    config = EmotionsConfig(
        prior="emotions", categories=list(prototype_table()), allow_ambiguous=True
    )
    return np.array(EmotionsPrior.from_config(config).chances)


def _face(
    aligner: CenteredAligner, image: Image, aus: Float[np.ndarray, " 12"], input_size: int
) -> Face:
    crop = cast(Image, aligner.align(image).crop)  # the centred aligner always finds a face
    return Face(face_pixels([crop], input_size)[0], torch.from_numpy(aus))
