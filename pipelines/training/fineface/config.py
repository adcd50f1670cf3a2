"""Configuration of a training of the AU adapter."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from pipelines.fineface.adapter import EncoderKind
from pipelines.training.data.config import DataConfig, ProceduralData
from pipelines.training.diffusion.config import (
    AdapterCycle,
    AdapterExport,
    DiffusionSettings,
    FineFaceSheet,
    ReadingConfig,
    check_painted,
    refuse_unlabelled,
)
from synthgen.config.base import Section


class Smoothing(Section):
    """Disturbance of labels, so that the adapter learns intensities between those it sees."""

    variance: float = Field(
        default=0.2,
        ge=0,
        le=25,
        description="Variance of the gaussian that is added to each AU [intensity²], before all "
        "are clipped to [0, 5]; 0: none.",
    )
    rounding: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Chance of a sample that all its AUs are rounded to whole numbers.",
    )


class AUReadingConfig(ReadingConfig):
    """A second loss: AUs, and if wished traits, are read from guessed latents."""

    readers: int = Field(
        default=1,
        ge=1,
        le=16,
        exclude_if=lambda readers: readers == 1,
        description="Readers of AUs, of the seed of `reader` and those that follow it; the mean of "
        "their errors is learned. An adapter that learns from what it paints finds what deceives "
        "one reader; several are deceived by less.",
    )
    traits: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        exclude_if=lambda traits: traits == 0,
        description="Weight, beside the AUs', of the traits that a reader of its own sees in "
        "what is painted: each that the caption tells, and no beard and no glasses where it tells "
        "none. 0: none are read; drawn portraits alone.",
    )


class FineFaceTrainingConfig(DiffusionSettings):
    """A training run of the AU adapter (FineFace, arXiv 2407.20175); defaults are the paper's.

    No AUs are dropped: AUs of 0 ask for a neutral face, and an expressive face under them would
    teach that they may mean anything. The neutral faces of the data serve guidance.
    """

    method: Literal["fineface"] = Field(
        default="fineface",
        exclude_if=lambda method: method == "fineface",
        description="What is trained: fineface, or one of the baselines, each of which has keys of "
        "its own: lora-t, lora-au, dreambooth.",
    )
    cycles: tuple[AdapterCycle, ...] = Field(
        min_length=1,
        description="The steps; a finished training goes on when a cycle is added at the end.",
    )
    base: str = Field(description="Stable Diffusion base: folder, Hub id, or mini.")
    revision: str | None = Field(default=None, description="Revision of the base on the Hub.")
    encoder: EncoderKind = Field(
        default="res_mlp64", description="AU encoder (Table 2); res_mlp64 is the published one."
    )
    rank: int = Field(default=32, ge=1, le=1024, description="Rank of the LoRA.")
    lora_alpha: float | None = Field(
        default=None,
        gt=0,
        le=65536,
        description="Alpha of the LoRA, which counts alpha / rank times; its file tells it. null: "
        "as much as the rank, and not told, as published.",
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Compute what the UNet's blocks hold once more on the way back instead of "
        "keeping it: less memory, a third more time, the same bits.",
    )
    smoothing: Smoothing = Field(default=Smoothing(), description="Disturbance of the labels.")
    drop_caption: float = Field(
        default=0.0, ge=0, le=1, description="Share of empty captions; the paper drops none."
    )
    init: str | None = Field(
        default=None,
        exclude_if=lambda init: init is None,
        description="Adapter to begin from: folder of `synthgen train fineface`, or mini. It may "
        "encode fewer AUs, and its base read text of another width. null: begin from the base.",
    )
    reading: AUReadingConfig | None = Field(
        default=None,
        description="A second loss, of AUs that a small network reads from guessed latents: AUs "
        "are learned from fewer examples; null: the diffusion loss alone, as in the paper.",
    )
    compile: Annotated[bool, Field(description="Not offered by this training: false.")] = False
    sheet: FineFaceSheet = Field(default=FineFaceSheet(), description="Sample sheets.")
    export: AdapterExport = Field(default=AdapterExport(), description="What is written.")

    @field_validator("compile")
    @classmethod
    def _uncompiled(cls, value: bool) -> bool:
        if value:
            raise ValueError(
                "the FineFace training does not compile, since each step brings AU vectors of its "
                "own into the UNet; it must be false"
            )
        return value

    @model_validator(mode="after")
    def _read_where_painted(self) -> "FineFaceTrainingConfig":
        check_painted(self.cycles, self.reading)
        procedural = isinstance(self.data, ProceduralData)
        if self.reading is not None and self.reading.traits and not procedural:
            raise ValueError(
                f"reading.traits is {self.reading.traits:g}, but the traits of data.source "
                f"{self.data.source} are not known; it must be 0"
            )
        drawn = isinstance(self.data, ProceduralData) and self.data.aus == "drawn"
        if drawn and self.export.also == "ckpt":
            raise ValueError(
                "export.also is 'ckpt', but data.aus is 'drawn': a .ckpt file cannot say which AUs "
                "it encodes; it must be null"
            )
        return self

    @field_validator("data")
    @classmethod
    def _labelled(cls, value: DataConfig) -> DataConfig:
        return refuse_unlabelled(value)
