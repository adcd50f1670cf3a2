"""Section `expressions`: the prior over AU vectors, one of those under `priors`."""

from typing import Annotated

from pydantic import Field

from synthgen.config.priors import (
    BuiltinConfig,
    EmotionsConfig,
    EmpiricalConfig,
    IndependentConfig,
)

ExpressionsConfig = Annotated[
    EmotionsConfig | IndependentConfig | EmpiricalConfig | BuiltinConfig,
    Field(discriminator="prior"),
]
