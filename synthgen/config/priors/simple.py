"""The sections that a mixture may hold: those of all priors but mixtures."""

from typing import Annotated

from pydantic import Field

from synthgen.config.priors.builtin import BuiltinConfig
from synthgen.config.priors.combinations import CombinationsConfig
from synthgen.config.priors.copula import CopulaConfig
from synthgen.config.priors.emotions import EmotionsConfig
from synthgen.config.priors.empirical import EmpiricalConfig
from synthgen.config.priors.grid import GridConfig
from synthgen.config.priors.independent import IndependentConfig
from synthgen.config.priors.uniform import UniformConfig

SimplePriorConfig = Annotated[
    EmotionsConfig
    | IndependentConfig
    | CombinationsConfig
    | GridConfig
    | UniformConfig
    | CopulaConfig
    | EmpiricalConfig
    | BuiltinConfig,
    Field(discriminator="prior"),
]
