"""Section `data` of a training: where images, captions and AUs come from."""

from typing import Annotated, Literal

from pydantic import Field

from pipelines.training.data.expression_config import ExpressiveFaces
from synthgen.config.base import Section
from synthgen.config.priors.sections import LabelScale


class ProceduralData(ExpressiveFaces):
    """Portraits drawn for the training, each of an identity that no other shows."""

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
    scale: LabelScale | None = Field(
        default=None,
        exclude_if=lambda scale: scale is None,
        description="Scale of the AUs: from 0 to 5, 1 or 100; null: found from the values, and "
        "told. Occurrences, 0 and 1, train no intensities.",
    )


DataConfig = Annotated[ProceduralData | DatasetData, Field(discriminator="source")]

WORDS = {"expression_words", "caption"}
"""Keys that captions alone are a function of, not images."""
