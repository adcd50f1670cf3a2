"""The people of a training's examples, each described by an embedding."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from PIL.Image import Image
from torch import Tensor
from tqdm import tqdm

from pipelines.faceid.embedder import FaceEmbedder
from pipelines.procedural import render
from pipelines.training.data.examples import Examples
from pipelines.training.data.procedural_examples import ProceduralExamples
from pipelines.training.diffusion.latents import LatentStore
from pipelines.training.diffusion.reader_config import ReaderConfig
from pipelines.training.loop.whole_files import write_text_whole, write_whole
from synthgen.errors import DatasetError, OutputError

EMBEDDINGS, MADE_OF = "faces.npy", "faces.json"

_AT_ONCE = 16


class PeopleBatch(NamedTuple):
    """Examples as a diffusion model with a face branch sees them.

    Attributes:
        latents: scaled, float32 [B, c, h, w].
        input_ids: tokens of the captions, int64 [B, L].
        aus: AU intensities [0–5], float32 [B, aus]; NaN where the data have none.
        faces: L2-normalised embeddings, float32 [B, 512]; zeros where no face was found.
    """

    latents: Float[Tensor, "B c h w"]
    input_ids: Int[Tensor, "B L"]
    aus: Float[Tensor, "B aus"]
    faces: Float[Tensor, "B 512"]


class LabelledPeople(NamedTuple):
    """Examples as what reads latents sees them.

    Attributes:
        latents: scaled, float32 [B, c, h, w].
        aus: AU intensities [0–5], float32 [B, aus]; NaN where the data have none.
        faces: L2-normalised embeddings, float32 [B, 512]; zeros where no face was found.
    """

    latents: Float[Tensor, "B c h w"]
    aus: Float[Tensor, "B aus"]
    faces: Float[Tensor, "B 512"]


def people_batches(
    store: LatentStore, embeddings: Float32[np.ndarray, "examples 512"], first: int, last: int
) -> Iterator[PeopleBatch]:
    """Yield the batches of steps `first` to `last`, each sample with its own person."""
    for step, batch in zip(range(first, last), store.batches(first, last), strict=True):
        yield PeopleBatch(*batch, torch.from_numpy(embeddings[store.rows(step)]))


def labelled_people(
    store: LatentStore,
    embeddings: Float32[np.ndarray, "examples 512"],
    config: ReaderConfig,
    first: int,
    last: int,
) -> Iterator[LabelledPeople]:
    """Yield a reader's batches of steps `first` to `last`, each sample with its own person."""
    for latents, aus, rows in store.labelled(first, last, config.batch_size, config.seed):
        yield LabelledPeople(latents, aus, torch.from_numpy(embeddings[rows.numpy()]))


def portrait_of(examples: Examples, index: int) -> Image:
    """Return the image whose embedding stands for the person of an example.

    Of drawn people it is another portrait with another expression, so that the embedding tells who
    is shown and not how; of rows of a dataset it is the row's own image.
    """
    if not isinstance(examples, ProceduralExamples):
        return examples.image(index)
    side = examples.image(index).width
    return render(examples.identity(index), examples.aus(index + 1).tolist(), size=side)


def embed_people(
    folder: Path, examples: Examples, count: int, embedder: FaceEmbedder, made_of: dict[str, Any]
) -> Float32[np.ndarray, "examples 512"]:
    """Embed the people of the first examples, or read what was embedded before.

    Args:
        folder: folder of the training.
        examples: where the people come from.
        count: number of examples.
        embedder: describes them.
        made_of: what the embeddings are a function of besides the embedder and the count.

    Returns:
        Embeddings; zeros where no face was found.

    Raises:
        DatasetError: if no face was found at all.
        OutputError: if a file cannot be written, or was made of something else.
    """
    made_of = {**made_of, "count": count, "embedder": embedder.fingerprint}
    if _is_made(folder, made_of):
        return np.load(folder / EMBEDDINGS)
    found = np.concatenate(list(_embedded(examples, count, embedder)))
    if not found.any():
        raise DatasetError(f"{embedder.name} finds no face in any of the {count} examples")
    with write_whole(folder / EMBEDDINGS) as partial, partial.open("wb") as file:
        np.save(file, found)
    write_text_whole(folder / MADE_OF, json.dumps(made_of))
    return found


def _embedded(
    examples: Examples, count: int, embedder: FaceEmbedder
) -> Iterator[Float32[np.ndarray, "rows 512"]]:
    for start in tqdm(range(0, count, _AT_ONCE), desc="faces", unit="batch"):
        rows = range(start, min(start + _AT_ONCE, count))
        found = embedder.embed([portrait_of(examples, row) for row in rows])
        yield np.nan_to_num(found.embeddings, nan=0.0).astype(np.float32)


def _is_made(folder: Path, made_of: dict[str, Any]) -> bool:
    path = folder / MADE_OF
    if not path.exists():
        return False
    found = json.loads(path.read_text(encoding="utf-8"))
    if found != made_of:
        raise OutputError(
            f"{path} was made of {found}, now it is {made_of}; train into another folder"
        )
    return True
