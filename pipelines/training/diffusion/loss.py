"""The losses of a diffusion training: noise, and pictures rolled out.

A diffusion model learns from noisy images that already show what it is told, and so hardly learns
to mend what it generated wrong. Here it generates, without gradients, down to a step late on the
way; what it guesses from there is read and learned from (ReFL, Xu et al. 2023, Alg. 1, with the
reader in place of a reward).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from diffusers import DPMSolverMultistepScheduler  # pyright: ignore[reportPrivateImportUsage]
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


class Noise(NamedTuple):
    """Noise and how much of it there is.

    Attributes:
        noise: standard gaussian noise [B, c, h, w].
        timesteps: timesteps of the noise levels [B].
    """

    noise: Tensor
    timesteps: Tensor


def draw_noise(latents: Float[Tensor, "B c h w"], scheduler: Any, settings: NoiseSettings) -> Noise:
    """Draw noise for latents and then timesteps from torch's generator.

    Args:
        latents: latents whose shape and device the noise has.
        scheduler: the noise schedule.
        settings: how timesteps are drawn.
    """
    noise = torch.randn(latents.shape).to(latents.device)
    total = scheduler.config["num_train_timesteps"]
    return Noise(noise, draw_timesteps(len(latents), total, settings, latents.device))


def noised(
    latents: Float[Tensor, "B c h w"],
    scheduler: Any,
    settings: NoiseSettings,
    drawn: Noise | None = None,
) -> Noised:
    """Put noise on latents.

    Args:
        latents: scaled latents.
        scheduler: the noise schedule.
        settings: how timesteps are drawn.
        drawn: the noise; None: drawn here, by `draw_noise`.
    """
    noise, timesteps = drawn or draw_noise(latents, scheduler, settings)
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
    if settings.min_snr is None:
        return errors.mean()
    kept = scheduler.alphas_cumprod.to(timesteps.device)[timesteps]
    ratio = kept / (1 - kept)  # signal to noise
    predicts_v = scheduler.config.prediction_type == "v_prediction"
    weights = ratio.clamp(max=settings.min_snr) / (ratio + 1 if predicts_v else ratio)
    return (errors * weights).mean()


Predict = Callable[[Float[Tensor, "B c h w"], Int[Tensor, " B"]], Float[Tensor, "B c h w"]]


class Rollout(NamedTuple):
    """Noise that a generation begins with, and the step before which it ends.

    Attributes:
        noise: standard gaussian noise [B, c, h, w].
        stops: the step before which it stops [B], the same for all.
    """

    noise: Tensor
    stops: Tensor


def draw_rollout(latents: Float[Tensor, "B c h w"], steps: int) -> Rollout:
    """Draw noise of latents' shape and then a step of the later half, from torch's generator.

    Args:
        latents: latents whose shape and device the generated ones have.
        steps: steps of DPM-Solver++ that the whole way would have.
    """
    noise = torch.randn(latents.shape).to(latents.device)
    return Rollout(noise, _draw_stop(steps).expand(len(latents)))


def _draw_stop(steps: int) -> Tensor:
    return torch.randint(steps // 2, steps, ())


def generated_guess(
    predict: Predict,
    scheduler: Any,
    latents: Float[Tensor, "B c h w"],
    steps: int,
    drawn: Rollout | None = None,
) -> Guess:
    """Generate from noise until late on the way; return what the model guesses from there.

    Gradients reach this last guess alone.

    Args:
        predict: the model: noisy latents and timesteps → prediction.
        scheduler: the noise schedule of its training.
        latents: latents whose shape and device the generated ones have.
        steps: steps of DPM-Solver++ that the whole way would have.
        drawn: its beginning and end; None: drawn here, by `draw_rollout`.
    """
    noise, stops = drawn or draw_rollout(latents, steps)
    seen = generate_partly(predict, scheduler, noise, steps, int(stops[0]))
    return guess_of(scheduler, seen, predict(seen.latents, seen.timesteps))


def generate_partly(
    predict: Predict, scheduler: Any, noise: Tensor, steps: int, stop: int | None = None
) -> Noised:
    """Generate from noise, without guidance, and stop before a step of the later half.

    Args:
        predict: the model: noisy latents and timesteps → prediction.
        scheduler: the noise schedule of its training.
        noise: standard gaussian noise [B, c, h, w].
        steps: steps of DPM-Solver++ that the whole way would have.
        stop: the step before which it stops; None: drawn from torch's generator.

    Returns:
        Latents and timesteps for the step that learns; the target is the noise that it began with.
    """
    sampler: Any = DPMSolverMultistepScheduler.from_config(scheduler.config)
    sampler.set_timesteps(steps, device=noise.device)
    stop = int(_draw_stop(steps)) if stop is None else stop
    latents = noise * sampler.init_noise_sigma
    with torch.no_grad():
        for time in sampler.timesteps[:stop]:
            found = predict(latents, time.expand(len(latents)))
            latents = sampler.step(found, time, latents).prev_sample
    return Noised(latents, sampler.timesteps[stop].expand(len(latents)), noise)
