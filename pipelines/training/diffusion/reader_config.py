"""Configuration of the reading loss of the trainings of adapters."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from pipelines.training.diffusion.config import AdapterCycle
from pipelines.training.loop.settings import Cycle, TrainingSettings
from synthgen.config.base import Section

_Channels = Annotated[int, Field(ge=8, le=4096, multiple_of=8)]


class ReaderConfig(TrainingSettings):
    """How the reader is learned, from the latents of the adapter's training and their labels."""

    cycles: tuple[Cycle, ...] = Field(
        default=(Cycle(steps=2500, learning_rate=0.002, warmup=0.1),),
        min_length=1,
        description="The steps.",
    )
    batch_size: int = Field(default=64, ge=1, le=65536, description="Examples in a step.")
    channels: tuple[_Channels, _Channels] = Field(
        default=(48, 96),
        description="Channels at the full and at half the side of a latent, multiples of 8.",
    )
    noise: float = Field(
        default=0.3,
        ge=0,
        le=10,
        description="Largest standard deviation of the noise on the latents that it learns from.",
    )


class ReadingConfig(Section):
    """A second loss: the latents that the model guesses are read."""

    weight: float = Field(gt=0, le=1000, description="Weight beside the diffusion loss.")
    reader: ReaderConfig = Field(description="The network that reads.")


def check_painted(cycles: Sequence[AdapterCycle], reading: ReadingConfig | None) -> None:
    """Refuse cycles that learn from what the model paints where nothing reads it.

    Raises:
        ValueError: with the first of them.
    """
    for number, cycle in enumerate(cycles):
        if cycle.painted and reading is None:
            raise ValueError(
                f"cycles.{number}.painted is {cycle.painted:g}, but reading is null: what is "
                "painted is learned from by being read"
            )
