"""Section `expressions`: the prior over AU vectors, one of those under `priors`."""

from typing import Annotated

from pydantic import Field

from synthgen.config.priors import MixtureConfig, SimplePriorConfig

ExpressionsConfig = Annotated[
    SimplePriorConfig | MixtureConfig,
    Field(discriminator="prior"),
]
