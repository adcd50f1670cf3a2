"""Configuration of `synthgen train judge`: one YAML file, checked, immutable."""

from typing import Annotated

from pydantic import Field, model_validator

from pipelines.training.data.augmentation_config import BatchAugmentation
from pipelines.training.data.expression_config import ExpressiveFaces
from pipelines.training.loop.settings import Cycle, TrainingSettings
from synthgen.config.base import Section
from synthgen.config.priors import IntensityRange

_Channels = Annotated[int, Field(ge=1, le=4096)]


class JudgeFacesConfig(ExpressiveFaces):
    """Portraits of 128 pixels, each of an identity that no other training sees."""

    views: int = Field(
        default=3,
        ge=1,
        le=100,
        description="How often a face is learned, each time with other changes; drawing takes "
        "about as long as learning.",
    )


class JudgeModel(Section):
    """Size of the network."""

    channels: tuple[_Channels, _Channels, _Channels, _Channels] = Field(
        default=(24, 48, 96, 160),
        description="Channels at a half, a quarter, an eighth and a sixteenth of the side.",
    )
    narrow: _Channels = Field(
        default=32, description="Channels of each place before all places are joined."
    )
    hidden: _Channels = Field(default=256, description="Width of what all heads read.")


class JudgeEvaluation(Section):
    """Held-out portraits, unchanged, of identities that are never learned."""

    faces: int = Field(default=1000, ge=8, le=1_000_000, description="Number of faces.")
    rate: float = Field(
        default=0.3, gt=0, lt=1, description="Chance of each AU to be active (0, 1)."
    )
    intensity: IntensityRange = Field(
        default=IntensityRange(low=0.5, high=5.0), description="Range of an active AU."
    )


class JudgeConfig(TrainingSettings):
    """A training run of the second judge; the weights are a function of it."""

    cycles: tuple[Cycle, ...] = Field(
        min_length=1,
        description="The steps; a finished training goes on when a cycle is added at the end.",
    )
    faces: JudgeFacesConfig = Field(description="Portraits to learn from.")
    augmentation: BatchAugmentation = Field(
        default=BatchAugmentation(), description="What is done to a portrait."
    )
    model: JudgeModel = Field(default=JudgeModel(), description="Size of the network.")
    trait_weight: float = Field(
        default=0.2, ge=0, description="Weight of the traits' cross-entropies in the loss."
    )
    evaluation: JudgeEvaluation = Field(
        default=JudgeEvaluation(), description="What the result is measured on."
    )

    @model_validator(mode="after")
    def _whole_parts(self) -> "JudgeConfig":
        if self.batch_size % self.accumulate or self.batch_size // self.accumulate < 2:
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of accumulate "
                f"{self.accumulate}, with at least 2 portraits in a part"
            )
        return self
