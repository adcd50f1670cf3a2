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
