"""The AU network's configuration and its loss."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from pipelines.libreface.network import DETECTED_AUS, MAX_INPUT_SIZE, MIN_INPUT_SIZE
from pipelines.training.au_network.augmentation import AugmentationConfig
from pipelines.training.data.config import SidedFaces
from pipelines.training.data.drawing import label_aus
from pipelines.training.diffusion.decoded import DecodedPictures
from pipelines.training.settings import Cycle, OptimizerConfig, cycle_at
from synthgen.action_units import DEFAULT_AUS, MAX_INTENSITY, ActionUnitSet
from synthgen.config.aus_in_use import AuMapping
from synthgen.config.base import Section
from synthgen.config.priors import IntensityRange
from synthgen.errors import ActionUnitError


class FacesConfig(SidedFaces):
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

    @property
    def action_units(self) -> ActionUnitSet:
        """AUs that the faces are labelled with."""
        return label_aus(self)


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
    emphasis: AuMapping[Annotated[float, Field(gt=0)]] = Field(
        default={}, description="AU → its weight in the intensity head's loss; 1 for the others."
    )

    def weights(self, aus: Sequence[str]) -> list[float]:
        """Return the weights of some AUs, in their order."""
        return [self.emphasis.get(name, 1.0) for name in aus]


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


_VAE_FACTOR = 8
"""Pixels to a latent of Stable Diffusion's VAE; that of the embedded base has 4."""


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
    init: str | None = Field(
        default=None,
        min_length=1,
        description="AU network to start from: mini, libreface, or a file; heads take the rows of "
        "the AUs that both know. null: start at random.",
    )
    decoded: DecodedPictures | None = Field(
        default=None,
        description="Share of the faces that is learned as a VAE makes them; null: none.",
    )
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
    sides_weight: float = Field(
        default=0.5,
        ge=0,
        description="Weight of the sides' error in the loss, where faces have sides.",
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

    @model_validator(mode="after")
    def _emphasis_of_its_aus(self) -> "AUNetworkConfig":
        for number, cycle in enumerate(self.cycles):
            for name in cycle.emphasis:
                try:
                    self.faces.action_units.index(name)
                except ActionUnitError as error:
                    raise ValueError(f"cycles.{number}.emphasis: {error}") from error
        return self

    @model_validator(mode="after")
    def _decodes_whole_faces(self) -> "AUNetworkConfig":
        if self.decoded and self.faces.size % _VAE_FACTOR:
            raise ValueError(
                f"faces.size is {self.faces.size}; faces that a VAE decodes have a multiple of "
                f"{_VAE_FACTOR}"
            )
        return self

    @property
    def steps(self) -> int:
        """Steps of all cycles."""
        return sum(cycle.steps for cycle in self.cycles)

    def cycle(self, step: int) -> CycleConfig:
        """Return the cycle of a step; after the end the last one."""
        return cycle_at(self.cycles, step)


PRESENT_FROM = 1.0
"""Intensity from which the detection head is to call an AU present: a trace, FACS level A."""

_QUADRATIC_BELOW = 0.5


def au_loss(
    intensity: Float[Tensor, "B aus"],
    detection: Float[Tensor, "B detected"],
    aus: Float[Tensor, "B aus"],
    weights: Float[Tensor, " aus"],
    detection_weight: float,
    action_units: ActionUnitSet = DEFAULT_AUS,
) -> Float[Tensor, ""]:
    """Return the loss of both heads.

    Args:
        intensity: output of the intensity head [0–1].
        detection: output of the detection head [0–1].
        aus: true intensities [0–5].
        weights: weight of each AU in the intensity head's loss.
        detection_weight: weight of the detection head's cross-entropy.
        action_units: the AUs of the vectors.
    """
    detected = functional.binary_cross_entropy(detection, presence(aus, action_units))
    return intensity_loss(intensity, aus, weights) + detection_weight * detected


def intensity_loss(
    intensity: Float[Tensor, "B *sides aus"],
    aus: Float[Tensor, "B *sides aus"],
    weights: Float[Tensor, " aus"],
) -> Float[Tensor, ""]:
    """Return the loss of an intensity head.

    It is Huber's, whose optimum is near the median: an AU that may well be absent is measured at 0,
    not at a little of everything.

    Args:
        intensity: output of the head [0–1].
        aus: true intensities [0–5].
        weights: weight of each AU.
    """
    measured = functional.smooth_l1_loss(
        MAX_INTENSITY * intensity, aus, beta=_QUADRATIC_BELOW, reduction="none"
    )
    return (weights * measured).mean()


def presence(
    aus: Float[Tensor, "B aus"], action_units: ActionUnitSet = DEFAULT_AUS
) -> Float[Tensor, "B detected"]:
    """Return 1 where an AU of the detection head is present; those that are not drawn never are."""
    columns = [
        aus[:, action_units.index(name)] >= PRESENT_FROM
        if name in action_units
        else torch.zeros(len(aus), dtype=torch.bool, device=aus.device)
        for name in DETECTED_AUS
    ]
    return torch.stack(columns, dim=1).float()
