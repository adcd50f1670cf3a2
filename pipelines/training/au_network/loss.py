"""What the AU network learns to make small."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pipelines.libreface.network import DETECTED_AUS
from synthgen.action_units import AUS, MAX_INTENSITY

PRESENT_FROM = 1.0
"""Intensity from which the detection head is to call an AU present: a trace, FACS level A."""

_QUADRATIC_BELOW = 0.5


def au_loss(
    intensity: Float[Tensor, "B aus"],
    detection: Float[Tensor, "B aus"],
    aus: Float[Tensor, "B aus"],
    weights: Float[Tensor, " aus"],
    detection_weight: float,
) -> Float[Tensor, ""]:
    """Return the loss of both heads.

    The intensity's is Huber's, whose optimum is near the median: an AU that may well be absent is
    measured at 0, not at a little of everything.

    Args:
        intensity: output of the intensity head [0–1].
        detection: output of the detection head [0–1].
        aus: true intensities [0–5].
        weights: weight of each AU in the intensity head's loss.
        detection_weight: weight of the detection head's cross-entropy.
    """
    measured = functional.smooth_l1_loss(
        MAX_INTENSITY * intensity, aus, beta=_QUADRATIC_BELOW, reduction="none"
    )  # [B, aus]
    detected = functional.binary_cross_entropy(detection, presence(aus))
    return (weights * measured).mean() + detection_weight * detected


def presence(aus: Float[Tensor, "B aus"]) -> Float[Tensor, "B aus"]:
    """Return 1 where an AU of the detection head is present; those that are not drawn never are."""
    columns = [
        aus[:, AUS.index(name)] >= PRESENT_FROM
        if name in AUS
        else torch.zeros(len(aus), dtype=torch.bool, device=aus.device)
        for name in DETECTED_AUS
    ]
    return torch.stack(columns, dim=1).float()
