"""Priors: distributions of AU vectors."""

from samplers.priors.emotions import EmotionsPrior
from samplers.priors.independent import IndependentPrior
from samplers.priors.loading import build_prior, load_prior
from samplers.priors.prior import Prior

__all__ = ["EmotionsPrior", "IndependentPrior", "Prior", "build_prior", "load_prior"]
