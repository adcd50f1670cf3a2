"""The AU network's configuration, faces, augmentation and loss.

They stand for what a diffusion model and its VAE do to a face: shift, blur, grain, blocks, light.

Sample i is a function of (configuration, i): the same in every process, run and order. Training
takes identity seeds from 0 on; held-out ones start where no training run comes.
"""

import io
from typing import Annotated, Literal, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageEnhance, ImageFilter
from pydantic import Field, field_validator
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from pipelines.libreface.alignment import CenteredAligner
from pipelines.libreface.network import (
    DETECTED_AUS,
    MAX_INPUT_SIZE,
    MIN_INPUT_SIZE,
    face_pixels,
    resized_side,
)
from pipelines.procedural import random_identity, render
from pipelines.training.data.config import ExpressionShare, ExpressiveFaces
from pipelines.training.data.drawing import RoundCache, draw_aus, face_number
from pipelines.training.data.examples import HELD_OUT
from pipelines.training.settings import Cycle, OptimizerConfig, cycle_at
from samplers.randomness import uniforms
from synthgen.action_units import AUS, MAX_INTENSITY, au_index
from synthgen.config.aus_in_use import AuMapping
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
    """Augmentation of a face before it is learned; each strength is drawn from 0 to its bound.

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
    emphasis: AuMapping[Annotated[float, Field(gt=0)]] = Field(
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


DRAWS = 16
"""Uniform numbers that `augment` takes."""

_CHANGES = 6
_BEST_JPEG = 95
_FULL_SCALE = 255.0


def augment(
    face: Image.Image,
    draws: Float[np.ndarray, " 16"],
    chance: float,
    bounds: AugmentationConfig,
) -> Image.Image:
    """Change a face.

    Args:
        face: RGB image.
        draws: uniform numbers in [0, 1): the image is a function of the face and of them.
        chance: chance of each change [0, 1].
        bounds: how strong the changes may be.
    """
    chosen = draws[:_CHANGES] < chance
    strength = draws[_CHANGES:]
    if chosen[0]:
        face = _moved(face, 2 * strength[:4] - 1, bounds)
    if chosen[1]:
        face = face.filter(ImageFilter.GaussianBlur(float(strength[4]) * bounds.blur))
    if chosen[2]:
        face = _scaled(ImageEnhance.Brightness(face), strength[5], bounds.brightness)
    if chosen[3]:
        face = _scaled(ImageEnhance.Contrast(face), strength[6], bounds.contrast)
    if chosen[4]:
        face = _grained(face, strength[7] * bounds.noise, strength[8])
    if chosen[5]:
        face = _compressed(face, strength[9], bounds.jpeg_quality)
    return face


def _moved(
    face: Image.Image, signed: Float[np.ndarray, " 4"], bounds: AugmentationConfig
) -> Image.Image:
    shift_x, shift_y = signed[:2] * bounds.shift * face.width
    zoom = 1 + signed[2] * bounds.scale
    angle = np.deg2rad(signed[3] * bounds.rotation)
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    x, y = face.width / 2, face.height / 2
    matrix = (
        cos, sin, x - cos * (x + shift_x) - sin * (y + shift_y),
        -sin, cos, y + sin * (x + shift_x) - cos * (y + shift_y),
    )  # fmt: skip
    corner = face.getpixel((0, 0))
    return face.transform(
        face.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC, fillcolor=corner
    )


def _scaled(enhancer: ImageEnhance._Enhance, strength: float, bound: float) -> Image.Image:
    return enhancer.enhance(1 + bound * (2 * strength - 1))


def _grained(face: Image.Image, deviation: float, seed: float) -> Image.Image:
    generator = np.random.Generator(np.random.Philox(key=int(seed * 2**53)))
    pixels = np.asarray(face, dtype=np.float32)
    noise = generator.standard_normal(pixels.shape, dtype=np.float32)
    grained = pixels + _FULL_SCALE * deviation * noise
    return Image.fromarray(grained.clip(0, _FULL_SCALE).round().astype(np.uint8))


def _compressed(face: Image.Image, strength: float, lowest: int) -> Image.Image:
    buffer = io.BytesIO()
    face.save(buffer, "JPEG", quality=round(_BEST_JPEG - strength * (_BEST_JPEG - lowest)))
    return Image.open(buffer).convert("RGB")


PRESENT_FROM = 1.0
"""Intensity from which the detection head is to call an AU present: a trace, FACS level A."""

_QUADRATIC_BELOW = 0.5


def au_loss(
    intensity: Float[Tensor, "B aus"],
    detection: Float[Tensor, "B aus"],
    aus: Float[Tensor, "B aus"],
    weights: Float[Tensor, " aus"],
    detection_weight: float,
) -> Float[Tensor, ""]:
    """Return the loss of both heads.

    The intensity's is Huber's, whose optimum is near the median: an AU that may well be absent is
    measured at 0, not at a little of everything.

    Args:
        intensity: output of the intensity head [0–1].
        detection: output of the detection head [0–1].
        aus: true intensities [0–5].
        weights: weight of each AU in the intensity head's loss.
        detection_weight: weight of the detection head's cross-entropy.
    """
    measured = functional.smooth_l1_loss(
        MAX_INTENSITY * intensity, aus, beta=_QUADRATIC_BELOW, reduction="none"
    )  # [B, aus]
    detected = functional.binary_cross_entropy(detection, presence(aus))
    return (weights * measured).mean() + detection_weight * detected


def presence(aus: Float[Tensor, "B aus"]) -> Float[Tensor, "B aus"]:
    """Return 1 where an AU of the detection head is present; those that are not drawn never are."""
    columns = [
        aus[:, AUS.index(name)] >= PRESENT_FROM
        if name in AUS
        else torch.zeros(len(aus), dtype=torch.bool, device=aus.device)
        for name in DETECTED_AUS
    ]
    return torch.stack(columns, dim=1).float()


class Face(NamedTuple):
    """A face to learn from.

    Attributes:
        pixels: normalised input of the network, float32 [3, side, side].
        aus: AU intensities [0–5], float32 [aus].
    """

    pixels: Tensor
    aus: Tensor


class TrainingFaces(Dataset[Face]):
    """The faces of a training run, augmented, from index 0 on."""

    def __init__(self, config: AUNetworkConfig) -> None:
        self._config = config
        self._aligner = CenteredAligner(resized_side(config.input_size))
        self._faces = RoundCache(self._draw)

    def __len__(self) -> int:
        return self._config.steps * self._config.batch_size

    def __getitem__(self, index: int) -> Face:
        config = self._config
        image, aus = self._faces[face_number(index, config.faces.views)]
        draws = uniforms(config.seed, "au-net/augmentation", index, index + 1, DRAWS)[0]
        chance = config.cycle(index // config.batch_size).augmented
        image = augment(image, draws, chance, config.augmentation)
        return _face(self._aligner, image, aus, config.input_size)

    def _draw(self, number: int) -> tuple[Image.Image, Float[np.ndarray, " aus"]]:
        faces, seed = self._config.faces, self._config.seed
        aus = draw_aus(seed, "au-net/train", number, faces.expressions, faces.intensity)
        return render(random_identity(seed=number), aus.tolist(), size=faces.size), aus


class HeldOutFaces(Dataset[Face]):
    """Faces of identities that are never learned, as they are drawn.

    Args:
        config: the training run.
        count: number of faces, counted from the same first one.
    """

    def __init__(self, config: AUNetworkConfig, count: int) -> None:
        self._config = config
        self._count = count
        self._aligner = CenteredAligner(resized_side(config.input_size))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Face:
        config, asked = self._config, self._config.evaluation
        kinds = (ExpressionShare(share=1.0, rate=asked.rate),)
        aus = draw_aus(config.seed, "au-net/held-out", index, kinds, asked.intensity)
        image = render(random_identity(seed=HELD_OUT + index), aus.tolist(), size=config.faces.size)
        return _face(self._aligner, image, aus, config.input_size)


def _face(
    aligner: CenteredAligner, image: Image.Image, aus: Float[np.ndarray, " aus"], input_size: int
) -> Face:
    crop = cast(Image.Image, aligner.align(image).crop)  # the centred aligner always finds a face
    return Face(face_pixels([crop], input_size)[0], torch.from_numpy(aus))
