"""The sections of the priors, a module for each."""

from synthgen.config.priors.base import IntensityRange
from synthgen.config.priors.emotions import EmotionsConfig
from synthgen.config.priors.independent import AURate, IndependentConfig

__all__ = [
    "AURate",
    "EmotionsConfig",
    "IndependentConfig",
    "IntensityRange",
]
