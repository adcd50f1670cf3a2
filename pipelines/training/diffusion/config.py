"""Sections that the diffusion trainings share."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipelines.training.data.config import DataConfig, DatasetData
from pipelines.training.settings import Cycle, TrainingSettings
from synthgen.action_units import au_vector
from synthgen.config.aus_in_use import AuMapping
from synthgen.config.base import Section

TEXT, TOKENIZER, IMAGE = "text_encoder", "tokenizer", "image_encoder"
PROCESSOR = "feature_extractor"
"""Folders of a base."""

MODEL_WEIGHTS = "diffusion_pytorch_model.safetensors"
"""Weights of a VAE or a UNet."""

ENCODER_WEIGHTS = "model.safetensors"
"""Weights of a text or image encoder."""


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
    """Settings of learning from latents, by the diffusion loss."""

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
    """Steps of an adapter, in which it may learn from what it generates.

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
        description="Weight of what is read from images that the model itself generates from "
        "noise, without guidance; needs `reading`. Such a step takes three times as long.",
    )
    painting_steps: int = Field(
        default=10, ge=2, le=1000, description="Steps in which it would generate them whole."
    )


class WeightsExport(Section):
    """Form in which what was trained is written."""

    dtype: Literal["float16", "float32"] = Field(
        default="float16", description="Number format of the files."
    )


class AdapterExport(WeightsExport):
    """Form in which the trained adapter is written."""

    also: Literal["ckpt"] | None = Field(
        default=None,
        description="ckpt: write the published names' `.ckpt` files too, for the published code.",
    )


def _known(expressions: tuple[dict[str, float], ...]) -> tuple[dict[str, float], ...]:
    for expression in expressions:
        au_vector(expression)
    return expressions


SheetExpressions = Annotated[
    tuple[AuMapping[float], ...], Field(min_length=1, max_length=64), AfterValidator(_known)
]
"""AU intensities of the rows of a sheet."""


class AdapterSheet(Section):
    """Settings of the images of sample sheets."""

    num_inference_steps: int = Field(default=12, ge=1, le=1000, description="Denoising steps.")
    guidance_scale: float = Field(default=5.0, ge=0, description="Guidance scale.")


class FineFaceSheet(AdapterSheet):
    """Sample sheets: a column for each prompt, a row for each expression."""

    prompts: tuple[str, ...] = Field(
        default=(
            "a portrait of a young woman with brown hair and light skin",
            "a portrait of an old man with gray hair and pale skin",
            "a closeup of a middle-aged man with black hair and dark skin",
            "a photo of a middle-aged woman with red hair wearing glasses",
        ),
        min_length=1,
        max_length=16,
        description="Prompts, a column each.",
    )
    expressions: SheetExpressions = Field(
        default=(
            {},
            {"AU1": 4, "AU2": 4},
            {"AU4": 4},
            {"AU9": 4},
            {"AU6": 4, "AU12": 4},
            {"AU15": 4, "AU17": 4},
            {"AU20": 4, "AU25": 3},
            {"AU5": 4, "AU25": 4, "AU26": 4},
        ),
        description="AU intensities that are asked for.",
    )


def refuse_unlabelled(data: DataConfig) -> DataConfig:
    """Return data whose AUs are told.

    Raises:
        ValueError: if they are not.
    """
    if isinstance(data, DatasetData) and data.aus is None:
        raise ValueError("aus is null; this training learns from AUs: name their column")
    return data


_Channels = Annotated[int, Field(ge=8, le=4096, multiple_of=8)]


class ReaderConfig(TrainingSettings):
    """Settings of the reader, learned from the adapter's latents and their labels."""

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
    """A second loss: the latents that the model guesses are read."""

    weight: float = Field(gt=0, le=1000, description="Weight beside the diffusion loss.")
    reader: ReaderConfig = Field(description="The network that reads.")


def check_painted(cycles: Sequence[AdapterCycle], reading: ReadingConfig | None) -> None:
    """Refuse cycles that learn from what the model generates where nothing reads it.

    Raises:
        ValueError: with the first of them.
    """
    for number, cycle in enumerate(cycles):
        if cycle.painted and reading is None:
            raise ValueError(
                f"cycles.{number}.painted is {cycle.painted:g}, but reading is null: what is "
                "painted is learned from by being read"
            )
