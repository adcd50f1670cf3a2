"""Section `identities`: the people of a run."""

from typing import Annotated

from pydantic import Field

from synthgen.config.identities.sections import (
    FaceIdIdentitiesConfig,
    PromptIdentitiesConfig,
    SyntheticPeopleConfig,
)

IdentitiesConfig = Annotated[
    PromptIdentitiesConfig | FaceIdIdentitiesConfig, Field(discriminator="source")
]

__all__ = [
    "FaceIdIdentitiesConfig",
    "IdentitiesConfig",
    "PromptIdentitiesConfig",
    "SyntheticPeopleConfig",
]
