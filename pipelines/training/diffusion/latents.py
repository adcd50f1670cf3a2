"""Latents of a training's pictures: encoded once, kept in files.

A VAE that does not change gives the same latents each time, so they are made before the first
step, in three files: latents, AUs, and what they were made of. What was begun goes on.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from diffusers import AutoencoderKL  # pyright: ignore[reportPrivateImportUsage]
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm
from transformers import CLIPTokenizer

from pipelines.training.data.augmentation import to_pixels
from pipelines.training.data.config import WORDS
from pipelines.training.data.examples import Examples, warn_of_cut_captions
from pipelines.training.data.loader import Order, batch_places
from pipelines.training.diffusion.config import DiffusionSettings
from pipelines.training.files import read_made_of, write_text_whole, writing
from pipelines.training.settings import computes_bfloat16
from samplers.randomness import uniforms
from synthgen.action_units import ActionUnitSet
from synthgen.errors import ConfigError, WeightsError

LATENTS, AUS, MADE_OF = "latents.npy", "aus.npy", "latents.json"

_AT_ONCE = 16
"""Rows that are made together."""

_NOTED_AFTER = 64 * _AT_ONCE


def make_latents(
    folder: Path, examples: Examples, count: int, vae: AutoencoderKL, made_of: dict[str, Any]
) -> None:
    """Make the latents and AUs of the first examples, or what is missing of them.

    Args:
        folder: folder of the files; made if missing.
        examples: images and AUs.
        count: number of examples.
        vae: the VAE, in evaluation mode.
        made_of: what the files are a function of; files of anything else are refused.

    Raises:
        OutputError: if the files cannot be written, or were made of something else.
        DatasetError: if an example cannot be read.
        WeightsError: if the VAE gives latents that are not finite.
    """

    def made(rows: range) -> dict[str, np.ndarray]:
        aus = np.stack([examples.aus(row) for row in rows]).astype(np.float32)
        return {LATENTS: _encode(vae, examples, rows), AUS: aus}

    keep_arrays(folder, count, made, made_of, _NOTED_AFTER)


def keep_arrays(
    folder: Path,
    count: int,
    make: Callable[[range], Mapping[str, np.ndarray]],
    made_of: dict[str, Any],
    noted_after: int,
) -> None:
    """Make arrays of many rows, or what is missing of them, in files that are mapped.

    Args:
        folder: folder of the files; made if missing.
        count: number of rows.
        make: rows → name of a file → its rows.
        made_of: what the files are a function of; files of anything else are refused.
        noted_after: rows after which it is noted how far they are, a multiple of 16.

    Raises:
        OutputError: if the files cannot be written, or were made of something else.
    """
    note = read_made_of(folder / MADE_OF, made_of)
    done = 0 if note is None else int(note["done"])
    if done == count:
        return
    first = make(range(1))
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    files = {
        name: _open(folder / name, rows.dtype, (count, *rows.shape[1:]), done > 0)
        for name, rows in first.items()
    }
    for start in tqdm(range(done, count, _AT_ONCE), desc="latents", unit="batch"):
        rows = range(start, min(start + _AT_ONCE, count))
        for name, found in make(rows).items():
            files[name][rows.start : rows.stop] = found
        if rows.stop % noted_after == 0 or rows.stop == count:
            for file in files.values():
                file.flush()
            text = json.dumps({"made_of": made_of, "done": rows.stop})
            write_text_whole(folder / MADE_OF, text)


def _open(path: Path, dtype: Any, shape: tuple[int, ...], begun: bool) -> np.memmap:
    if begun:
        return np.lib.format.open_memmap(path, "r+")
    with writing(path):
        try:
            made = np.lib.format.open_memmap(path, "w+", dtype, shape)
            if hasattr(
                os, "posix_fallocate"
            ):  # a mapped file that finds no space kills the process
                with path.open("r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError:
            path.unlink(missing_ok=True)
            raise
    return made


@torch.inference_mode()
def _encode(vae: AutoencoderKL, examples: Examples, rows: range) -> Float[np.ndarray, "B c h w"]:
    pixels = torch.stack([to_pixels(examples.image(row)) for row in rows])
    device = vae.device
    with torch.autocast(device.type, torch.bfloat16, enabled=computes_bfloat16(device)):
        posterior = vae.encode(pixels.to(device)).latent_dist  # pyright: ignore
    found = posterior.mode().float().cpu().numpy()
    if not np.isfinite(found).all():
        raise WeightsError(f"the VAE gives latents that are not finite for examples {rows}")
    return found.astype(np.float16)


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
        if drop_caption < 1:
            warn_of_cut_captions(examples, tokenizer, self._count)
        make_latents(folder, examples, self._count, vae, self.made_of)
        self._latents = np.load(folder / LATENTS, mmap_mode="r")
        self._aus = np.load(folder / AUS)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a latent."""
        return self._latents.shape[1:]

    @property
    def action_units(self) -> ActionUnitSet:
        """The AUs of a vector."""
        return self._examples.action_units

    @property
    def count(self) -> int:
        """Number of examples."""
        return self._count

    @property
    def aus(self) -> Float[np.ndarray, "count aus"]:
        """AU intensities of the examples [0–5]; NaN where the data have none."""
        return self._aus

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

    def captions(self, step: int) -> list[str]:
        """Return the captions of a step's batch, in order; empty where they are dropped."""
        return self._captions(range(step * self._batch_size, (step + 1) * self._batch_size))

    def _captions(self, places: range) -> list[str]:
        return self._told([self._order(place) for place in places], places)

    def _told(self, chosen: Sequence[tuple[int, int]], places: range) -> list[str]:
        dropped = uniforms(self._seed, "captions/dropped", places.start, places.stop, 1)[:, 0]
        return [
            "" if drop < self._drop else self._examples.caption(*each)
            for each, drop in zip(chosen, dropped, strict=True)
        ]

    def _batch(self, places: range) -> LatentBatch:
        return self.chosen([self._order(place) for place in places], places)

    def chosen(self, examples: Sequence[tuple[int, int]], places: range) -> LatentBatch:
        """Return a batch of examples.

        Args:
            examples: row and telling of each.
            places: their places in the training, which decide whose captions are left empty.
        """
        rows = [row for row, _ in examples]
        tokens = self._tokenizer(
            self._told(examples, places),
            padding="max_length",
            truncation=True,
            return_tensors="pt",
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


def open_latents(
    config: DiffusionSettings,
    folder: Path,
    examples: Examples,
    vae: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    encoder_sha256: str,
) -> LatentStore:
    """Open the latents of a training; trainings on the same images may share a folder.

    Args:
        config: the training run.
        folder: its folder, which holds the latents unless `config.latents` names another.
        examples: images, captions and AUs.
        vae: the VAE, in evaluation mode.
        tokenizer: tokenizer of the captions.
        encoder_sha256: checksum of the VAE's encoder.

    Raises:
        ConfigError: if there are not as many examples.
        OutputError: if the files cannot be written, or were made of something else.
        DatasetError: if an example cannot be read.
    """
    return LatentStore(
        Path(config.latents) if config.latents else folder / "latents",
        examples,
        config.examples,
        vae,
        tokenizer,
        {"vae_encoder": encoder_sha256, **images_made_of(config, examples)},
        batch_size=config.batch_size,
        seed=config.seed,
        drop_caption=config.drop_caption,
    )


def images_made_of(config: DiffusionSettings, examples: Examples) -> dict[str, Any]:
    """Return what a training's images are a function of, whatever their captions say."""
    return {
        "data": config.data.model_dump(mode="json", exclude=WORDS),
        "seed": config.seed,
        **examples.fingerprint,
    }
