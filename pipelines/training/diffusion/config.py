"""What the configurations of trainings beside a diffusion model have in common."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipelines.training.data.config import DataConfig
from pipelines.training.loop.settings import Cycle, TrainingSettings
from synthgen.action_units import au_vector
from synthgen.config.base import Section


class NoiseSettings(Section):
    """Noise levels that are learned, and how much each counts."""

    timesteps: Literal["uniform", "middle"] = Field(
        default="uniform",
        description="How timesteps are drawn: all alike, or more often from the middle, where "
        "expressions form (logit-normal, standard deviation 1.5).",
    )
    min_snr: float | None = Field(
        default=None,
        gt=0,
        description="γ of the min-SNR weighting (Hang et al. 2023); null: all alike.",
    )


class DiffusionSettings(TrainingSettings):
    """How a model is learned from latents, by the diffusion loss."""

    data: DataConfig = Field(description="What is learned from.")
    examples: int | None = Field(
        ge=1,
        description="Examples whose latents are made and kept; null: all rows of the dataset.",
    )
    latents: str | None = Field(
        default=None,
        description="Folder of the latents, which several trainings on the same data may share; "
        "null: in the folder of the training.",
    )
    drop_caption: float = Field(
        default=0.1, ge=0, le=1, description="Share of empty captions, for guidance."
    )
    noise: NoiseSettings = Field(default=NoiseSettings(), description="Noise levels.")
    attention: Literal["sdpa", "explicit"] = Field(
        default="sdpa",
        description="How attention is computed; small maps learn faster explicitly on a CPU.",
    )


class AdapterCycle(Cycle):
    """Steps of an adapter, in which it may learn from what it paints.

    As in FineFace's paper, the learning rate stays what it is.
    """

    warmup: float = Field(default=0.0, ge=0, le=1, description="Share of the steps that warm up.")
    schedule: Literal["cosine", "constant"] = Field(
        default="constant", description="What the learning rate does after the warm-up."
    )
    painted: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description="Weight of what is read from images that the model paints from noise itself, "
        "without guidance; needs `reading`. Such a step takes three times as long.",
    )
    painting_steps: int = Field(
        default=10, ge=2, le=1000, description="Steps in which it would paint them whole."
    )


class AdapterExport(Section):
    """How the trained adapter is written."""

    dtype: Literal["float16", "float32"] = Field(
        default="float16", description="Number format of the files."
    )
    also: Literal["ckpt"] | None = Field(
        default=None,
        description="ckpt: write the published names' `.ckpt` files too, for the published code.",
    )


def _known(expressions: tuple[dict[str, float], ...]) -> tuple[dict[str, float], ...]:
    for expression in expressions:
        au_vector(expression)
    return expressions


SheetExpressions = Annotated[
    tuple[dict[str, float], ...], Field(min_length=1, max_length=64), AfterValidator(_known)
]
"""AU intensities of the rows of a sheet."""


class AdapterSheet(Section):
    """How the images of sample sheets are painted."""

    num_inference_steps: int = Field(default=12, ge=1, le=1000, description="Denoising steps.")
    guidance_scale: float = Field(default=5.0, ge=0, description="Guidance scale.")
