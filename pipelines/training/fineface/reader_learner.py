"""The reader of AUs in latents, learned once and kept beside the latents."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pipelines.training.diffusion.latents import LabelledLatents, LatentStore
from pipelines.training.diffusion.reader import LatentReader
from pipelines.training.diffusion.reader_config import ReaderConfig
from pipelines.training.diffusion.reader_learner import ReaderLearner, trained_reader
from pipelines.training.loop.sameness import what_counts
from synthgen.action_units import AU_COUNT


class AUReaderLearner(ReaderLearner):
    """Learns to read AUs.

    Args:
        config: how.
        shape: channels, height and width of a latent.
        device: torch device.
    """

    def __init__(
        self, config: ReaderConfig, shape: tuple[int, int, int], device: torch.device
    ) -> None:
        super().__init__(config, shape, AU_COUNT, device)

    def errors(self, read: Float[Tensor, "B aus"], batch: LabelledLatents) -> dict[str, Tensor]:
        """Return Huber's loss of what was read."""
        return {"loss": functional.smooth_l1_loss(read, batch.aus)}


def au_reader(config: ReaderConfig, store: LatentStore, device: torch.device) -> LatentReader:
    """Return a reader of the AUs in a store's latents; goes on by itself, and is kept there.

    Args:
        config: how it is learned.
        store: the latents and their AUs.
        device: torch device.

    Raises:
        OutputError: if the store holds a reader of another configuration.
        TrainingError: if the loss is not finite.
    """
    return trained_reader(
        AUReaderLearner(config, store.shape, device),
        Path(store.folder),
        what_counts(config, latents=store.made_of),
        lambda first, last: store.labelled(first, last, config.batch_size, config.seed),
    )
