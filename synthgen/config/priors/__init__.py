"""The base of the sections of priors, and the rules that each may have."""

from synthgen.config.priors.base import (
    PRIORS,
    AnyPrior,
    AtLeastRule,
    AtMostRule,
    CapRule,
    ExcludesRule,
    ImpliesRule,
    IntensityRange,
    PriorSection,
    RuleConfig,
)

__all__ = [
    "PRIORS",
    "AnyPrior",
    "AtLeastRule",
    "AtMostRule",
    "CapRule",
    "ExcludesRule",
    "ImpliesRule",
    "IntensityRange",
    "PriorSection",
    "RuleConfig",
]
