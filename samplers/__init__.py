"""Samplers of specs: priors over Action Units, identities, prompts, seeds, the plan of a run."""

from samplers.identities import Identities, Identity
from samplers.plan import Plan, build_plan
from samplers.priors import Prior, load_prior
from samplers.shares import Partition
from samplers.spec import Attempt, SampleSpec, Shard

__all__ = [
    "Attempt",
    "Identities",
    "Identity",
    "Partition",
    "Plan",
    "Prior",
    "SampleSpec",
    "Shard",
    "build_plan",
    "load_prior",
]
