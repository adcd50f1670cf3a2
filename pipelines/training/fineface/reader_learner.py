"""The reader of AUs in latents, learned once and kept beside the latents."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from pipelines.training.diffusion.latents import LabelledLatents, LatentStore
from pipelines.training.fineface.reader import LatentReader
from pipelines.training.fineface.reader_config import ReaderConfig
from pipelines.training.loop.learner import Learner
from pipelines.training.loop.sameness import what_counts
from pipelines.training.loop.session import Session, training_folder

FOLDER = "reader"


class ReaderLearner(Learner):
    """Learns a `LatentReader`.

    Args:
        config: how.
        shape: channels, height and width of a latent.
        device: torch device.
    """

    def __init__(
        self, config: ReaderConfig, shape: tuple[int, int, int], device: torch.device
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            reader = LatentReader(shape, config.channels)
        super().__init__(config, config.cycles, reader, device)
        self._noise = config.noise

    def losses(self, batch: LabelledLatents) -> dict[str, Tensor]:
        """Return Huber's loss of a batch, whose latents get noise."""
        latents, aus = batch
        strength = self._noise * torch.rand(len(latents), 1, 1, 1)
        noise = (strength * torch.randn(latents.shape)).to(self.device)
        with self.autocast():
            read = self.network(latents + noise)
        return {"loss": functional.smooth_l1_loss(read.float(), aus)}


def trained_reader(config: ReaderConfig, store: LatentStore, device: torch.device) -> LatentReader:
    """Return a reader of the AUs in a store's latents; goes on by itself, and is kept there.

    Args:
        config: how it is learned.
        store: the latents and their AUs.
        device: torch device.

    Raises:
        OutputError: if the store holds a reader of another configuration.
        TrainingError: if the loss is not finite.
    """
    learner = ReaderLearner(config, store.shape, device)
    session = Session(
        "reader",
        learner,
        training_folder(Path(store.folder) / FOLDER),
        what_counts(config, latents=store.made_of),
        lambda first, last: store.labelled(first, last, config.batch_size, config.seed),
    )
    session.resume()
    session.train()
    return learner.average
