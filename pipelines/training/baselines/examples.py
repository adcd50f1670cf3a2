"""Examples of the baselines: captions with AUs in words, faces that show an AU, class images."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from diffusers import StableDiffusionPipeline  # pyright: ignore[reportPrivateImportUsage]
from jaxtyping import Float, Int
from PIL.Image import Image
from torch import Tensor

from pipelines.baselines.words import by_name, told
from pipelines.training.baselines.config import PriorSettings
from pipelines.training.data.examples import Examples
from pipelines.training.data.loader import Order, batch_places
from pipelines.training.diffusion.base import FrozenBase, sheet_pipeline
from pipelines.training.diffusion.latents import (
    LATENTS,
    LatentBatch,
    LatentStore,
    keep_arrays,
)
from samplers.randomness import derive_seed
from synthgen.action_units import ActionUnitSet
from synthgen.errors import DatasetError

_PRIOR_NOTED_AFTER = 16


@dataclass(frozen=True, slots=True)
class ToldExamples:
    """Examples whose captions also tell the AUs that they show.

    Attributes:
        plain: the examples.
    """

    plain: Examples

    @property
    def action_units(self) -> ActionUnitSet:
        """The AUs of a vector."""
        return self.plain.action_units

    @property
    def count(self) -> int | None:
        """Number of examples; None: without end."""
        return self.plain.count

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Return all that the examples are a function of."""
        return self.plain.fingerprint

    def image(self, index: int) -> Image:
        """Return the image of an example."""
        return self.plain.image(index)

    def aus(self, index: int) -> Float[np.ndarray, " aus"]:
        """Return the AU intensities of an example [0–5]."""
        return self.plain.aus(index)

    def caption(self, index: int, telling: int = 0) -> str:
        """Return the caption of an example, and its AUs in words."""
        names = self.action_units.names
        aus = by_name(names, self.plain.aus(index).tolist())
        return told(self.plain.caption(index, telling), aus)


class ShownExamples:
    """Batches for the LoRA of each AU in turn, of examples that show the AU.

    Args:
        store: the latents.
        shown_from: intensity from which an example shows an AU.
        batch_size: examples in a batch.
        seed: seed of the order.

    Raises:
        DatasetError: if no example shows one of the AUs.
    """

    def __init__(self, store: LatentStore, shown_from: float, batch_size: int, seed: int) -> None:
        self._store, self._batch_size = store, batch_size
        self._rows: list[Int[np.ndarray, " n"]] = []
        self._orders: list[Order] = []
        for place, name in enumerate(store.action_units.names):
            rows = np.flatnonzero(store.aus[:, place] >= shown_from)
            if not len(rows):
                raise DatasetError(
                    f"none of the {store.count:,} examples shows {name} at {shown_from:g} or more, "
                    "and its LoRA would learn nothing; take more examples, or a lower shown_from"
                )
            self._rows.append(rows)
            self._orders.append(Order(len(rows), seed, f"latents/order/{name}"))

    def batches(self, first: int, last: int) -> Iterator[LatentBatch]:
        """Yield the batches of steps `first` to `last`; each is a function of its step alone."""
        size, count = self._batch_size, len(self._rows)
        for step in range(first, last):
            turn, au = divmod(step, count)
            order, rows = self._orders[au], self._rows[au]
            found = [order(place) for place in range(turn * size, (turn + 1) * size)]
            chosen = [(int(rows[place]), epoch) for place, epoch in found]
            yield self._store.chosen(chosen, range(step * size, (step + 1) * size))


class ClassBatch(NamedTuple):
    """Images of the unedited base.

    Attributes:
        latents: scaled, float32 [B, c, h, w].
        input_ids: tokens of their prompts, int64 [B, L].
    """

    latents: Float[Tensor, "B c h w"]
    input_ids: Int[Tensor, "B L"]


class ClassImages:
    """Latents of images that the unedited base paints of prompts of the class, made once.

    What was begun goes on; image i is painted from noise i.

    Args:
        folder: folder of the files; made if missing.
        settings: prompts and sampler.
        base: the unedited base.
        seed: seed of noise and order.
        batch_size: images in a batch.
        device: torch device.

    Raises:
        OutputError: if the files cannot be written, or were made of something else.
    """

    def __init__(
        self,
        folder: Path,
        settings: PriorSettings,
        base: FrozenBase,
        seed: int,
        batch_size: int,
        device: torch.device,
    ) -> None:
        self._settings, self._seed, self._batch_size = settings, seed, batch_size
        self._order = Order(settings.images, seed, "prior/order")
        self._pipeline: Any = None
        made_of = {
            "base": base.checksums(),
            "seed": seed,
            "prior": settings.model_dump(mode="json", exclude={"weight"}),
        }

        def make(rows: range) -> dict[str, np.ndarray]:
            if self._pipeline is None:
                pipeline = sheet_pipeline(StableDiffusionPipeline, base.folder, torch.float32)
                self._pipeline = pipeline.to(device)
            return {LATENTS: self._painted(rows)}

        keep_arrays(folder, settings.images, make, made_of, _PRIOR_NOTED_AFTER)
        self._pipeline = None  # its memory is the training's
        self._latents = np.load(folder / LATENTS, mmap_mode="r")
        tokens = base.tokenizer(
            list(settings.prompts), padding="max_length", truncation=True, return_tensors="pt"
        )
        self._input_ids = tokens.input_ids

    def batches(self, first: int, last: int) -> Iterator[ClassBatch]:
        """Yield the batches of steps `first` to `last`; each is a function of its step alone."""
        for places in batch_places(self._batch_size, first, last):
            rows = [self._order(place)[0] for place in places]
            latents = torch.from_numpy(np.stack([self._latents[row] for row in rows])).float()
            kinds = [row % len(self._settings.prompts) for row in rows]
            yield ClassBatch(latents, self._input_ids[kinds])

    def _painted(self, rows: range) -> np.ndarray:
        settings = self._settings
        seeds = [derive_seed(self._seed, "prior/noise", row) for row in rows]
        found = self._pipeline(
            [settings.prompts[row % len(settings.prompts)] for row in rows],
            num_inference_steps=settings.num_inference_steps,
            guidance_scale=settings.guidance_scale,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type="latent",  # scaled, as those of the data are when they are learned
        )
        return found.images.float().cpu().numpy().astype(np.float16)
