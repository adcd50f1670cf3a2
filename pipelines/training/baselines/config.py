"""Configurations of the trainings of baselines."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from pipelines.baselines.words import LEAST_SHOWN
from pipelines.training.data.config import DataConfig, ProceduralData
from pipelines.training.diffusion.config import (
    DiffusionSettings,
    FineFaceSheet,
    WeightsExport,
    refuse_unlabelled,
)
from pipelines.training.settings import Cycle
from synthgen.action_units import MAX_INTENSITY
from synthgen.config.base import Section


class BaselineCycle(Cycle):
    """Steps of a baseline; as in FineFace's training, the learning rate stays what it is."""

    warmup: float = Field(default=0.0, ge=0, le=1, description="Share of the steps that warm up.")
    schedule: Literal["cosine", "constant"] = Field(
        default="constant", description="What the learning rate does after the warm-up."
    )


class BaselineSettings(DiffusionSettings):
    """Settings that the trainings of baselines share."""

    cycles: tuple[BaselineCycle, ...] = Field(
        min_length=1,
        description="The steps; a finished training goes on when a cycle is added at the end.",
    )
    base: str = Field(description="Stable Diffusion base: folder, Hub id, or mini.")
    revision: str | None = Field(default=None, description="Revision of the base on the Hub.")
    gradient_checkpointing: bool = Field(
        default=False,
        description="Compute what the UNet's blocks hold once more on the way back instead of "
        "keeping it: less memory, a third more time.",
    )
    compile: Annotated[bool, Field(description="Not offered by this training: false.")] = False
    sheet: FineFaceSheet = Field(default=FineFaceSheet(), description="Sample sheets.")
    export: WeightsExport = Field(default=WeightsExport(), description="What is written.")

    @field_validator("compile")
    @classmethod
    def _uncompiled(cls, value: bool) -> bool:
        if value:
            raise ValueError("the trainings of baselines do not compile; it must be false")
        return value

    @field_validator("data")
    @classmethod
    def _labelled(cls, value: DataConfig) -> DataConfig:
        if isinstance(value, ProceduralData) and value.expression_words:
            raise ValueError(
                f"expression_words is {value.expression_words:g}; the method alone says what is "
                "told of the expression: it must be 0"
            )
        return refuse_unlabelled(value)


class LoraSettings(BaselineSettings):
    """Settings of LoRAs on every attention layer."""

    rank: int = Field(default=32, ge=1, le=1024, description="Rank of a LoRA.")
    lora_alpha: float | None = Field(
        default=None,
        gt=0,
        le=65536,
        description="Alpha of a LoRA, which counts alpha / rank times; null: as much as the rank.",
    )

    @property
    def alpha(self) -> float:
        """Alpha, as a number."""
        return float(self.rank) if self.lora_alpha is None else self.lora_alpha


class LoraTextConfig(LoraSettings):
    """A training of LoRA-T: one LoRA, whose captions tell the AUs in words."""

    method: Literal["lora-t"] = Field(description="What is trained.")


class LoraAUConfig(LoraSettings):
    """A training of LoRA-AU: a LoRA for each AU, in turn, step by step.

    Each learns from examples that show its AU, and counts there as much as the AU's intensity, as a
    share of 5; captions tell nothing of the expression.
    """

    method: Literal["lora-au"] = Field(description="What is trained.")
    shown_from: float = Field(
        default=LEAST_SHOWN,
        gt=0,
        le=MAX_INTENSITY,
        description="Intensity (0, 5] from which an example shows an AU.",
    )


class PriorSettings(Section):
    """Images of the unedited base, which the model is held to (prior preservation)."""

    weight: float = Field(
        default=1.0, gt=0, le=1000, description="Weight of their loss beside that of the data."
    )
    images: int = Field(
        default=200, ge=1, le=10**6, description="Images, generated once before the first step."
    )
    prompts: tuple[str, ...] = Field(
        default=("a portrait of a man", "a portrait of a woman"),
        min_length=1,
        max_length=1000,
        description="Prompts of the class, in turn; they tell no AUs.",
    )
    num_inference_steps: int = Field(default=25, ge=1, le=1000, description="Denoising steps.")
    guidance_scale: float = Field(default=5.0, ge=0, description="Guidance scale.")


class DreamBoothConfig(BaselineSettings):
    """A training of DreamBooth (Ruiz et al. 2023): the whole UNet, with prior preservation."""

    method: Literal["dreambooth"] = Field(description="What is trained.")
    prior: PriorSettings = Field(
        default=PriorSettings(), description="Images of the unedited base."
    )
