"""From a configuration's section `expressions` to its prior."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samplers.priors.copula import CopulaPrior
from samplers.priors.emotions import EmotionsPrior
from samplers.priors.empirical import EmpiricalPrior
from samplers.priors.independent import IndependentPrior, builtin_section
from samplers.priors.listed import CombinationsPrior, GridPrior
from samplers.priors.mixture import MixturePrior
from samplers.priors.prior import Prior
from samplers.priors.quotas import QuotaPrior
from samplers.priors.rules import RuledPrior
from samplers.priors.sobol import SobolPrior
from samplers.priors.uniform import UniformPrior
from synthgen.config import ExpressionsConfig, load_expressions, parse_expressions
from synthgen.config.priors import (
    BuiltinConfig,
    CombinationsConfig,
    CopulaConfig,
    EmotionsConfig,
    EmpiricalConfig,
    GridConfig,
    IndependentConfig,
    MixtureConfig,
    UniformConfig,
)

_PRIORS: dict[type, type[Any]] = {
    EmotionsConfig: EmotionsPrior,
    IndependentConfig: IndependentPrior,
    CombinationsConfig: CombinationsPrior,
    GridConfig: GridPrior,
    UniformConfig: UniformPrior,
    EmpiricalConfig: EmpiricalPrior,
    CopulaConfig: CopulaPrior,
}
"""Section of the configuration → its prior; mixtures and built-ins are made of these."""


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
    """Build the prior of a checked section, with its rules and its quotas.

    Raises:
        ConfigError: if a category is unknown, cannot be shown, or is ambiguous; if rules or quotas
            cannot be kept; or if the prior cannot be drawn as `sampling` says.
        LabelsError: if a label file cannot be read.
    """
    if isinstance(config, BuiltinConfig):
        config = builtin_section(config)
    prior = _plain(config)
    if config.sampling == "sobol":
        prior = SobolPrior.build(prior, config.prior)
    if config.rules:
        prior = RuledPrior.build(prior, config.rules)
    return prior if config.quotas is None else QuotaPrior.build(prior, config.quotas)


def _plain(config: ExpressionsConfig) -> Prior:
    if isinstance(config, MixtureConfig):
        return MixturePrior.build(config, [build_prior(part.section) for part in config.of])
    return _PRIORS[type(config)].from_config(config)
