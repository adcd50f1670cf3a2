"""The loss of a diffusion model (Ho et al. 2020, Eq. 14; v: Salimans and Ho 2022, App. D)."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipelines.training.diffusion.config import NoiseSettings


def draw_timesteps(
    count: int, total: int, settings: NoiseSettings, device: torch.device
) -> Int[Tensor, " B"]:
    """Draw timesteps [0, total) from torch's generator.

    Args:
        count: number of samples.
        total: training timesteps of the scheduler.
        settings: how they are drawn.
        device: torch device.
    """
    middle = settings.timesteps == "middle"
    share = (1.5 * torch.randn(count)).sigmoid() if middle else torch.rand(count)
    return (share * total).long().clamp(max=total - 1).to(device)


class Noised(NamedTuple):
    """Latents with noise, and what a model is to make of them.

    Attributes:
        latents: noisy latents [B, c, h, w].
        timesteps: their timesteps [B].
        target: what the model is to predict [B, c, h, w].
    """

    latents: Tensor
    timesteps: Tensor
    target: Tensor


def noised(latents: Float[Tensor, "B c h w"], scheduler: Any, settings: NoiseSettings) -> Noised:
    """Draw noise and timesteps from torch's generator and put the noise on the latents.

    Args:
        latents: scaled latents.
        scheduler: the noise schedule.
        settings: how timesteps are drawn.
    """
    noise = torch.randn(latents.shape).to(latents.device)
    total = scheduler.config["num_train_timesteps"]
    timesteps = draw_timesteps(len(latents), total, settings, latents.device)
    noisy = scheduler.add_noise(latents, noise, timesteps)
    return Noised(noisy, timesteps, target_of(scheduler, latents, noise, timesteps))


def target_of(
    scheduler: Any, latents: Float[Tensor, "B c h w"], noise: Tensor, timesteps: Int[Tensor, " B"]
) -> Float[Tensor, "B c h w"]:
    """Return what the model is to predict, as the scheduler's configuration says."""
    if scheduler.config.prediction_type == "v_prediction":
        return scheduler.get_velocity(latents, noise, timesteps)
    return noise


class Guess(NamedTuple):
    """Clean latents as a model guesses them.

    Attributes:
        latents: the guess [B, c, h, w].
        signal: share of the signal's variance in what the model saw [0–1], [B].
    """

    latents: Tensor
    signal: Tensor


def guess_of(scheduler: Any, seen: Noised, predicted: Float[Tensor, "B c h w"]) -> Guess:
    """Return the clean latents that a prediction means."""
    signal = scheduler.alphas_cumprod.to(predicted.device)[seen.timesteps]
    kept, noise = (part.sqrt().view(-1, 1, 1, 1) for part in (signal, 1 - signal))
    if scheduler.config.prediction_type == "v_prediction":
        return Guess(kept * seen.latents - noise * predicted, signal)
    return Guess((seen.latents - noise * predicted) / kept, signal)


def diffusion_loss(
    predicted: Float[Tensor, "B c h w"],
    target: Float[Tensor, "B c h w"],
    timesteps: Int[Tensor, " B"],
    scheduler: Any,
    settings: NoiseSettings,
) -> Tensor:
    """Return the mean squared error, weighted by noise level (Hang et al. 2023, Eq. 7)."""
    errors = (predicted.float() - target.float()).square().flatten(1).mean(1)  # [B]
    return (errors * _weights(timesteps, scheduler, settings)).mean()


def _weights(timesteps: Int[Tensor, " B"], scheduler: Any, settings: NoiseSettings) -> Tensor:
    if settings.min_snr is None:
        return torch.ones_like(timesteps, dtype=torch.float32)
    kept = scheduler.alphas_cumprod.to(timesteps.device)[timesteps]
    ratio = kept / (1 - kept)  # signal to noise
    weight = ratio.clamp(max=settings.min_snr)
    if scheduler.config.prediction_type == "v_prediction":
        return weight / (ratio + 1)
    return weight / ratio
