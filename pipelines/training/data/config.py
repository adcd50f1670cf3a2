"""Sections of the data that a training learns from."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipelines.procedural.drawn_aus import SIDED_AUS
from samplers.priors.labels.scales import Scale
from synthgen.config.base import Section
from synthgen.config.priors import IntensityRange


class BatchAugmentation(Section):
    """Augmentation of a portrait before it is learned; strengths are drawn from 0 to the bounds."""

    chance: float = Field(default=0.35, ge=0, le=1, description="Chance of each change [0, 1].")
    shift: float = Field(
        default=0.04, ge=0, le=0.2, description="Shift [share of the image's side]."
    )
    scale: float = Field(default=0.04, ge=0, le=0.5, description="Relative change of size.")
    rotation: float = Field(
        default=0.05, ge=0, le=1, description="Rotation in the image plane [radians]."
    )
    soften: float = Field(
        default=0.7, ge=0, le=1, description="Share of the image that a 5×5 mean may replace."
    )
    gamma: float = Field(default=0.25, ge=0, lt=1, description="Change of gamma, as a logarithm.")
    tint: float = Field(default=0.06, ge=0, lt=1, description="Relative change of each colour.")
    noise: float = Field(
        default=0.03,
        ge=0,
        le=1,
        description="Gaussian noise, standard deviation [share of full scale].",
    )
    erase: float = Field(
        default=0.2, ge=0, le=0.5, description="Side of an erased square [share of the side]."
    )


class ExpressionShare(Section):
    """A share of the faces, and which of the 12 AUs are active in them."""

    share: float = Field(gt=0, le=1, description="Share of the faces [0, 1].")
    rate: Annotated[float, Field(ge=0, le=1)] | Literal["emotions"] = Field(
        description="Chance of each AU to be active [0, 1], whatever the others do; 'emotions': "
        "the prototype and the variants of an emotion category, all categories alike."
    )


class ExpressiveFaces(Section):
    """Drawn faces, and which expressions they show."""

    expressions: tuple[ExpressionShare, ...] = Field(
        min_length=1, description="Kinds of expressions; their shares must add up to 1."
    )
    intensity: IntensityRange = Field(
        default=IntensityRange(low=0.25, high=5.0),
        description="Range of the intensity of an active AU, within [0, 5].",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "ExpressiveFaces":
        if abs((total := sum(kind.share for kind in self.expressions)) - 1) > 1e-6:
            raise ValueError(f"the shares of expressions add up to {total:g}; they must to 1")
        if outside := self.intensity.outside():
            raise ValueError(f"intensity {outside[0]:g} is outside [0, 5]")
        return self


class LabelledFaces(ExpressiveFaces):
    """Drawn faces by an edition of the drawings, and the AUs that they are labelled with."""

    edition: Literal[1, 2] = Field(
        default=1,
        exclude_if=lambda edition: edition == 1,
        description="Edition of the drawings; the embedded weights know the first.",
    )
    aus: Literal["disfa", "drawn"] = Field(
        default="disfa",
        exclude_if=lambda aus: aus == "disfa",
        description="AUs that are drawn and learned: the 12 of DISFA, or the 18 that the second "
        "edition draws.",
    )
    even: float = Field(
        default=0.0,
        ge=0,
        le=1,
        exclude_if=lambda even: even == 0,
        description="Share of the people whose traits are drawn evenly, each by itself [0, 1], "
        "beards for men alone; the others' go together as drawn people's do.",
    )

    @model_validator(mode="after")
    def _drawn_by_its_edition(self) -> "LabelledFaces":
        if self.aus == "drawn" and self.edition == 1:
            raise ValueError("aus is 'drawn', but edition 1 draws the 12 of DISFA; set edition: 2")
        return self


class SidedFaces(LabelledFaces):
    """Drawn faces, a share of which shows another expression on the left than on the right."""

    one_sided: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the faces whose sides differ: of each active AU that a half face can "
        "show one side is weaker or at rest [0, 1]. It takes aus: drawn.",
    )

    @property
    def sided(self) -> tuple[str, ...]:
        """AUs whose sides are labelled apart: of the second edition's AUs."""
        return SIDED_AUS if self.aus == "drawn" else ()

    @model_validator(mode="after")
    def _has_sides(self) -> "SidedFaces":
        if self.one_sided and not self.sided:
            raise ValueError(
                f"one_sided is {self.one_sided:g}, but the 12 AUs of DISFA are learned without "
                "sides; set aus: drawn and edition: 2"
            )
        return self


class ProceduralData(SidedFaces):
    """Portraits drawn for the training, each of an identity that no other shows.

    Where the sides of a face differ, its AUs are their mean.
    """

    one_sided: float = Field(
        default=0.0,
        ge=0,
        le=1,
        exclude_if=lambda one_sided: one_sided == 0,
        description="Share of the faces whose sides differ, as in trainings of AU networks [0, 1]. "
        "It takes aus: drawn.",
    )
    source: Literal["procedural"]
    size: int = Field(
        default=128, ge=64, le=1024, multiple_of=8, description="Side of an image [pixels]."
    )
    expression_words: float = Field(
        default=0.0, ge=0, le=1, description="Share of the captions that describe the expression."
    )


class DatasetData(Section):
    """Rows of a Hugging Face dataset: a folder that `load_dataset` reads, or a Hub id."""

    source: Literal["dataset"]
    path: str = Field(
        min_length=1,
        description="Folder that synthgen generated, that save_to_disk wrote, or of data files; or "
        "a Hub id.",
    )
    name: str | None = Field(default=None, description="Configuration of the dataset.")
    split: str = Field(default="train", description="Split to learn from.")
    held_out: str | None = Field(
        default=None,
        description="Split that sheets show and cards measure; null: rows of `split`, which were "
        "learned from.",
    )
    size: int = Field(
        default=512,
        ge=32,
        le=2048,
        multiple_of=8,
        description="Side [pixels]; images are scaled to it and cropped in the middle.",
    )
    image: str = Field(default="image", description="Column of the images.")
    caption: str | None = Field(
        default="prompt", description="Column of the captions; null: all are empty."
    )
    aus: str | None = Field(
        default="aus",
        description="Column of the AU intensities [0–5], 12 numbers a row in DISFA's order; or "
        "the name of 12 columns with {au} in the place of AU1, AU2, …; null: there are none.",
    )
    scale: Scale | None = Field(
        default=None,
        exclude_if=lambda scale: scale is None,
        description="Scale of the AUs: from 0 to 5, 1 or 100; null: found from the values, and "
        "told. Occurrences, 0 and 1, train no intensities.",
    )


DataConfig = Annotated[ProceduralData | DatasetData, Field(discriminator="source")]

WORDS = {"expression_words", "caption"}
"""Keys that captions alone are a function of, not images."""
