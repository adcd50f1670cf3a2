"""A reader of latents, learned once and kept in a folder."""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.training.diffusion.reader import LatentReader
from pipelines.training.diffusion.reader_config import ReaderConfig
from pipelines.training.loop.learner import Learner
from pipelines.training.loop.session import Session, training_folder

FOLDER = "reader"


class ReaderLearner(Learner):
    """Learns a `LatentReader`; a child says what is read.

    Args:
        config: how.
        shape: channels, height and width of a latent.
        outputs: how many numbers are read.
        device: torch device.
    """

    def __init__(
        self, config: ReaderConfig, shape: tuple[int, int, int], outputs: int, device: torch.device
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            reader = LatentReader(shape, config.channels, outputs)
        super().__init__(config, config.cycles, reader, device)
        self._noise = config.noise

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Return the losses of a batch, whose `latents` get noise."""
        strength = self._noise * torch.rand(len(batch.latents), 1, 1, 1)
        noise = (strength * torch.randn(batch.latents.shape)).to(self.device)
        with self.autocast():
            read = self.network(batch.latents + noise)
        return self.errors(read.float(), batch)

    @abstractmethod
    def errors(self, read: Float[Tensor, "B outputs"], batch: Any) -> dict[str, Tensor]:
        """Return the errors of what was read: `loss`, which is learned, and its parts."""


def trained_reader(
    learner: ReaderLearner,
    folder: Path,
    counts: dict[str, Any],
    batches: Callable[[int, int], Iterable[Any]],
) -> LatentReader:
    """Return what a learner of a reader comes to; goes on by itself.

    Args:
        learner: learns the reader.
        folder: folder whose `reader` keeps it.
        counts: what the reader is a function of.
        batches: first step and last step → batches between them.

    Raises:
        OutputError: if the folder keeps a reader of something else.
        TrainingError: if the loss is not finite.
    """
    kept = training_folder(folder / FOLDER)
    session = Session("reader", learner, kept, counts, batches)
    session.resume()
    session.train()
    return learner.average
