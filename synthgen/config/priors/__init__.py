"""The sections of the priors, a module for each."""

from synthgen.config.priors.base import IntensityRange
from synthgen.config.priors.builtin import BuiltinConfig
from synthgen.config.priors.emotions import EmotionsConfig
from synthgen.config.priors.empirical import EmpiricalConfig
from synthgen.config.priors.independent import AURate, IndependentConfig

__all__ = [
    "AURate",
    "BuiltinConfig",
    "EmotionsConfig",
    "EmpiricalConfig",
    "IndependentConfig",
    "IntensityRange",
]
