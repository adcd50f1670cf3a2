"""Drawn faces that the AU network learns from and is measured on.

Sample i is a function of (configuration, i): the same in every process, run and order. Training
takes identity seeds from 0 on; held-out ones start where no training run comes.

Shapes: sided, AUs whose sides are told apart.
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from pipelines.libreface.alignment import CenteredAligner
from pipelines.libreface.network import face_pixels, resized_side
from pipelines.procedural import Identity, render
from pipelines.training.au_network.augmentation import DRAWS, augment
from pipelines.training.au_network.learner import AUNetworkConfig, FacesConfig
from pipelines.training.data.config import ExpressionShare
from pipelines.training.data.drawing import (
    RoundCache,
    draw_aus,
    draw_person,
    draw_sides,
    expression_of_sides,
    face_number,
)
from pipelines.training.data.examples import HELD_OUT
from pipelines.training.diffusion.decoded import VAEPictures
from samplers.randomness import uniforms
from synthgen.config.priors import IntensityRange


class Face(NamedTuple):
    """A face to learn from.

    Attributes:
        pixels: normalised input of the network, float32 [3, side, side].
        aus: AU intensities [0–5], float32 [aus]; where the sides differ, their mean.
        sides: those of the person's left and right side, float32 [2, sided].
    """

    pixels: Tensor
    aus: Tensor
    sides: Tensor


class Labels(NamedTuple):
    """Labels of a face, as `Face` has them."""

    aus: Float[np.ndarray, " aus"]
    sides: Float[np.ndarray, "2 sided"]


class DrawnFace(NamedTuple):
    """A face as it is drawn, and what it shows."""

    picture: Image.Image
    labels: Labels


class TrainingFaces(Dataset[Face]):
    """The faces of a training run, augmented, from index 0 on."""

    def __init__(self, config: AUNetworkConfig) -> None:
        self._config = config
        self._aligner = CenteredAligner(resized_side(config.input_size))
        self._decoding = decoding_of(config, "train")
        self._faces = RoundCache(self._draw)

    def __len__(self) -> int:
        return self._config.steps * self._config.batch_size

    def __getitem__(self, index: int) -> Face:
        config = self._config
        picture, labels = self._faces[face_number(index, config.faces.views)]
        draws = uniforms(config.seed, "au-net/augmentation", index, index + 1, DRAWS)[0]
        chance = config.cycle(index // config.batch_size).augmented
        picture = augment(picture, draws, chance, config.augmentation)
        return _face(self._aligner, picture, labels, config.input_size)

    def _draw(self, number: int) -> DrawnFace:
        faces, seed = self._config.faces, self._config.seed
        person = draw_person(faces, seed, "au-net/train", number, number)
        drawn = draw_face(
            faces, seed, "au-net/train", number, faces.expressions, faces.intensity, person
        )
        if self._decoding is None:
            return drawn
        return drawn._replace(picture=self._decoding.shared(drawn.picture, number))


class HeldOutFaces(Dataset[Face]):
    """Faces of identities that are never learned, without augmentation.

    Args:
        config: the training run.
        count: number of faces, counted from the same first one.
        decoded: whether the VAE of the run decodes each of them.
    """

    def __init__(self, config: AUNetworkConfig, count: int, decoded: bool = False) -> None:
        self._config = config
        self._count = count
        self._aligner = CenteredAligner(resized_side(config.input_size))
        self._decoding = decoding_of(config, "held-out") if decoded else None

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Face:
        config, asked = self._config, self._config.evaluation
        kinds = (ExpressionShare(share=1.0, rate=asked.rate),)
        picture, labels = draw_face(
            config.faces,
            config.seed,
            "au-net/held-out",
            index,
            kinds,
            asked.intensity,
            self.person(index),
        )
        if self._decoding is not None:
            picture = self._decoding.decoded(picture, index)
        return _face(self._aligner, picture, labels, config.input_size)

    def person(self, index: int) -> Identity:
        """Return whom a face shows."""
        config = self._config
        return draw_person(config.faces, config.seed, "au-net/held-out", index, HELD_OUT + index)


def decoding_of(config: AUNetworkConfig, use: str) -> VAEPictures | None:
    """Return what decodes faces of one use, `train` or `held-out`; None where nothing does."""
    if config.decoded is None:
        return None
    return VAEPictures(config.decoded, config.seed, f"au-net/{use}", config.dtype)


def draw_face(
    faces: FacesConfig,
    seed: int,
    stage: str,
    number: int,
    kinds: Sequence[ExpressionShare],
    intensity: IntensityRange,
    person: Identity,
) -> DrawnFace:
    """Draw one face.

    Args:
        faces: AUs, size, and how often sides differ.
        seed: seed of the run.
        stage: name of the purpose: what the numbers count.
        number: number of the face.
        kinds: kinds of expressions; one is chosen by its share.
        intensity: range of the intensity of an active AU.
        person: whom it shows.
    """
    action_units = faces.action_units
    aus = draw_aus(seed, stage, number, kinds, intensity, action_units)
    if not faces.sided:
        picture = render(person, aus.tolist(), size=faces.size)
        return DrawnFace(picture, Labels(aus, np.zeros((2, 0), np.float32)))
    places = [action_units.index(name) for name in faces.sided]
    sides = draw_sides(seed, stage, number, aus, faces.one_sided)
    picture = render(person, expression_of_sides(sides), size=faces.size)
    return DrawnFace(picture, Labels(sides.mean(axis=0), sides[:, places]))


def _face(aligner: CenteredAligner, picture: Image.Image, labels: Labels, input_size: int) -> Face:
    crop = cast(Image.Image, aligner.align(picture).crop)  # the centred aligner always finds a face
    pixels = face_pixels([crop], input_size)[0]
    return Face(pixels, torch.from_numpy(labels.aus), torch.from_numpy(labels.sides))
