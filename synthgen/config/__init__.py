"""The configuration of a run: one YAML file, checked, immutable."""

from synthgen.config.identities import (
    FaceIdIdentitiesConfig,
    IdentitiesConfig,
    PromptIdentitiesConfig,
    SyntheticPeopleConfig,
)
from synthgen.config.loading import (
    dump_config,
    load_config,
    load_expressions,
    parse_config,
    parse_expressions,
)
from synthgen.config.output import OutputConfig
from synthgen.config.pipeline import PipelineSection
from synthgen.config.priors import (
    AURate,
    BetaIntensity,
    BuiltinConfig,
    CopulaConfig,
    CorrelationMatrix,
    EmotionsConfig,
    EmpiricalConfig,
    IndependentConfig,
    IntensityRange,
    Marginal,
)
from synthgen.config.run import ExpressionsConfig, RunConfig
from synthgen.config.verify import PolicyConfig, VerifyConfig

__all__ = [
    "AURate",
    "BetaIntensity",
    "BuiltinConfig",
    "CopulaConfig",
    "CorrelationMatrix",
    "EmotionsConfig",
    "EmpiricalConfig",
    "ExpressionsConfig",
    "FaceIdIdentitiesConfig",
    "IdentitiesConfig",
    "IndependentConfig",
    "IntensityRange",
    "Marginal",
    "OutputConfig",
    "PipelineSection",
    "PolicyConfig",
    "PromptIdentitiesConfig",
    "RunConfig",
    "SyntheticPeopleConfig",
    "VerifyConfig",
    "dump_config",
    "load_config",
    "load_expressions",
    "parse_config",
    "parse_expressions",
]
