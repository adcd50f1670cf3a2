"""Configuration of `synthgen train unet`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipelines.training.diffusion.config import DiffusionSettings
from pipelines.training.loop.settings import Cycle
from synthgen.config.base import Section


class UNetModel(Section):
    """Size of a `UNet2DConditionModel`."""

    block_out_channels: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(96, 128, 128), min_length=1, description="Channels of each level, finest first."
    )
    cross_attention: tuple[bool, ...] = Field(
        default=(True, True, False), description="Levels that attend to the text."
    )
    layers_per_block: int = Field(default=1, ge=1, le=4, description="Residual layers a level.")
    heads: int = Field(default=2, ge=1, le=32, description="Attention heads.")
    norm_num_groups: int = Field(
        default=8,
        ge=1,
        description="Groups of the group norms; with one channel a group, colours fade.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "UNetModel":
        levels = len(self.block_out_channels)
        if len(self.cross_attention) != levels:
            raise ValueError(
                f"cross_attention has {len(self.cross_attention)} levels; block_out_channels has "
                f"{levels}"
            )
        for channels in self.block_out_channels:
            for key in ("norm_num_groups", "heads"):
                if channels % (asked := getattr(self, key)):
                    raise ValueError(f"{channels} channels are no multiple of {key} {asked}")
        return self


class UNetConfig(DiffusionSettings):
    """A training run of the base: text to image; the weights are a function of it."""

    cycles: tuple[Cycle, ...] = Field(
        min_length=1,
        description="The steps; a finished training goes on when a cycle is added at the end.",
    )
    vae: str = Field(description="Folder of the VAE.")
    clip: str = Field(description="Folder with text_encoder, tokenizer and image_encoder.")
    prediction: Literal["epsilon", "v_prediction"] = Field(
        default="v_prediction", description="What the UNet predicts."
    )
    model: UNetModel = Field(default=UNetModel(), description="Size of the network.")
