"""The configuration of a run: one YAML file, checked, immutable."""

from synthgen.config.identities import IdentitySection
from synthgen.config.loading import (
    dump_config,
    load_config,
    load_expressions,
    parse_config,
    parse_expressions,
)
from synthgen.config.output import OutputConfig
from synthgen.config.pipeline import PipelineSection
from synthgen.config.priors import IntensityRange, PriorSection
from synthgen.config.run import RunConfig
from synthgen.config.verify import CheckSection, VerifyConfig

__all__ = [
    "CheckSection",
    "IdentitySection",
    "IntensityRange",
    "OutputConfig",
    "PipelineSection",
    "PriorSection",
    "RunConfig",
    "VerifyConfig",
    "dump_config",
    "load_config",
    "load_expressions",
    "parse_config",
    "parse_expressions",
]
