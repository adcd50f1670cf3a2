"""Names that packages of others build on, in one place that stays: see `docs/extending.md`.

Each loads its module when it is first used. `extending.pyi` tells them to type checkers.
"""

from synthgen.lazy import lazily

_HOMES = {
    "ActionUnitSet": "synthgen.action_units",
    "Attempt": "samplers.spec",
    "CheckKeyError": "synthgen.config.verify",
    "CheckSection": "synthgen.config.verify",
    "ConfigError": "synthgen.errors",
    "Feature": "synthgen.dataset.schema",
    "Figure": "synthgen.config.base",
    "Identities": "samplers.identities.identity",
    "Identity": "samplers.identities.identity",
    "IdentitySection": "synthgen.config.identities.base",
    "ImageSource": "pipelines.interfaces",
    "IntensityRange": "synthgen.config.priors.base",
    "MissingDependencyError": "synthgen.errors",
    "Partition": "samplers.shares",
    "PipelineSection": "synthgen.config.pipeline",
    "Prior": "samplers.priors.prior",
    "PriorSection": "synthgen.config.priors.base",
    "RunConfig": "synthgen.config.run",
    "SampleSpec": "samplers.spec",
    "Section": "synthgen.config.base",
    "Verdict": "pipelines.policy",
    "Verifier": "pipelines.interfaces",
    "Weights": "synthgen.config.base",
    "WeightsError": "synthgen.errors",
    "derive_seed": "samplers.randomness",
    "uniforms": "samplers.randomness",
    "value_feature": "synthgen.dataset.schema",
    "vector_feature": "synthgen.dataset.schema",
}

__getattr__, __dir__ = lazily(__name__, _HOMES)
