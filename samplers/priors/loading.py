"""From a configuration's section `expressions` to its prior."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samplers.priors.prior import Prior
from samplers.priors.quotas import QuotaPrior
from samplers.priors.rules import RuledPrior
from samplers.priors.sobol import SobolPrior
from synthgen.config import PriorSection, load_expressions, parse_expressions
from synthgen.errors import ConfigError


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


def build_prior(config: PriorSection) -> Prior:
    """Build the prior of a checked section, with its rules and its quotas.

    Raises:
        ConfigError: if a category is unknown, cannot be shown, or is ambiguous; if rules or quotas
            cannot be kept; if the prior draws other AUs than the run's; or if it cannot be drawn
            as `sampling` says.
        LabelsError: if a label file cannot be read.
    """
    prior = config.build()
    if prior.action_units != config.au_set:
        raise ConfigError(
            f"expressions.action_units are {', '.join(config.au_set.names)}; the prior "
            f"{config.prior!r} draws {', '.join(prior.action_units.names)}"
        )
    if config.sampling == "sobol":
        prior = SobolPrior.build(prior, config.prior)
    if config.rules:
        prior = RuledPrior.build(prior, config.rules)
    return prior if config.quotas is None else QuotaPrior.build(prior, config.quotas)
