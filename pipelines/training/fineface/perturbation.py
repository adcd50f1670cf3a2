"""Label perturbation (FineFace, arXiv 2407.20175, "label smoothing")."""

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.training.fineface.config import Smoothing
from synthgen.action_units import MAX_INTENSITY, MIN_INTENSITY


def perturb(aus: Float[Tensor, "B aus"], smoothing: Smoothing) -> Float[Tensor, "B aus"]:
    """Disturb AU intensities: noise, a clip to [0, 5], and whole numbers for some samples.

    Whether a sample is rounded is drawn for each by itself. What is drawn comes from torch's
    generator on the CPU, and as much for any settings.

    Args:
        aus: AU intensities [0–5].
        smoothing: how strongly; at 0 and 0 they stay what they are.
    """
    noise = torch.randn(aus.shape).to(aus.device)
    rounded = (torch.rand(len(aus), 1) < smoothing.rounding).to(aus.device)
    if smoothing.variance:
        aus = (aus + smoothing.variance**0.5 * noise).clamp(MIN_INTENSITY, MAX_INTENSITY)
    return torch.where(rounded, aus.round(), aus)
