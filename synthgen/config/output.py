"""Section `output`: where the dataset goes and how it is cut."""

from fractions import Fraction
from typing import Literal

from pydantic import Field, field_validator

from synthgen.config.base import Section

SPLIT_GRAIN = 1000
"""Shares of splits are multiples of 1/1000, so that identities go to splits by a fixed pattern."""

DEFAULT_SPLITS = {"train": 0.8, "validation": 0.1, "test": 0.1}


class OutputConfig(Section):
    """Where the dataset goes, and how it is cut into shards and splits."""

    path: str = Field(
        min_length=1, description="Folder or fsspec URL of the dataset; not part of its identity."
    )
    shard_size: int = Field(
        default=500,
        ge=1,
        le=100_000,
        description="Samples a shard [1, 100000]: unit of work and of commit.",
    )
    image_format: Literal["png", "jpeg", "webp"] = Field(
        default="png",
        description="Encoding of the images; jpeg and webp are written at quality 95.",
    )
    ids: Literal["run", "plain"] = Field(
        default="run",
        exclude_if=lambda ids: ids == "plain",
        description="Names of samples and identities: 'run', with a short name of the run, so that "
        "joined datasets keep them apart; 'plain', numbers alone, as earlier versions wrote them.",
    )
    splits: dict[str, float] = Field(
        default=DEFAULT_SPLITS,
        description="Share of identities of each split (0, 1], in steps of 0.001; the sum is 1.",
    )

    @field_validator("path")
    @classmethod
    def _can_be_written(cls, path: str) -> str:
        if path.startswith("hf://"):
            raise ValueError(
                f"{path} cannot be written shard by shard; choose a folder, s3:// or gs://, and "
                "push the finished dataset to the Hub"
            )
        return path

    @field_validator("splits")
    @classmethod
    def _shares_add_up(cls, splits: dict[str, float]) -> dict[str, float]:
        for name, share in splits.items():
            # `datasets` keeps the name "all" for all splits together.
            if not name.isidentifier() or name == "all":
                raise ValueError(f"split name {name!r} must be a plain word other than 'all'")
            on_grain = abs(share * SPLIT_GRAIN - round(share * SPLIT_GRAIN)) < 1e-6
            if not 0 < share <= 1 or not on_grain:
                raise ValueError(
                    f"share of {name} is {share}; allowed: 0.001 to 1 in steps of 0.001"
                )
        if abs(sum(splits.values()) - 1) > 1e-6:
            raise ValueError(
                f"the shares add up to {sum(splits.values()):g}; they must add up to 1"
            )
        return splits

    def split_shares(self) -> dict[str, Fraction]:
        """Return the share of each split as an exact fraction, in the order of the file."""
        return {
            name: Fraction(round(share * SPLIT_GRAIN), SPLIT_GRAIN)
            for name, share in self.splits.items()
        }
