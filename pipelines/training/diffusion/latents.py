"""Latents of a training's images, with captions and AUs, in batches without end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from diffusers import AutoencoderKL  # pyright: ignore[reportPrivateImportUsage]
from jaxtyping import Float, Int
from torch import Tensor
from transformers import CLIPTokenizer

from pipelines.training.data.examples import Examples, warn_of_cut_captions
from pipelines.training.data.loader import batch_places
from pipelines.training.data.order import Order
from pipelines.training.diffusion.latent_files import AUS, LATENTS, make_latents
from samplers.randomness import uniforms
from synthgen.errors import ConfigError


class LatentBatch(NamedTuple):
    """Examples as a diffusion model sees them.

    Attributes:
        latents: scaled, float32 [B, c, h, w].
        input_ids: tokens of the captions, int64 [B, L].
        aus: AU intensities [0–5], float32 [B, aus]; NaN where the data have none.
    """

    latents: Float[Tensor, "B c h w"]
    input_ids: Int[Tensor, "B L"]
    aus: Float[Tensor, "B aus"]


class LabelledLatents(NamedTuple):
    """Latents without captions.

    Attributes:
        latents: scaled, float32 [B, c, h, w].
        aus: AU intensities [0–5], float32 [B, aus]; NaN where the data have none.
        rows: which examples they are, int64 [B].
    """

    latents: Float[Tensor, "B c h w"]
    aus: Float[Tensor, "B aus"]
    rows: Int[Tensor, " B"]


class LatentStore:
    """The latents of the first `count` examples, and batches of them without end.

    Args:
        folder: folder of the store; the files are made where they are missing.
        examples: images, captions and AUs.
        count: number of examples; None: all that there are.
        vae: the VAE, in evaluation mode.
        tokenizer: tokenizer of the captions.
        made_of: what the latents are a function of; a store of anything else is refused.
        batch_size: examples in a batch.
        seed: seed of the order.
        drop_caption: chance of a caption to be left empty, for guidance.

    Raises:
        ConfigError: if there are not as many examples.
        OutputError: if the files cannot be written, or were made of something else.
        DatasetError: if an example cannot be read.

    Attributes:
        folder: folder of the store.
        made_of: what the latents are a function of.
    """

    def __init__(
        self,
        folder: Path,
        examples: Examples,
        count: int | None,
        vae: AutoencoderKL,
        tokenizer: CLIPTokenizer,
        made_of: dict[str, Any],
        *,
        batch_size: int,
        seed: int,
        drop_caption: float = 0.0,
    ) -> None:
        self.folder, self._examples = folder, examples
        self._count = _checked_count(count, examples)
        self._tokenizer, self.made_of = tokenizer, {**made_of, "count": self._count}
        self._batch_size, self._seed, self._drop = batch_size, seed, drop_caption
        self._scale = float(vae.config["scaling_factor"])
        self._order = Order(self._count, seed, "latents/order")
        warn_of_cut_captions(examples, tokenizer, self._count)
        make_latents(folder, examples, self._count, vae, self.made_of)
        self._latents = np.load(folder / LATENTS, mmap_mode="r")
        self._aus = np.load(folder / AUS)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a latent."""
        return self._latents.shape[1:]

    @property
    def count(self) -> int:
        """Number of examples."""
        return self._count

    def rows(self, step: int) -> list[int]:
        """Return the examples of a step's batch, in order."""
        places = range(step * self._batch_size, (step + 1) * self._batch_size)
        return [self._order(place)[0] for place in places]

    def batches(self, first: int, last: int) -> Iterator[LatentBatch]:
        """Yield the batches of steps `first` to `last`; each is a function of its step alone."""
        yield from map(self._batch, batch_places(self._batch_size, first, last))

    def labelled(
        self, first: int, last: int, batch_size: int, seed: int
    ) -> Iterator[LabelledLatents]:
        """Yield batches without captions, in an order of their own.

        Args:
            first: first step.
            last: step to end before.
            batch_size: examples in a batch.
            seed: seed of the order.
        """
        order = Order(self._count, seed, "latents/labelled")
        for places in batch_places(batch_size, first, last):
            rows = [order(place)[0] for place in places]
            aus = torch.from_numpy(self._aus[rows])
            yield LabelledLatents(self._scaled(rows), aus, torch.tensor(rows))

    def _scaled(self, rows: list[int]) -> Float[Tensor, "B c h w"]:
        found = torch.from_numpy(np.stack([self._latents[row] for row in rows]))
        return self._scale * found.float()

    def _batch(self, places: range) -> LatentBatch:
        told = [self._order(place) for place in places]
        rows = [row for row, _ in told]
        dropped = uniforms(self._seed, "captions/dropped", places.start, places.stop, 1)[:, 0]
        captions = [
            "" if drop < self._drop else self._examples.caption(row, epoch)
            for (row, epoch), drop in zip(told, dropped, strict=True)
        ]
        tokens = self._tokenizer(
            captions, padding="max_length", truncation=True, return_tensors="pt"
        )
        return LatentBatch(self._scaled(rows), tokens.input_ids, torch.from_numpy(self._aus[rows]))


def _checked_count(count: int | None, examples: Examples) -> int:
    there = examples.count
    if there is None:
        if count is None:
            raise ConfigError("examples is null; drawn portraits have no end: it must be a number")
        return count
    if count is not None and count > there:
        raise ConfigError(f"examples is {count}; the dataset has {there} rows: null takes them all")
    return there if count is None else count
