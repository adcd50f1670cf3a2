"""Procedural faces with their AUs, drawn anew for each index: data without end and without files.

Sample i is a function of (configuration, i): the same in every process, run and order. Training
takes identity seeds from 0 on; held-out ones start where no training run comes.
"""

from typing import NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import Dataset

from pipelines.libreface.alignment import CenteredAligner
from pipelines.libreface.network import face_pixels, resized_side
from pipelines.procedural import random_identity, render
from pipelines.training.au_network.augmentation import DRAWS, augment
from pipelines.training.au_network.config import AUNetworkConfig
from pipelines.training.data.expression_config import ExpressionShare
from pipelines.training.data.expressions import draw_aus
from pipelines.training.data.procedural_examples import HELD_OUT
from pipelines.training.data.views import ROUND, face_number
from samplers.randomness import uniforms


class Face(NamedTuple):
    """A face to learn from.

    Attributes:
        pixels: normalised input of the network, float32 [3, side, side].
        aus: AU intensities [0–5], float32 [aus].
    """

    pixels: Tensor
    aus: Tensor


class TrainingFaces(Dataset[Face]):
    """The faces of a training run, augmented, from index 0 on."""

    def __init__(self, config: AUNetworkConfig) -> None:
        self._config = config
        self._aligner = CenteredAligner(resized_side(config.input_size))
        self._drawn: dict[int, tuple[Image, Float[np.ndarray, " aus"]]] = {}

    def __len__(self) -> int:
        return self._config.steps * self._config.batch_size

    def __getitem__(self, index: int) -> Face:
        config = self._config
        image, aus = self._draw(face_number(index, config.faces.views))
        draws = uniforms(config.seed, "au-net/augmentation", index, index + 1, DRAWS)[0]
        chance = config.cycle(index // config.batch_size).augmented
        image = augment(image, draws, chance, config.augmentation)
        return _face(self._aligner, image, aus, config.input_size)

    def _draw(self, number: int) -> tuple[Image, Float[np.ndarray, " aus"]]:
        if number not in self._drawn:
            if len(self._drawn) == ROUND:
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


def _face(
    aligner: CenteredAligner, image: Image, aus: Float[np.ndarray, " aus"], input_size: int
) -> Face:
    crop = cast(Image, aligner.align(image).crop)  # the centred aligner always finds a face
    return Face(face_pixels([crop], input_size)[0], torch.from_numpy(aus))
