"""From a configuration's section `expressions` to its prior."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from samplers.priors.prior import FIRST_SPLIT, Prior
from samplers.priors.quotas import QuotaPrior
from samplers.priors.rules import RuledPrior
from samplers.priors.sobol import SobolPrior
from synthgen.action_units import MAX_INTENSITY, MIN_INTENSITY
from synthgen.config import PriorSection, load_expressions, parse_expressions
from synthgen.config.components import origin_of
from synthgen.errors import ConfigError

_TRIED = 16
"""Positions that somebody else's prior draws before a run."""


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
            cannot be kept; if the prior cannot be drawn as `sampling` says; or if somebody else's
            section builds no prior, one of other AUs than the run's, or one whose draws are not
            addressed.
        LabelsError: if a label file cannot be read.
    """
    prior = config.build()
    if not isinstance(prior, Prior):
        raise ConfigError(
            f"expressions.prior is {config.prior!r}, whose build() returns a "
            f"{type(prior).__name__}; it must return a samplers.Prior"
        )
    if prior.action_units != config.au_set:
        raise ConfigError(
            f"expressions.action_units are {', '.join(config.au_set.names)}; the prior "
            f"{config.prior!r} draws {', '.join(prior.action_units.names)}"
        )
    if origin_of(type(config)) is not None:
        _check_draws(prior, config)
    if config.sampling == "sobol":
        prior = SobolPrior.build(prior, config.prior)
    if config.rules:
        prior = RuledPrior.build(prior, config.rules)
    return prior if config.quotas is None else QuotaPrior.build(prior, config.quotas)


def _check_draws(prior: Prior, config: PriorSection) -> None:
    """Refuse draws of somebody else's prior with which no run can be made again."""
    where = f"expressions.prior is {config.prior!r}, whose draws"
    strata = prior.strata(0, FIRST_SPLIT, 0, _TRIED)
    vectors = prior.vectors(0, FIRST_SPLIT, 0, strata)
    if vectors.shape != (wanted := (_TRIED, len(config.au_set))):
        raise ConfigError(
            f"{where} of {_TRIED} positions have the shape {vectors.shape}; it must be {wanted}, "
            "an intensity for each AU"
        )
    low, high = float(vectors.min()), float(vectors.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ConfigError(f"{where} are not all numbers; an intensity must be finite")
    inside = MIN_INTENSITY <= low <= high <= MAX_INTENSITY
    if not inside and not config.allow_out_of_range:
        raise ConfigError(
            f"{where} lie in [{low:g}, {high:g}]; set allow_out_of_range: true to allow "
            f"intensities outside [{MIN_INTENSITY:g}, {MAX_INTENSITY:g}]"
        )
    last = _TRIED - 1
    alone = prior.strata(0, FIRST_SPLIT, last, _TRIED)
    drawn = prior.vectors(0, FIRST_SPLIT, last, alone)
    if not (np.array_equal(alone, strata[last:]) and np.array_equal(drawn, vectors[last:])):
        raise ConfigError(
            f"{where} at a position are others alone than among others; they must follow from "
            "seed, split and position"
        )
    given = {"aus", *prior.conditions(int(strata[0]), tuple(vectors[0].tolist()))}
    told = config.given() - ({"flame"} if config.flame else set())  # the plan gives it
    if given != told:
        there, said = (", ".join(sorted(names)) for names in (given, told))
        raise ConfigError(
            f"expressions.prior is {config.prior!r}, which gives {there}; its section says that it "
            f"gives {said}"
        )
