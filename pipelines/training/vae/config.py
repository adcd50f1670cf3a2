"""Configuration of `synthgen train vae`."""

from typing import Annotated

from pydantic import Field, model_validator

from pipelines.training.data.config import DataConfig
from pipelines.training.loop.settings import Cycle, TrainingSettings
from synthgen.config.base import Section


class VAELoss(Section):
    """Weights of the parts of the loss."""

    absolute: float = Field(default=1.0, ge=0, description="Mean absolute error [of -1 to 1].")
    squared: float = Field(
        default=2.0, ge=0, description="Mean squared error: it sees wrong colours of large areas."
    )
    edges: float = Field(
        default=1.0,
        ge=0,
        description="Mean absolute error of the differences of neighbouring pixels, at full and "
        "at half size: it sees thin lines.",
    )
    features: float = Field(
        default=0.0,
        ge=0,
        description="Mean absolute error of the features of the embedded AU network; whole images "
        "of 128 pixels alone.",
    )
    divergence: float = Field(
        default=1e-4, ge=0, description="Kullback–Leibler divergence, mean over latents."
    )


class VAECycle(Cycle):
    """Steps of a VAE."""

    crop: int | None = Field(
        default=None,
        ge=16,
        multiple_of=8,
        description="Side of the square that is cut from each image, most often near its middle; "
        "null: whole images.",
    )
    crops: int = Field(default=1, ge=1, le=64, description="Squares cut from one image.")
    freeze_encoder: bool = Field(
        default=False, description="Learn the decoder alone; latents stay what they are."
    )
    latent_noise: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Noise on the latents that are decoded, up to this many of their standard "
        "deviations: what a UNet paints is not exact either.",
    )
    loss: VAELoss = Field(default=VAELoss(), description="What is learned.")


class VAEModel(Section):
    """Size of an `AutoencoderKL`."""

    block_out_channels: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(16, 32, 64, 128),
        min_length=1,
        description="Channels from the finest level to the coarsest; each further level halves.",
    )
    layers_per_block: int = Field(default=1, ge=1, le=8, description="Residual layers a level.")
    latent_channels: int = Field(default=4, ge=1, le=64, description="Channels of the latents.")
    norm_num_groups: int = Field(
        default=4,
        ge=1,
        description="Groups of the group norms; with one channel a group, colours fade.",
    )

    @model_validator(mode="after")
    def _whole_groups(self) -> "VAEModel":
        for channels in self.block_out_channels:
            if channels % self.norm_num_groups:
                raise ValueError(
                    f"{channels} channels are no multiple of norm_num_groups {self.norm_num_groups}"
                )
        return self


class VAEConfig(TrainingSettings):
    """A training run of the VAE; the weights are a function of it."""

    cycles: tuple[VAECycle, ...] = Field(
        min_length=1,
        description="The steps; a finished training goes on when a cycle is added at the end.",
    )
    data: DataConfig = Field(description="What is learned from.")
    model: VAEModel = Field(default=VAEModel(), description="Size of the network.")
    held_out: int = Field(
        default=200, ge=8, description="Held-out images that the result is measured on."
    )

    @model_validator(mode="after")
    def _fitting(self) -> "VAEConfig":
        factor = 2 ** (len(self.model.block_out_channels) - 1)
        if self.data.size % factor:
            raise ValueError(f"data.size {self.data.size} must be a multiple of {factor}")
        for cycle in self.cycles:
            _check_crop(cycle, self.data.size, self.batch_size, factor)
        return self


def _check_crop(cycle: VAECycle, size: int, batch_size: int, factor: int) -> None:
    if cycle.crop is None:
        return
    if cycle.crop > size or cycle.crop % factor:
        raise ValueError(
            f"crop {cycle.crop} must be a multiple of {factor} and at most data.size {size}"
        )
    if batch_size % cycle.crops:
        raise ValueError(f"batch_size {batch_size} must be a multiple of crops {cycle.crops}")
