"""People in trainings: their embeddings, kept, and what a reader finds of them in guesses."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32
from PIL.Image import Image
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from pipelines.faceid.embedder import FaceEmbedder
from pipelines.training.data.drawing import in_another_picture
from pipelines.training.data.examples import Examples, ProceduralExamples
from pipelines.training.diffusion.config import ReaderConfig
from pipelines.training.diffusion.latents import LatentStore
from pipelines.training.diffusion.loss import Guess
from pipelines.training.diffusion.reader import (
    LatentReader,
    ReaderLearner,
    au_error,
    read_guess,
    trained_reader,
)
from pipelines.training.files import read_made_of, write_text_whole, write_whole
from pipelines.training.provenance import training_fingerprint
from samplers.identities.identity import FACEID_WIDTH
from synthgen.errors import DatasetError

Portrait = Literal["another", "expression", "same"]
"""Picture whose embedding tells the person of a drawn example: another picture of the person, in
other pose, light, clothes and expression; the example's own with another expression; or its own."""

EMBEDDINGS, MADE_OF = "faces.npy", "faces.json"

_AT_ONCE = 16


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


def labelled_people(
    store: LatentStore,
    embeddings: Float32[np.ndarray, "examples 512"],
    first: int,
    last: int,
    batch_size: int,
    seed: int,
) -> Iterator[LabelledPeople]:
    """Yield batches of steps `first` to `last`, each sample with its own person.

    Args:
        store: the latents.
        embeddings: who the examples show; zeros where no face was found.
        first: first step.
        last: step to end before.
        batch_size: examples in a batch.
        seed: seed of the order.
    """
    for latents, aus, rows in store.labelled(first, last, batch_size, seed):
        yield LabelledPeople(latents, aus, torch.from_numpy(embeddings[rows.numpy()]))


def portrait_of(examples: Examples, index: int, portrait: Portrait = "expression") -> Image:
    """Return the image whose embedding stands for the person of an example.

    Of rows of a dataset it is the row's own image, whatever is asked for.

    Args:
        examples: whom the examples show.
        index: number of the example.
        portrait: which picture of a drawn person. With another expression the embedding tells who
            is shown and not how; in another picture not in which clothes and light either.
    """
    if portrait == "same" or not isinstance(examples, ProceduralExamples):
        return examples.image(index)
    person = examples.identity(index)
    if portrait == "another":
        person = in_another_picture(person, index + 1)
    return examples.drawn(person, index + 1)


def embed_people(
    folder: Path,
    examples: Examples,
    count: int,
    embedder: FaceEmbedder,
    made_of: dict[str, Any],
    portrait: Portrait = "expression",
) -> Float32[np.ndarray, "examples 512"]:
    """Embed the people of the first examples, or read what was embedded before.

    Args:
        folder: folder of the training.
        examples: where the people come from.
        count: number of examples.
        embedder: describes them.
        made_of: what the embeddings are a function of besides the embedder, the count and the
            portrait.
        portrait: which pictures of drawn people are embedded.

    Returns:
        Embeddings; zeros where no face was found.

    Raises:
        DatasetError: if no face was found at all.
        OutputError: if a file cannot be written, or was made of something else.
    """
    made_of = {**made_of, "count": count, "embedder": embedder.fingerprint}
    if portrait != "expression":  # older files, which do not tell it, are of that
        made_of["portrait"] = portrait
    if read_made_of(folder / MADE_OF, made_of) is not None:
        return np.load(folder / EMBEDDINGS)
    parts = []
    for start in tqdm(range(0, count, _AT_ONCE), desc="faces", unit="batch"):
        rows = range(start, min(start + _AT_ONCE, count))
        one = embedder.embed([portrait_of(examples, row, portrait) for row in rows])
        parts.append(np.nan_to_num(one.embeddings, nan=0.0).astype(np.float32))
    found = np.concatenate(parts)
    if not found.any():
        raise DatasetError(f"{embedder.name} finds no face in any of the {count} examples")
    with write_whole(folder / EMBEDDINGS) as partial, partial.open("wb") as file:
        np.save(file, found)
    write_text_whole(folder / MADE_OF, json.dumps(made_of))
    return found


class ReadError(NamedTuple):
    """Distance of embeddings read from guessed latents from those asked for.

    Attributes:
        total: what is learned: the faces' error and the AUs', by their weight.
        faces: mean of 1 − cosine of the embeddings [0–2].
        aus: mean squared error of the AUs [intensity²]; None where they have no weight.
    """

    total: Tensor
    faces: Tensor
    aus: Tensor | None

    def parts(self, name: str) -> dict[str, Tensor]:
        """Return the errors by name, as curves show them."""
        found = {f"{name} faces": self.faces}
        return found if self.aus is None else {**found, f"{name} AUs": self.aus}


def read_error(
    reader: LatentReader | None,
    guess: Guess,
    faces: Float[Tensor, "B 512"],
    aus: Float[Tensor, "B aus"],
    aus_weight: float,
) -> ReadError:
    """Return the errors of what is read from a guess, weighted by the signal that was seen.

    Args:
        reader: the trained reader of embeddings and AUs.
        guess: clean latents as the model guesses them.
        faces: embeddings that were shown; a row of zeros has no error.
        aus: AUs that were asked for.
        aus_weight: what their error counts beside that of the faces; at 0 they may be NaN.
    """
    read = read_guess(reader, guess)
    found = (face_errors(read[:, :FACEID_WIDTH], faces) * guess.signal).mean()
    if not aus_weight:
        return ReadError(found, found, None)
    of_aus = au_error(read[:, FACEID_WIDTH:], aus, guess.signal)
    return ReadError(found + aus_weight * of_aus, found, of_aus)


def face_errors(read: Float[Tensor, "B 512"], faces: Float[Tensor, "B 512"]) -> Float[Tensor, " B"]:
    """Return 1 − cosine of each row [0–2]; 0 where there is no embedding but zeros."""
    return (1 - functional.cosine_similarity(read, faces)) * faces.any(1)


class PeopleReaderLearner(ReaderLearner):
    """Learns to read embeddings, and AUs where the data have them."""

    def errors(self, read: Float[Tensor, "B outputs"], batch: LabelledPeople) -> dict[str, Tensor]:
        """Return 1 − cosine of the embeddings, Huber's loss of the AUs, and their sum."""
        faces = face_errors(read[:, :FACEID_WIDTH], batch.faces).mean()
        own = read[:, FACEID_WIDTH:]
        known = torch.where(batch.aus.isnan(), own.detach(), batch.aus)
        aus = functional.smooth_l1_loss(own, known)
        return {"loss": faces + aus, "faces": faces, "aus": aus}


def people_reader(
    config: ReaderConfig,
    folder: Path,
    store: LatentStore,
    embeddings: Float32[np.ndarray, "examples 512"],
    embedder: str,
    device: torch.device,
) -> LatentReader:
    """Return a reader of embeddings, then AUs, in latents; goes on by itself, and is kept.

    Args:
        config: how it is learned.
        folder: folder of the training, which holds the embeddings too.
        store: the latents and their AUs.
        embeddings: who the examples show; zeros where no face was found.
        embedder: fingerprint of what described them.
        device: torch device.

    Raises:
        OutputError: if the folder holds a reader of another configuration.
        TrainingError: if the loss is not finite.
    """
    fingerprint = training_fingerprint(config, latents=store.made_of, embedder=embedder)
    return trained_reader(
        PeopleReaderLearner(config, store.shape, device, FACEID_WIDTH + len(store.action_units)),
        folder,
        fingerprint,
        lambda first, last: labelled_people(
            store, embeddings, first, last, config.batch_size, config.seed
        ),
    )
