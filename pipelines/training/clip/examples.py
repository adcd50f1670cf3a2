"""What the CLIP pair learns from: images with captions, as the encoders take them."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import Dataset
from transformers import CLIPTokenizer
from transformers.utils.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from pipelines.training.clip.config import CLIPConfig
from pipelines.training.data.examples import examples_of
from pipelines.training.data.order import Order
from pipelines.training.data.pixels import to_pixels
from pipelines.training.data.views import ROUND, face_number

_MEAN = torch.tensor(OPENAI_CLIP_MEAN).view(3, 1, 1)
_STD = torch.tensor(OPENAI_CLIP_STD).view(3, 1, 1)


class ClipBatch(NamedTuple):
    """Images and what they show; without the batch axis, one of them.

    Attributes:
        pixels: normalised as CLIP does, float32.
        input_ids: tokens of the captions, int64.
    """

    pixels: Float[Tensor, "*B 3 h w"]
    input_ids: Int[Tensor, "*B L"]


class ClipExamples(Dataset[ClipBatch]):
    """Examples by their place in the training; each image comes `views` times, newly told.

    Args:
        config: the training run.
        tokenizer: tokenizer of the captions.
        held_out: those that are not learned from, in their own order.
    """

    def __init__(
        self, config: CLIPConfig, tokenizer: CLIPTokenizer, held_out: bool = False
    ) -> None:
        self._views = 1 if held_out else config.views
        self._tokenizer = tokenizer
        self._examples = examples_of(config.data, config.seed, held_out)
        count = None if held_out else self._examples.count
        self._order = Order(count, config.seed, "clip/order")
        self._drawn: dict[int, Image] = {}

    def __getitem__(self, place: int) -> ClipBatch:
        row, epoch = self._order(face_number(place, self._views))
        telling = epoch * self._views + place // ROUND % self._views
        tokens = self._tokenizer(
            self._examples.caption(row, telling),
            padding="max_length",
            truncation=True,
            return_tensors="pt",
        )
        return ClipBatch(normalised(self._image(row)), tokens.input_ids[0])

    def _image(self, row: int) -> Image:
        """Keep the images of a round: they come again in the next view."""
        if row not in self._drawn:
            if len(self._drawn) == ROUND:
                self._drawn.clear()
            self._drawn[row] = self._examples.image(row)
        return self._drawn[row]


def normalised(image: Image) -> Float[Tensor, "3 h w"]:
    """Return an RGB image as CLIP's image encoder takes it."""
    return (0.5 * to_pixels(image) + 0.5 - _MEAN) / _STD
