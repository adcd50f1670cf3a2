"""The sections of the priors, a module for each."""

from synthgen.config.priors.base import IntensityRange
from synthgen.config.priors.builtin import BuiltinConfig
from synthgen.config.priors.combinations import CombinationConfig, CombinationsConfig
from synthgen.config.priors.copula import (
    BetaIntensity,
    CopulaConfig,
    CorrelationMatrix,
    Marginal,
)
from synthgen.config.priors.emotions import BlendConfig, EmotionsConfig
from synthgen.config.priors.empirical import EmpiricalConfig
from synthgen.config.priors.grid import GridConfig
from synthgen.config.priors.independent import AURate, IndependentConfig
from synthgen.config.priors.mixture import ComponentConfig, MixtureConfig
from synthgen.config.priors.rules import (
    AtLeastRule,
    AtMostRule,
    CapRule,
    ExcludesRule,
    ImpliesRule,
    RuleConfig,
)
from synthgen.config.priors.simple import SimplePriorConfig
from synthgen.config.priors.uniform import UniformConfig

__all__ = [
    "AURate",
    "AtLeastRule",
    "AtMostRule",
    "BetaIntensity",
    "BlendConfig",
    "BuiltinConfig",
    "CapRule",
    "CombinationConfig",
    "CombinationsConfig",
    "ComponentConfig",
    "CopulaConfig",
    "CorrelationMatrix",
    "EmotionsConfig",
    "EmpiricalConfig",
    "ExcludesRule",
    "GridConfig",
    "ImpliesRule",
    "IndependentConfig",
    "IntensityRange",
    "Marginal",
    "MixtureConfig",
    "RuleConfig",
    "SimplePriorConfig",
    "UniformConfig",
]
