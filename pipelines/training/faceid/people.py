"""People for the FaceID training: its configuration and batches."""

from collections.abc import Iterator
from typing import Annotated, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from pipelines.training.data.config import DatasetData
from pipelines.training.diffusion.config import (
    AdapterCycle,
    AdapterExport,
    AdapterSheet,
    DiffusionSettings,
    ReadingConfig,
    SheetExpressions,
    check_painted,
)
from pipelines.training.diffusion.latents import LatentStore
from synthgen.config.verify import EmbedderConfig


class FaceIdSheet(AdapterSheet):
    """Sample sheets: a column for each held-out person, a row for each expression below them."""

    people: int = Field(default=6, ge=1, le=16, description="Held-out people.")
    prompt: str = Field(default="a portrait of a person", description="Prompt of each image.")
    expressions: SheetExpressions = Field(
        default=({}, {"AU6": 4, "AU12": 4}, {"AU1": 4, "AU2": 4, "AU26": 4}, {"AU4": 4, "AU15": 4}),
        description="AU intensities that are asked for; without `fineface` they show nothing.",
    )


class FaceReadingConfig(ReadingConfig):
    """A second loss: who is shown is read from the latents that the model guesses."""

    aus_weight: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description="What the squared error of AUs [intensity²] counts beside 1 − cosine of the "
        "faces, before both are weighed, so that the face branch leaves expressions alone; needs "
        "`fineface` unless it is 0.",
    )


class FaceIdTrainingConfig(DiffusionSettings):
    """A training run of the face adapter: tokens of an embedding, and K_img and V_img."""

    cycles: tuple[AdapterCycle, ...] = Field(
        min_length=1,
        description="The steps; a finished training goes on when a cycle is added at the end.",
    )
    examples: int | None = Field(
        ge=1,
        description="Examples whose latents and embeddings are made and kept; null: all rows of "
        "the dataset.",
    )
    base: str = Field(description="Stable Diffusion base: folder, Hub id, or mini.")
    revision: str | None = Field(default=None, description="Revision of the base on the Hub.")
    fineface: str | None = Field(
        default=None,
        description="Folder of FineFace files, or mini: an AU adapter that works meanwhile and "
        "does not learn, so that the face branch need not carry expressions; null: none.",
    )
    init: str | None = Field(
        default=None,
        exclude_if=lambda init: init is None,
        description="Face adapter to begin from, of the same base and embedder: a file of "
        "`synthgen train faceid`, or mini. null: begin from the base.",
    )
    embedder: EmbedderConfig = Field(description="What describes the people.")
    tokens: int = Field(default=16, ge=1, le=64, description="Tokens of a face.")
    drop_face: float = Field(
        default=0.1, ge=0, le=1, description="Share of embeddings of 0, for guidance."
    )
    reading: FaceReadingConfig | None = Field(
        default=None,
        description="A second loss, of embeddings that a small network reads from guessed latents: "
        "people are learned from fewer examples; null: the diffusion loss alone, as in "
        "IP-Adapter's paper.",
    )
    compile: Annotated[bool, Field(description="Not offered by this training: false.")] = False
    sheet: FaceIdSheet = Field(default=FaceIdSheet(), description="Sample sheets.")
    export: AdapterExport = Field(default=AdapterExport(), description="What is written.")

    @field_validator("compile")
    @classmethod
    def _uncompiled(cls, value: bool) -> bool:
        if value:
            raise ValueError("the FaceID training does not compile; it must be false")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "FaceIdTrainingConfig":
        if self.export.also is not None:
            raise ValueError(f"export.also is {self.export.also!r}; face adapters have null alone")
        if self.fineface and isinstance(self.data, DatasetData) and self.data.aus is None:
            raise ValueError("data.aus is null, but the AU adapter of fineface needs AUs")
        if self.reading and self.reading.aus_weight and self.fineface is None:
            raise ValueError(
                f"reading.aus_weight is {self.reading.aus_weight:g}, but fineface is null: nothing "
                "tells the model which AUs; it must be 0"
            )
        check_painted(self.cycles, self.reading)
        return self


class PeopleBatch(NamedTuple):
    """Examples as a diffusion model with a face branch sees them.

    Attributes:
        latents: scaled, float32 [B, c, h, w].
        input_ids: tokens of the captions, int64 [B, L].
        aus: AU intensities [0–5], float32 [B, aus]; NaN where the data have none.
        faces: L2-normalised embeddings, float32 [B, 512]; zeros where no face was found.
    """

    latents: Float[Tensor, "B c h w"]
    input_ids: Int[Tensor, "B L"]
    aus: Float[Tensor, "B aus"]
    faces: Float[Tensor, "B 512"]


def people_batches(
    store: LatentStore, embeddings: Float32[np.ndarray, "examples 512"], first: int, last: int
) -> Iterator[PeopleBatch]:
    """Yield the batches of steps `first` to `last`, each sample with its own person."""
    for step, batch in zip(range(first, last), store.batches(first, last), strict=True):
        yield PeopleBatch(*batch, torch.from_numpy(embeddings[store.rows(step)]))
