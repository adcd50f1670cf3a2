"""The reader of people in latents, learned once and kept in the training's folder."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn import functional

from pipelines.training.diffusion.latents import LatentStore
from pipelines.training.diffusion.reader import LatentReader
from pipelines.training.diffusion.reader_config import ReaderConfig
from pipelines.training.diffusion.reader_learner import ReaderLearner, trained_reader
from pipelines.training.faceid.people import LabelledPeople, labelled_people
from pipelines.training.faceid.reading import face_errors
from pipelines.training.loop.sameness import what_counts
from samplers.identities.identity import FACEID_WIDTH
from synthgen.action_units import AU_COUNT


class PeopleReaderLearner(ReaderLearner):
    """Learns to read embeddings, and AUs where the data have them.

    Args:
        config: how.
        shape: channels, height and width of a latent.
        device: torch device.
    """

    def __init__(
        self, config: ReaderConfig, shape: tuple[int, int, int], device: torch.device
    ) -> None:
        super().__init__(config, shape, FACEID_WIDTH + AU_COUNT, device)

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
    counts = what_counts(config, latents=store.made_of, embedder=embedder)
    return trained_reader(
        PeopleReaderLearner(config, store.shape, device),
        folder,
        counts,
        lambda first, last: labelled_people(store, embeddings, config, first, last),
    )
