"""What the VAE learns from: images, or squares cut out of them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from pipelines.training.examples import examples_of
from pipelines.training.optimization import cycle_at
from pipelines.training.order import Order
from pipelines.training.pixels import to_pixels
from pipelines.training.vae_config import VAEConfig
from samplers.randomness import uniforms


class Place(NamedTuple):
    """An image of a training.

    Attributes:
        step: step that learns from it.
        number: images that were learned from before.
    """

    step: int
    number: int


class VAEImages(Dataset[Tensor]):
    """Images by their places, or the squares that the cycle cuts out of one."""

    def __init__(self, config: VAEConfig) -> None:
        self._config = config
        self._examples = examples_of(config.data, config.seed)
        self._order = Order(self._examples.count, config.seed, "vae/order")

    def __getitem__(self, place: Place) -> Float[Tensor, "n 3 side side"]:
        row, _ = self._order(place.number)
        pixels = to_pixels(self._examples.image(row))
        cycle = cycle_at(self._config.cycles, place.step)
        if cycle.crop is None:
            return pixels[None]
        draws = uniforms(
            self._config.seed, "vae/crops", place.number, place.number + 1, 4 * cycle.crops
        )[0]
        return torch.stack([_cut(pixels, cycle.crop, four) for four in draws.reshape(-1, 4)])


def places(config: VAEConfig, first: int, last: int) -> Iterator[list[Place]]:
    """Yield the places of each batch of steps `first` to `last`."""
    number = 0
    for step in range(last):
        cycle = cycle_at(config.cycles, step)
        images = config.batch_size // (cycle.crops if cycle.crop else 1)
        if step >= first:
            yield [Place(step, number + i) for i in range(images)]
        number += images


def _cut(
    pixels: Float[Tensor, "3 h w"], side: int, draws: Float[np.ndarray, " 4"]
) -> Float[Tensor, "3 side side"]:
    """Cut a square; the mean of two draws for each axis prefers the middle."""
    room = pixels.shape[-1] - side
    x, y = (int((room + 1) * 0.5 * (a + b)) for a, b in (draws[:2], draws[2:]))
    return pixels[:, y : y + side, x : x + side]
