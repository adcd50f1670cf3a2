"""Configuration of the reading loss of `synthgen train fineface`."""

from typing import Annotated

from pydantic import Field

from pipelines.training.loop.settings import Cycle, TrainingSettings
from synthgen.config.base import Section

_Channels = Annotated[int, Field(ge=8, le=4096, multiple_of=8)]


class ReaderConfig(TrainingSettings):
    """How the reader is learned, from the latents and AUs of the adapter's training."""

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
    """A second loss: AUs are read from the latents that the model guesses."""

    weight: float = Field(gt=0, le=1000, description="Weight beside the diffusion loss.")
    reader: ReaderConfig = Field(description="The network that reads.")
