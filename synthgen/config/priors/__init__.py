"""Sections of the priors."""

from synthgen.config.priors.base import (
    AtLeastRule,
    AtMostRule,
    CapRule,
    ExcludesRule,
    ImpliesRule,
    IntensityRange,
    RuleConfig,
)
from synthgen.config.priors.copula import (
    BetaIntensity,
    CopulaConfig,
    CorrelationMatrix,
    Marginal,
)
from synthgen.config.priors.sections import (
    AURate,
    BlendConfig,
    BuiltinConfig,
    CombinationConfig,
    CombinationsConfig,
    ComponentConfig,
    EmotionsConfig,
    EmpiricalConfig,
    GridConfig,
    IndependentConfig,
    MixtureConfig,
    SimplePriorConfig,
    UniformConfig,
)

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
