"""The reader: a small network that reads AUs or people from latents, and its training.

What an AU changes, or who is shown, is a small part of a diffusion model's error, so a model that
sees few examples learns it slowly. Here its guess at the clean latents is read, as GANimation
(Pumarola et al. 2018, Eq. 4) has a critic read AUs. The reader judges nothing else: no verifier and
no judge is in it.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipelines.training.diffusion.config import ReaderConfig
from pipelines.training.diffusion.loss import Guess
from pipelines.training.learner import Learner, seeded
from pipelines.training.session import Session, training_folder

_GROUPS = 8
_NARROW = 24
_HIDDEN = 192


class LatentReader(nn.Module):
    """Reads numbers from latents; where something stands is kept to the end.

    Args:
        shape: channels, height and width of a latent; the sides are even.
        channels: channels at the full and at half the side, multiples of 8.
        outputs: how many numbers it reads.
    """

    def __init__(self, shape: Sequence[int], channels: Sequence[int], outputs: int) -> None:
        super().__init__()
        depth, height, width = shape
        full, half = channels
        self.maps = nn.Sequential(
            nn.Conv2d(depth, full, 3, padding=1),
            _Block(full, full),
            _Block(full, half, stride=2),
            _Block(half, half),
            nn.Conv2d(half, _NARROW, 1),
            nn.Flatten(),
        )
        self.head = nn.Sequential(
            nn.Linear(_NARROW * (height // 2) * (width // 2), _HIDDEN),
            nn.SiLU(),
            nn.Linear(_HIDDEN, outputs),
        )

    def forward(self, latents: Float[Tensor, "B c h w"]) -> Float[Tensor, "B outputs"]:
        """Return what it reads from scaled latents."""
        return self.head(self.maps(latents))


class _Block(nn.Module):
    def __init__(self, inward: int, outward: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(inward, outward, 3, stride, padding=1)
        self.first_norm = nn.GroupNorm(_GROUPS, outward)
        self.second = nn.Conv2d(outward, outward, 3, padding=1)
        self.second_norm = nn.GroupNorm(_GROUPS, outward)
        same = inward == outward and stride == 1
        self.past = nn.Identity() if same else nn.Conv2d(inward, outward, 1, stride)

    def forward(self, maps: Tensor) -> Tensor:
        inner = nn.functional.silu(self.first_norm(self.first(maps)))
        return nn.functional.silu(self.second_norm(self.second(inner)) + self.past(maps))


def read_guess(reader: LatentReader | None, guess: Guess) -> Float[Tensor, "B outputs"]:
    """Return what a trained reader, whose weights do not learn, reads from guessed latents.

    Raises:
        ValueError: if the training has a reading loss, but was made without a reader.
    """
    if reader is None:
        raise ValueError("the configuration has the reading loss, but there is no reader")
    with torch.autocast(guess.latents.device.type, enabled=False):
        return reader(guess.latents.float())


def au_error(
    read: Float[Tensor, "B aus"], aus: Float[Tensor, "B aus"], signal: Float[Tensor, " B"]
) -> Tensor:
    """Return the mean squared error of AUs that were read from guessed latents [intensity²].

    Args:
        read: what was read.
        aus: AUs of the images.
        signal: share of the signal's variance in what the model saw [0–1], the weight: a guess from
            noise alone is a mean of many faces, from which nothing can be read.
    """
    return ((read - aus).square().mean(1) * signal).mean()


FOLDER = "reader"


class ReaderLearner(Learner):
    """Learns a `LatentReader`; a child says what is read.

    Args:
        config: settings of the training.
        shape: channels, height and width of a latent.
        device: torch device.
        outputs: number of values that are read.
    """

    def __init__(
        self,
        config: ReaderConfig,
        shape: tuple[int, int, int],
        device: torch.device,
        outputs: int,
    ) -> None:
        with seeded(config.seed):
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
    fingerprint: dict[str, Any],
    batches: Callable[[int, int], Iterable[Any]],
    name: str = FOLDER,
) -> LatentReader:
    """Return what a learner of a reader comes to; goes on by itself.

    Args:
        learner: learns the reader.
        folder: folder whose part keeps it.
        fingerprint: everything that the reader is a function of.
        batches: first step and last step → batches between them.
        name: name of that part.

    Raises:
        OutputError: if the folder keeps a reader of something else.
        TrainingError: if the loss is not finite.
    """
    with training_folder(folder / name) as kept:
        session = Session("reader", learner, kept, fingerprint, batches)
        session.resume()
        session.train()
    return learner.average
