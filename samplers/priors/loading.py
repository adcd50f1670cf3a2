"""From a configuration's section `expressions` to its prior."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samplers.priors.builtin import builtin_section
from samplers.priors.copula import CopulaPrior
from samplers.priors.emotions import EmotionsPrior
from samplers.priors.empirical import EmpiricalPrior
from samplers.priors.independent import IndependentPrior
from samplers.priors.prior import Prior
from samplers.priors.quotas import QuotaPrior
from synthgen.config import (
    BuiltinConfig,
    CopulaConfig,
    EmotionsConfig,
    EmpiricalConfig,
    ExpressionsConfig,
    IndependentConfig,
    load_expressions,
    parse_expressions,
)

_PRIORS: dict[type, type[Any]] = {
    EmotionsConfig: EmotionsPrior,
    IndependentConfig: IndependentPrior,
    EmpiricalConfig: EmpiricalPrior,
    CopulaConfig: CopulaPrior,
}
"""Section of the configuration → its prior."""


def load_prior(source: str | Path | Mapping[str, Any]) -> Prior:
    """Read a prior.

    Args:
        source: the section `expressions` of a configuration, as a mapping or as a YAML file.

    Raises:
        ConfigError: if the file cannot be read, or says what is not allowed.
    """
    if isinstance(source, Mapping):
        return build_prior(parse_expressions(dict(source)))
    return build_prior(load_expressions(source))


def build_prior(config: ExpressionsConfig) -> Prior:
    """Build the prior of a checked section.

    Raises:
        ConfigError: if a category is unknown, cannot be shown, or is ambiguous.
        LabelsError: if a label file cannot be read.
    """
    if isinstance(config, BuiltinConfig):
        config = builtin_section(config)
    prior = _PRIORS[type(config)].from_config(config)
    return prior if config.quotas is None else QuotaPrior.build(prior, config.quotas)
