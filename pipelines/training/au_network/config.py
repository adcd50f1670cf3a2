"""Configuration of `synthgen train au-net`: one YAML file, checked, immutable."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from pipelines.libreface.network import MAX_INPUT_SIZE, MIN_INPUT_SIZE
from pipelines.training.data.expression_config import ExpressiveFaces
from pipelines.training.loop.settings import Cycle, OptimizerConfig, cycle_at
from synthgen.action_units import AUS, au_index
from synthgen.config.base import Section
from synthgen.config.priors import IntensityRange


class FacesConfig(ExpressiveFaces):
    """Procedural faces to learn from; each shows an identity that no other face shows."""

    size: int = Field(
        default=128, ge=64, le=1024, description="Width and height of a face [pixels]."
    )
    views: int = Field(
        default=1,
        ge=1,
        le=100,
        description="How often a face is learned, each time with other changes; drawing takes "
        "about half as long as learning.",
    )


class AugmentationConfig(Section):
    """What is done to a face before it is learned; each strength is drawn from 0 to its bound.

    How often is said by each cycle.
    """

    shift: float = Field(
        default=0.02, ge=0, le=0.2, description="Shift [share of the image's side]."
    )
    scale: float = Field(default=0.03, ge=0, le=0.5, description="Relative change of size.")
    rotation: float = Field(
        default=2.0, ge=0, le=45, description="Rotation in the image plane [degrees]."
    )
    blur: float = Field(
        default=0.8, ge=0, le=8, description="Gaussian blur, standard deviation [pixels]."
    )
    noise: float = Field(
        default=0.03,
        ge=0,
        le=1,
        description="Gaussian noise, standard deviation [share of full scale].",
    )
    brightness: float = Field(
        default=0.15, ge=0, lt=1, description="Relative change of brightness."
    )
    contrast: float = Field(default=0.15, ge=0, lt=1, description="Relative change of contrast.")
    jpeg_quality: int = Field(
        default=55, ge=1, le=95, description="Lowest JPEG quality; the highest is 95."
    )


class CoarseConfig(Section):
    """A beginning at fewer pixels: it takes a fraction of the time and teaches where things are."""

    steps: int = Field(default=0, ge=0, description="Steps from the first on.")
    input_size: int = Field(
        default=72, ge=MIN_INPUT_SIZE, le=MAX_INPUT_SIZE, description="Side of the input [pixels]."
    )


class CycleConfig(Cycle):
    """Steps in which the learning rate rises linearly and then falls to zero along a cosine."""

    learning_rate: float = Field(default=1e-3, gt=0, le=1, description="Highest learning rate.")
    warmup: float = Field(default=0.1, ge=0, le=1, description="Share of the steps that warm up.")
    augmented: float = Field(
        default=0.4, ge=0, le=1, description="Chance of each change of a face [0, 1]."
    )
    emphasis: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default={}, description="AU → its weight in the intensity head's loss; 1 for the others."
    )

    @field_validator("emphasis")
    @classmethod
    def _aus_exist(cls, value: dict[str, float]) -> dict[str, float]:
        for name in value:
            au_index(name)
        return value

    def weights(self) -> list[float]:
        """Return the weights in the order of an AU vector."""
        return [self.emphasis.get(name, 1.0) for name in AUS]


class EvaluationConfig(Section):
    """Held-out procedural faces, without augmentation, of identities that are never learned."""

    faces: int = Field(default=1500, ge=8, le=1_000_000, description="Number of faces.")
    rate: float = Field(
        default=0.3, gt=0, lt=1, description="Chance of each AU to be active (0, 1)."
    )
    intensity: IntensityRange = Field(
        default=IntensityRange(low=0.5, high=5.0), description="Range of an active AU."
    )
    every: int = Field(
        default=500, ge=1, description="Steps between two evaluations on a fifth of them."
    )


class AUNetworkConfig(Section):
    """A training run of the AU network; the weights are a function of it."""

    seed: int = Field(ge=0, lt=2**63, description="Seed of everything that is drawn [0, 2^63).")
    cycles: tuple[CycleConfig, ...] = Field(
        min_length=1,
        description="The steps; a finished training goes on when a cycle is added at the end.",
    )
    batch_size: int = Field(default=64, ge=2, le=4096, description="Faces in a step.")
    input_size: int = Field(
        default=112,
        ge=MIN_INPUT_SIZE,
        le=MAX_INPUT_SIZE,
        description="Side of the square that the network sees [pixels]; LibreFace's own has 224.",
    )
    faces: FacesConfig = Field(description="Faces to learn from.")
    augmentation: AugmentationConfig = Field(
        default=AugmentationConfig(), description="What is done to a face before it is learned."
    )
    coarse: CoarseConfig = Field(
        default=CoarseConfig(), description="The beginning of the training."
    )
    optimizer: OptimizerConfig = Field(default=OptimizerConfig(), description="How it is learned.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout of both heads [0, 1).")
    detection_weight: float = Field(
        default=0.2, ge=0, description="Weight of the detection head's cross-entropy in the loss."
    )
    ema_decay: float = Field(
        default=0.998,
        ge=0,
        lt=1,
        description="Decay of the average of the weights that is exported.",
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="Number format of the encoder's computation; weights stay float32.",
    )
    threads: int = Field(
        default=1, ge=1, le=1024, description="CPU threads of the training process."
    )
    workers: int = Field(
        default=1, ge=0, le=256, description="Processes that draw faces; 0: none extra."
    )
    checkpoint_every: int = Field(default=200, ge=1, description="Steps between two checkpoints.")
    evaluation: EvaluationConfig = Field(
        default=EvaluationConfig(), description="What the result is measured on."
    )

    @property
    def steps(self) -> int:
        """Steps of all cycles."""
        return sum(cycle.steps for cycle in self.cycles)

    def cycle(self, step: int) -> CycleConfig:
        """Return the cycle of a step; after the end the last one."""
        return cycle_at(self.cycles, step)
