"""Configuration of a training of the CLIP pair."""

from typing import Literal

from pydantic import Field, model_validator

from pipelines.training.data.config import DataConfig, ProceduralData
from pipelines.training.settings import Cycle, TrainingSettings
from synthgen.config.base import Section


class Transformer(Section):
    """Size of a transformer."""

    hidden_size: int = Field(default=128, ge=8, description="Width of a token.")
    layers: int = Field(default=4, ge=1, le=48, description="Layers.")
    heads: int = Field(default=4, ge=1, le=64, description="Attention heads.")
    widening: int = Field(
        default=4,
        ge=1,
        le=8,
        exclude_if=lambda widening: widening == 4,
        description="Width of a layer's inner half, in hidden sizes.",
    )

    @model_validator(mode="after")
    def _whole_heads(self) -> "Transformer":
        if self.hidden_size % self.heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of heads {self.heads}"
            )
        return self


class TextModel(Transformer):
    """Size of the text encoder; the UNet sees its tokens."""

    vocabulary: int = Field(
        default=2048, ge=515, le=65536, description="Most tokens of the byte-level BPE."
    )
    captions: int = Field(
        default=20_000, ge=1, description="Captions that the tokenizer is learned from."
    )
    max_length: int = Field(
        default=64, ge=8, le=77, description="Tokens of a text, start and end included."
    )
    whole_words: bool = Field(
        default=False,
        exclude_if=lambda whole: not whole,
        description="Each word that captions of drawn faces may have is one token, and so is id, "
        "in whose place Arc2Face puts a face.",
    )


class VisionModel(Transformer):
    """Size of the image encoder."""

    image_size: int = Field(default=128, ge=16, description="Side of the input [pixels].")
    patch_size: int = Field(default=16, ge=4, description="Side of a patch [pixels].")

    @model_validator(mode="after")
    def _whole_patches(self) -> "VisionModel":
        if self.image_size % self.patch_size:
            raise ValueError(
                f"image_size {self.image_size} must be a multiple of patch_size {self.patch_size}"
            )
        return self


class MinimalPairs(Section):
    """People who come with others that differ from them in one trait, or one AU."""

    group: Literal[2, 4] = Field(
        default=4, description="People who stand together: one, and others that differ in a trait."
    )


class Reading(Section):
    """Linear readers of the traits that a caption tells, from states of the text encoder."""

    weight: float = Field(default=1.0, gt=0, le=100, description="Weight of their loss.")


class CLIPConfig(TrainingSettings):
    """A training run of the CLIP pair; the weights are a function of it."""

    cycles: tuple[Cycle, ...] = Field(
        min_length=1,
        description="The steps; a finished training goes on when a cycle is added at the end.",
    )
    data: DataConfig = Field(description="What is learned from.")
    views: int = Field(
        default=1, ge=1, le=1000, description="How often an image is seen, each time newly told."
    )
    text: TextModel = Field(default=TextModel(), description="The text encoder.")
    vision: VisionModel = Field(default=VisionModel(), description="The image encoder.")
    projection: int = Field(default=128, ge=8, description="Width of the common space.")
    minimal_pairs: MinimalPairs | None = Field(
        default=None,
        exclude_if=lambda pairs: pairs is None,
        description="Pictures and captions of drawn people who differ in one word; null: people "
        "as they come.",
    )
    reading: Reading | None = Field(
        default=None,
        exclude_if=lambda reading: reading is None,
        description="What a caption tells is also read from single states; null: it is not.",
    )
    held_out: int = Field(
        default=500, ge=8, description="Held-out pairs that the result is measured on."
    )

    @model_validator(mode="after")
    def _fitting(self) -> "CLIPConfig":
        if self.vision.image_size != self.data.size:
            raise ValueError(
                f"vision.image_size {self.vision.image_size} must be data.size {self.data.size}"
            )
        if self.accumulate != 1:
            raise ValueError(
                f"accumulate is {self.accumulate}; CLIP tells each pair from all others of the "
                "batch, so it must be 1"
            )
        pairs = self.minimal_pairs
        if pairs and not isinstance(self.data, ProceduralData):
            raise ValueError(
                "minimal_pairs are drawn, and data.source is 'dataset'; set data.source: procedural"
            )
        if pairs and self.batch_size % pairs.group:
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of minimal_pairs.group "
                f"{pairs.group}"
            )
        return self
