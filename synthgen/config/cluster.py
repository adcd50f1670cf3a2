"""Section `cluster`: on what the run runs; never part of the identity of the data."""

from typing import Annotated, Literal

from pydantic import Field

from synthgen.config.base import Section


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
