"""Samplers of specs: priors over Action Units, identities, prompts, seeds, the plan of a run."""

from samplers.plan import Plan, build_plan
from samplers.priors import Prior, load_prior
from samplers.spec import Attempt, SampleSpec, Shard

__all__ = ["Attempt", "Plan", "Prior", "SampleSpec", "Shard", "build_plan", "load_prior"]
