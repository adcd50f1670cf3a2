"""Drawn people in many pictures: what belongs to the person stays, the rest is drawn anew."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int, UInt8
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import Dataset

from pipelines.procedural import random_identity, render
from pipelines.training.data.expressions import draw_aus
from pipelines.training.data.pictures import in_another_picture
from pipelines.training.face_embedder.config import FaceEmbedderConfig, PeopleConfig
from samplers.randomness import uniforms

SIDE = 128
"""Side of a picture [pixels]."""

FIRST_HELD_OUT = 2**62
"""Identity seed of the first person whom no training sees."""

_LARGEST_SEED = 2.0**53


class Pictures(NamedTuple):
    """Pictures to learn from; without the batch axis, one of them.

    Attributes:
        pixels: RGB [0–255].
        people: number of the person shown.
    """

    pixels: UInt8[Tensor, "*B 3 128 128"]
    people: Int[Tensor, "*B"]


class TrainingPictures(Dataset[Pictures]):
    """The pictures of a training, from index 0 on: each of a person drawn at random."""

    def __init__(self, config: FaceEmbedderConfig) -> None:
        self._config = config

    def __getitem__(self, index: int) -> Pictures:
        people, seed = self._config.people, self._config.seed
        draw = uniforms(seed, "face-embedder/person", index, index + 1, 1)[0, 0]
        person = int(draw * people.count)
        image = draw_picture(people, seed, "train", people.first + person, index)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
        return Pictures(pixels, torch.tensor(person))


def held_out_pictures(config: FaceEmbedderConfig) -> list[list[Image]]:
    """Draw the pictures of each person whom no training sees."""
    asked = config.evaluation
    return [
        [
            draw_picture(
                config.people,
                config.seed,
                "held-out",
                FIRST_HELD_OUT + person,
                person * asked.pictures + number,
            )
            for number in range(asked.pictures)
        ]
        for person in range(asked.people)
    ]


def draw_picture(people: PeopleConfig, seed: int, use: str, person: int, number: int) -> Image:
    """Draw one picture of a person.

    Args:
        people: kinds of expressions and their intensity.
        seed: seed of the run.
        use: `train` or `held-out`: what the numbers of pictures count.
        person: identity seed of the person.
        number: number of the picture, of its own light, pose, clothes and expression.
    """
    stage = f"face-embedder/{use}"
    draw = uniforms(seed, f"{stage}/picture", number, number + 1, 1)[0, 0]
    identity = in_another_picture(random_identity(person), int(draw * _LARGEST_SEED))
    aus = draw_aus(seed, stage, number, people.expressions, people.intensity)
    return render(identity, aus.tolist(), size=SIDE)
