"""Sections of the identity sources `prompts` and `faceid`."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from synthgen.config.base import Section
from synthgen.config.identities.base import IdentitySection, absolute_store
from synthgen.config.quotas import Share, refuse_many, rest_of
from synthgen.foreign import listed


class PromptIdentitiesConfig(IdentitySection):
    """Identities from a prompt template; an identity is a tuple of slot values and a seed."""

    source: Literal["prompts"]  # pyright: ignore[reportIncompatibleVariableOverride]
    quotas: dict[str, dict[str, Share]] = Field(
        default={},
        description="Slot → value → share of the identities, held in every split; what is left "
        "goes to the slot's other values.",
    )

    @model_validator(mode="after")
    def _quotas_match_slots(self) -> "PromptIdentitiesConfig":
        refuse_many([len(shares) for shares in self.quotas.values()])
        for name, shares in self.quotas.items():
            if name not in self.slots:
                raise ValueError(
                    f"quotas name the slot {name!r}; there are {', '.join(self.slots) or 'none'}"
                )
            known_values = set(self.slots[name])
            for value in shares:
                if value not in known_values:
                    known = listed(self.slots[name])
                    raise ValueError(f"quotas.{name} has the value {value!r}; there are {known}")
            others = len(shares) < len(self.slots[name])
            rest_of(f"quotas.{name}", shares.values(), possible=others)
        return self


DEFAULT_DISTANCE = 0.7
"""Cosine distance at which two embeddings are commonly taken for two people (similarity 0.3)."""

DEFAULT_SHRINKAGE = 0.1
"""Share of a round covariance in that of a store, so that a small one has a use, too."""


class SyntheticPeopleConfig(Section):
    """New people, drawn from the statistics of a store."""

    min_distance: float = Field(
        default=DEFAULT_DISTANCE,
        gt=0,
        le=1,
        description="Smallest cosine distance (0, 1] of a new person to everyone in the store and "
        "to every other new person.",
    )
    shrinkage: float = Field(
        default=DEFAULT_SHRINKAGE,
        gt=0,
        le=1,
        description="How far the store's covariance is drawn towards a round one (0, 1]: more for "
        "a small store.",
    )


class FaceIdIdentitiesConfig(IdentitySection):
    """Identities from a store of face embeddings; the prompt gives scene and clothes."""

    gives: ClassVar[frozenset[str]] = frozenset({"faceid"})

    source: Literal["faceid"]  # pyright: ignore[reportIncompatibleVariableOverride]
    store: str = Field(
        min_length=1,
        description="File of embeddings (.parquet, .safetensors, .npy, .npz), or folder of a "
        "dataset; 'mini': 200 drawn people, for the embedded weights.",
    )
    column: str | None = Field(
        default=None,
        description="Column, tensor or array of the embeddings; null: one of a usual name.",
    )
    people: str | None = Field(
        default=None,
        min_length=1,
        exclude_if=lambda asked: asked is None,
        description="Column of the store that names people, where it is not clear; of file names: "
        "the folder of each file; null: one of a known name.",
    )
    one_face_each: bool = Field(
        default=False,
        exclude_if=lambda asked: not asked,
        description="Each row of the store shows another person, whatever other columns say.",
    )
    embedder: str | None = Field(
        default=None,
        description="Fingerprint of the recogniser that made the embeddings, for a store that "
        "does not carry it.",
    )
    template: str = Field(
        default="a portrait photo of a person",
        min_length=1,
        description="Prompt with slots in braces, as in 'a person {place}'; the values are drawn "
        "for each identity.",
    )
    synthetic: SyntheticPeopleConfig | None = Field(
        default=None,
        description="Show new people, drawn from the store's statistics, instead of its own.",
    )

    @model_validator(mode="after")
    def _people_are_said_once(self) -> Self:
        if self.people is not None and self.one_face_each:
            raise ValueError(
                f"people names the column {self.people!r}, and one_face_each says that each row "
                "shows another person; give one of both"
            )
        if self.people is not None and self.people.endswith((".txt", ".npy")):
            raise ValueError(
                f"people names the list {self.people!r}, which would not travel with the store; "
                f"make a store of both first: synthgen faces import {self.store} --people "
                f"{self.people} --to faces.parquet"
            )
        return self

    def with_absolute_store(self) -> Self:
        """Return the section with a path of the store that does not depend on the folder."""
        return self.model_copy(update={"store": absolute_store(self.store)})
