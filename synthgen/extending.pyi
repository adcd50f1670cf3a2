from pipelines.interfaces import ImageSource as ImageSource
from pipelines.interfaces import Verifier as Verifier
from pipelines.policy import Verdict as Verdict
from samplers.identities.identity import Identities as Identities
from samplers.identities.identity import Identity as Identity
from samplers.priors.prior import Prior as Prior
from samplers.randomness import derive_seed as derive_seed
from samplers.randomness import uniforms as uniforms
from samplers.shares import Partition as Partition
from samplers.spec import Attempt as Attempt
from samplers.spec import SampleSpec as SampleSpec
from synthgen.action_units import ActionUnitSet as ActionUnitSet
from synthgen.config.base import Figure as Figure
from synthgen.config.base import Section as Section
from synthgen.config.base import Weights as Weights
from synthgen.config.identities.base import IdentitySection as IdentitySection
from synthgen.config.pipeline import PipelineSection as PipelineSection
from synthgen.config.priors.base import IntensityRange as IntensityRange
from synthgen.config.priors.base import PriorSection as PriorSection
from synthgen.config.run import RunConfig as RunConfig
from synthgen.config.verify import CheckKeyError as CheckKeyError
from synthgen.config.verify import CheckSection as CheckSection
from synthgen.dataset.schema import Feature as Feature
from synthgen.dataset.schema import value_feature as value_feature
from synthgen.dataset.schema import vector_feature as vector_feature
from synthgen.errors import ConfigError as ConfigError
from synthgen.errors import MissingDependencyError as MissingDependencyError
from synthgen.errors import WeightsError as WeightsError

__all__ = [
    "ActionUnitSet",
    "Attempt",
    "CheckKeyError",
    "CheckSection",
    "ConfigError",
    "Feature",
    "Figure",
    "Identities",
    "Identity",
    "IdentitySection",
    "ImageSource",
    "IntensityRange",
    "MissingDependencyError",
    "Partition",
    "PipelineSection",
    "Prior",
    "PriorSection",
    "RunConfig",
    "SampleSpec",
    "Section",
    "Verdict",
    "Verifier",
    "Weights",
    "WeightsError",
    "derive_seed",
    "uniforms",
    "value_feature",
    "vector_feature",
]
