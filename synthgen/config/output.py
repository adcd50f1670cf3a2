"""Sections `output` and `cluster`: where the dataset goes, and on which machines it is made."""

import re
import unicodedata
from collections.abc import Iterable
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from synthgen.config.base import Section
from synthgen.foreign import excerpt, shown
from synthgen.redaction import secret_in, secret_sentence

WRITTEN = frozenset({"file", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"})
"""Protocols of the stores where a file appears whole or not at all; no other can be written."""

_LONGEST_PATH = 4096
"""Characters of a folder or a URL: no system takes more; each has narrower bounds of its own."""

SPLIT_GRAIN = 1000
"""Shares of splits are multiples of 1/1000, so that identities go to splits by a fixed pattern."""

LONGEST_SPLIT = 64
"""Bytes of a split's name: files are named after it."""

DEFAULT_SPLITS = {"train": 0.8, "validation": 0.1, "test": 0.1}


def protocol_of(path: str) -> str:
    """Return the protocol of a URL, the outermost of several; `file` of a folder."""
    found = re.match(r"(data):|(.*?)(?:::|://)", path)
    return (found[1] or found[2]) if found else "file"


def place_fault(path: str) -> str | None:
    """Say why a text can be no folder and no URL of a dataset; None if it can."""
    if not path.isprintable():
        odd = next(c for c in path if not c.isprintable())
        return f"{excerpt(path)} holds the character U+{ord(odd):04X}, which no path here may hold"
    if path.strip() != path:
        return f"{path!r} begins or ends with a blank; leave it out"
    if len(path) > _LONGEST_PATH:
        return (
            f"{excerpt(path, 80)} is {len(path)} characters long; a folder or a URL has at most "
            f"{_LONGEST_PATH}"
        )
    return None


class OutputConfig(Section):
    """Place of the dataset, and its cut into shards and splits."""

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
        description="Encoding of the images; jpeg (without chroma subsampling) and webp lose a "
        "little, png nothing.",
    )
    quality: int | None = Field(
        default=None,
        ge=1,
        le=100,
        exclude_if=lambda quality: quality is None,
        description="Quality of jpeg and webp [1, 100]; null: 95. webp at 100 loses a little too.",
    )
    mark: Literal["auto"] | bool = Field(
        default="auto",
        description="Write into each image that it is synthetic, and which sample it shows: XMP, "
        "IPTC's DigitalSourceType. 'auto': true; a dataset that was begun without marks goes on "
        "without them.",
    )
    ids: Literal["run", "plain"] = Field(
        default="run",
        exclude_if=lambda ids: ids == "plain",
        description="Names of samples and identities: 'run', with a short name of the run, so that "
        "joined datasets keep them apart; 'plain', numbers alone, as earlier versions wrote them.",
    )
    au_columns: bool = Field(
        default=False,
        exclude_if=lambda wanted: not wanted,
        description="Give each AU of `aus` and `aus_measured` a column of its own too, AU06 and "
        "AU06_measured, for programs that read tables.",
    )
    valence_arousal: bool = Field(
        default=False,
        exclude_if=lambda wanted: not wanted,
        description="Give rows the columns `valence` and `arousal` [−1, 1]: a published place of "
        "the category asked for, by the intensity asked for; null where the source has none.",
    )
    keep_reference: bool = Field(
        default=False,
        exclude_if=lambda wanted: not wanted,
        description="Keep, in each row, the picture that its image was edited from, which may show "
        "somebody real: in the column `reference`, beside its name `reference_id`.",
    )
    splits: dict[str, float] = Field(
        default=DEFAULT_SPLITS,
        description="Share of identities of each split (0, 1], in steps of 0.001; the sum is 1.",
    )

    @field_validator("path")
    @classmethod
    def _can_be_written(cls, path: str) -> str:
        if shown := secret_in(path):
            raise ValueError(secret_sentence("the path", shown))
        if fault := place_fault(path):
            raise ValueError(fault)
        protocol = protocol_of(path)
        if protocol == "hf":
            raise ValueError(
                f"{excerpt(path)} cannot be written shard by shard; choose a folder, s3:// or "
                "gs://, and push the finished dataset to the Hub"
            )
        if protocol not in WRITTEN or "::" in path:
            raise ValueError(
                f"{excerpt(path)} is on no store that a run can write; choose a folder, file://, "
                "s3://, gs://, or Azure's abfs://, where a file appears whole or not at all"
            )
        if protocol == "file" and re.match(r"file://(?!/)", path):
            raise ValueError(
                f"{excerpt(path)} names no folder: file:// wants an absolute path, as in "
                "file:///data/faces"
            )
        return path

    @field_validator("splits")
    @classmethod
    def _shares_add_up(cls, splits: dict[str, float]) -> dict[str, float]:
        _refuse_names(splits)
        for name, share in splits.items():
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

    @model_validator(mode="after")
    def _quality_of_what_loses(self) -> "OutputConfig":
        if self.quality is not None and self.image_format == "png":
            raise ValueError(
                f"quality is {self.quality} and image_format is 'png', which loses nothing; leave "
                "quality out, or set image_format to jpeg or webp"
            )
        return self

    @property
    def marked(self) -> bool:
        """True where images are marked; what `auto` means for a new dataset."""
        return self.mark is not False

    def split_shares(self) -> dict[str, Fraction]:
        """Return the share of each split as an exact fraction, in the order of the file."""
        return {
            name: Fraction(round(share * SPLIT_GRAIN), SPLIT_GRAIN)
            for name, share in self.splits.items()
        }


def _refuse_names(names: Iterable[str]) -> None:
    """Refuse what cannot be a file's name everywhere, or that some file systems take for another.

    Raises:
        ValueError: naming the first.
    """
    seen: dict[str, str] = {}
    for name in names:
        # `datasets` keeps the name "all" for all splits together.
        if not name.isidentifier() or name == "all":
            raise ValueError(f"split name {shown(name)} must be a plain word other than 'all'")
        if len(name.encode()) > LONGEST_SPLIT:
            raise ValueError(
                f"split name {shown(name)} has {len(name.encode())} bytes; files are named after "
                f"it, so at most {LONGEST_SPLIT} are possible"
            )
        if (usual := unicodedata.normalize("NFKC", name)) != name:
            raise ValueError(
                f"split name {shown(name)} can be written in several ways, which file systems "
                f"tell apart or not; write it as {shown(usual)}"
            )
        if (other := seen.setdefault(name.casefold(), name)) != name:
            raise ValueError(
                f"split names {shown(other)} and {shown(name)} differ in case alone, and some file "
                "systems take them for one; give one another name"
            )


class ClusterConfig(Section):
    """On what the run runs."""

    actors: Literal["auto"] | Annotated[int, Field(ge=1, le=100_000)] = Field(
        default="auto", description="Number of actors; 'auto': as many as the cluster has room for."
    )
    gpus_per_actor: Literal["auto"] | Annotated[float, Field(ge=0, le=16)] = Field(
        default="auto",
        description="GPUs an actor takes, fractions allowed; 'auto': 1 where there are any.",
    )
    address: str | None = Field(
        default=None, description="Ray cluster to join, such as 'auto'; null starts a local one."
    )
    max_failures: int = Field(
        default=3,
        ge=1,
        le=100,
        description="Failures of a shard before it is worked sample by sample.",
    )
    mixed_hardware: bool = Field(
        default=False,
        description="Let GPUs of different kinds, or GPUs and CPUs, work on one run; their bits "
        "differ, and the card says so. Without it, other kinds than the first get no work.",
    )
    speculate: bool = Field(
        default=True,
        description="Work a straggling shard a second time elsewhere once no other is left.",
    )
    verify_timeout: float = Field(
        default=600.0,
        ge=0.1,
        le=86_400,
        description="Longest measuring of one batch; beyond it the actor is replaced and its "
        "shards are worked again [s].",
    )
    storage_patience: float = Field(
        default=300.0,
        ge=0,
        le=86_400,
        description="How long a write or a read is tried again while the output store fails [s].",
    )
    cost_per_hour: float | None = Field(
        default=None,
        gt=0,
        le=1e9,
        description="What an hour of one actor costs, in the currency of your choice; null: "
        "no cost is shown.",
    )
    log_format: Literal["text", "json"] = Field(
        default="text",
        description="Logs as sentences, or as one JSON object a line; the command's on standard "
        "error (with 'json' the progress too), the actors' in the session's log files of Ray.",
    )
