"""Configurations of the trainings of Arc2Face and of its adapters."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from pipelines.training.data.config import ProceduralData
from pipelines.training.diffusion.config import (
    AdapterCycle,
    AdapterSheet,
    DiffusionSettings,
    ReadingConfig,
    SheetExpressions,
    WeightsExport,
    check_painted,
)
from pipelines.training.diffusion.people import Portrait
from pipelines.training.settings import Cycle
from synthgen.config.base import Section
from synthgen.config.verify import EmbedderConfig

_Share = Annotated[float, Field(ge=0, le=1)]


class PeopleSheet(AdapterSheet):
    """Sample sheets: held-out people, a column each; below their portraits what is painted."""

    people: int = Field(default=6, ge=1, le=16, description="Held-out people.")
    guidance_scale: float = Field(default=3.0, ge=0, description="Guidance scale.")


class ExpressionSheet(PeopleSheet):
    """Sample sheets: below the portraits a row of all people for each expression."""

    expressions: SheetExpressions = Field(
        default=({}, {"AU6": 4, "AU12": 4}, {"AU1": 4, "AU2": 4, "AU26": 4}, {"AU4": 4, "AU15": 4}),
        description="AU intensities that are asked for.",
    )


class PeopleSettings(DiffusionSettings):
    """Settings that the trainings of Arc2Face and of its adapters share."""

    cycles: tuple[AdapterCycle, ...] = Field(
        min_length=1,
        description="The steps; a finished training goes on when a cycle is added at the end.",
    )
    examples: int | None = Field(
        ge=1,
        description="Examples whose latents and embeddings are made and kept; null: all rows of "
        "the dataset.",
    )
    base: str = Field(
        description="Stable Diffusion base, with text at least 512 wide and a tokenizer that keeps "
        "'id' whole: folder or Hub id."
    )
    revision: str | None = Field(default=None, description="Revision of the base on the Hub.")
    embedder: EmbedderConfig = Field(description="What describes the people.")
    portrait: Portrait = Field(
        default="another",
        description="Picture of a drawn person whose embedding is told: another one, in other "
        "pose, light, clothes and expression; the example's own with another expression; or the "
        "same. Of a dataset's row it is the row's own.",
    )
    drop_caption: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of empty prompts, which tell nobody, for guidance.",
    )
    compile: Annotated[bool, Field(description="Not offered by this training: false.")] = False
    sheet: PeopleSheet = Field(default=PeopleSheet(), description="Sample sheets.")
    export: WeightsExport = Field(default=WeightsExport(), description="What is written.")

    @field_validator("compile")
    @classmethod
    def _uncompiled(cls, value: bool) -> bool:
        if value:
            raise ValueError("the trainings of Arc2Face do not compile; it must be false")
        return value


class AdapterSettings(PeopleSettings):
    """Settings that the trainings of both adapters share: beside Arc2Face, which does not learn."""

    data: ProceduralData = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        description="What is learned from: drawn people, whose expressions are known."
    )
    arc2face: str = Field(
        description="Arc2Face's UNet and text encoder (arc2face/, encoder/): folder, as `synthgen "
        "train arc2face` makes it, or Hub id."
    )
    arc2face_revision: str | None = Field(default=None, description="Its revision on the Hub.")
    sheet: ExpressionSheet = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default=ExpressionSheet(), description="Sample sheets."
    )

    @field_validator("data", mode="before")
    @classmethod
    def _drawn(cls, value: object) -> object:
        if isinstance(value, Mapping) and (source := value.get("source")) == "dataset":
            raise ValueError(
                f"source is {source!r}; the adapters learn from drawn people, whose expressions "
                "are known: it must be 'procedural'"
            )
        return value


class ExpressionTrainingConfig(AdapterSettings):
    """A training run of the Expression Adapter (arXiv 2510.04706): an IP-Adapter of 55 numbers."""

    tokens: int = Field(default=4, ge=1, le=64, description="Tokens of an expression.")
    inner: int = Field(
        default=8, ge=1, le=64, description="Width of the inner layer, in widths of 55 numbers."
    )
    drop_expression: float = Field(
        default=0.05, ge=0, le=1, description="Share of expressions of zeros, which show none."
    )
    drop_caption: float = Field(
        default=0.05, ge=0, le=1, description="Share of empty prompts beside an expression."
    )
    drop_both: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Share of empty prompts beside zeros: what guidance steers away from.",
    )
    reading: ReadingConfig | None = Field(
        default=None,
        description="A second loss, of the numbers that a small network reads from guessed "
        "latents: expressions are learned from fewer examples; null: the diffusion loss alone.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "ExpressionTrainingConfig":
        check_painted(self.cycles, self.reading)
        if (dropped := self.drop_expression + self.drop_caption + self.drop_both) > 1:
            raise ValueError(
                f"drop_expression, drop_caption and drop_both add up to {dropped:g}; they must to "
                "at most 1"
            )
        return self


class Differing(Section):
    """Chances that a reference differs from its example in more than the expression."""

    pose: _Share = Field(default=0.0, description="Chance of another pose and gaze [0, 1].")
    light: _Share = Field(default=0.0, description="Chance of another light [0, 1].")
    clothes: _Share = Field(default=0.0, description="Chance of other clothes [0, 1].")
    background: _Share = Field(default=0.0, description="Chance of another background [0, 1].")


class ReferenceTrainingConfig(AdapterSettings):
    """A training run of the Reference Adapter (arXiv 2510.04706): a LoRA that looks at a picture.

    Each example has a reference: the same person in the same picture, with another expression.
    """

    cycles: tuple[Cycle, ...] = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        min_length=1,
        description="The steps; a finished training goes on when a cycle is added at the end.",
    )
    expression: str | None = Field(
        default=None,
        description="Expression Adapter that tells the expressions meanwhile and does not learn: "
        "folder, as `synthgen train expression` makes it, or Hub id; null: nothing tells them.",
    )
    expression_revision: str | None = Field(default=None, description="Its revision on the Hub.")
    rank: int = Field(default=32, ge=1, le=1024, description="Rank of the LoRA.")
    differs: Differing = Field(
        default=Differing(), description="What else of a reference is another; by default nothing."
    )
    drop_caption: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of examples that are told nobody, no expression and no reference: what "
        "guidance steers away from.",
    )


class Arc2FaceTrainingConfig(PeopleSettings):
    """A training run of Arc2Face (arXiv 2403.11641): people in the place of a word.

    Captions are not read: the prompt is "photo of a id person", or empty.
    """

    learns: Literal["both", "unet", "encoder"] = Field(
        default="both",
        description="What learns: UNet and text encoder, as in the published model, or one alone.",
    )
    reading: ReadingConfig | None = Field(
        default=None,
        description="A second loss, of embeddings that a small network reads from guessed latents: "
        "people are learned from fewer examples; null: the diffusion loss alone, as in the paper.",
    )

    @model_validator(mode="after")
    def _read_where_painted(self) -> "Arc2FaceTrainingConfig":
        check_painted(self.cycles, self.reading)
        return self
