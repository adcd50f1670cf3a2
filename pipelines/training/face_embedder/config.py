"""Configuration of `synthgen train face-embedder`: one YAML file, checked, immutable."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipelines.training.data.augmentation_config import BatchAugmentation
from pipelines.training.data.expression_config import ExpressiveFaces
from pipelines.training.loop.settings import Cycle, TrainingSettings
from synthgen.config.base import Section

_Channels = Annotated[int, Field(ge=1, le=1024)]
_Blocks = Annotated[int, Field(ge=1, le=16)]


class PeopleConfig(ExpressiveFaces):
    """Drawn people, each in many pictures of other light, pose, clothes and expression."""

    count: int = Field(
        default=4096, ge=2, le=1_000_000, description="People to be told apart while learning."
    )
    first: int = Field(
        default=2**46,
        ge=0,
        lt=2**62,
        description="Identity seed of the first person: others for a second, independent embedder.",
    )


class MarginConfig(Section):
    """Softmax over people by the angle to each, made harder for the right one."""

    kind: Literal["cosface", "arcface"] = Field(
        default="cosface",
        description="Where the margin is taken: from the cosine (CosFace), or added to the angle "
        "(ArcFace).",
    )
    margin: float = Field(
        default=0.3, ge=0, lt=1.5, description="The margin: a cosine, or an angle [radians]."
    )
    scale: float = Field(default=32.0, gt=0, le=256, description="What cosines are multiplied by.")
    rise: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of the steps over which the margin rises from 0 [0, 1].",
    )


class FaceNetworkConfig(Section):
    """Size of the network."""

    channels: tuple[_Channels, _Channels, _Channels, _Channels] = Field(
        default=(32, 64, 128, 192),
        description="Channels at a half, a quarter, an eighth and a sixteenth of the side.",
    )
    blocks: tuple[_Blocks, _Blocks, _Blocks, _Blocks] = Field(
        default=(1, 2, 2, 2), description="Residual blocks of each of these stages."
    )


class FaceEvaluation(Section):
    """Held-out people, in pictures as they are drawn."""

    people: int = Field(default=100, ge=2, le=100_000, description="People who are never learned.")
    pictures: int = Field(default=7, ge=2, le=1000, description="Pictures of each.")


class FaceEmbedderConfig(TrainingSettings):
    """A training run of the face embedder; the weights are a function of it."""

    cycles: tuple[Cycle, ...] = Field(
        min_length=1,
        description="The steps; a finished training goes on when a cycle is added at the end.",
    )
    people: PeopleConfig = Field(description="Whom to tell apart.")
    augmentation: BatchAugmentation = Field(
        default=BatchAugmentation(erase=0.3), description="What is done to a picture."
    )
    margin: MarginConfig = Field(default=MarginConfig(), description="The loss.")
    model: FaceNetworkConfig = Field(default=FaceNetworkConfig(), description="The network.")
    evaluation: FaceEvaluation = Field(
        default=FaceEvaluation(), description="What the result is measured on."
    )

    @model_validator(mode="after")
    def _at_least_two(self) -> "FaceEmbedderConfig":
        if self.batch_size // self.accumulate < 2:
            raise ValueError(
                f"batch_size {self.batch_size} over accumulate {self.accumulate} must leave at "
                "least 2 pictures in a part"
            )
        return self
