"""Latents on the way from noise to an image, as a model that learns paints them itself.

A diffusion model learns from noisy images that already show what it is told, and so hardly learns
to mend what it painted wrong. Here it paints, without gradients, down to a step late on the way;
what it guesses from there is read and learned from (ReFL, Xu et al. 2023, Alg. 1, with the reader
in place of a reward).
"""

from collections.abc import Callable
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler  # pyright: ignore[reportPrivateImportUsage]
from jaxtyping import Float, Int
from torch import Tensor

from pipelines.training.diffusion.loss import Guess, Noised, guess_of

Predict = Callable[[Float[Tensor, "B c h w"], Int[Tensor, " B"]], Float[Tensor, "B c h w"]]


def painted_guess(
    predict: Predict, scheduler: Any, latents: Float[Tensor, "B c h w"], steps: int
) -> Guess:
    """Paint from noise until late on the way, and return what the model guesses from there.

    Gradients reach this last guess alone. The noise is drawn from torch's generator.

    Args:
        predict: the model: noisy latents and timesteps → prediction.
        scheduler: the noise schedule of its training.
        latents: latents whose shape and device those that are painted have.
        steps: steps of DPM-Solver++ that the whole way would have.
    """
    noise = torch.randn(latents.shape).to(latents.device)
    seen = paint_partly(predict, scheduler, noise, steps)
    return guess_of(scheduler, seen, predict(seen.latents, seen.timesteps))


def paint_partly(predict: Predict, scheduler: Any, noise: Tensor, steps: int) -> Noised:
    """Paint from noise, without guidance, and stop before a step of the later half.

    Where it stops is drawn from torch's generator.

    Args:
        predict: the model: noisy latents and timesteps → prediction.
        scheduler: the noise schedule of its training.
        noise: standard gaussian noise [B, c, h, w].
        steps: steps of DPM-Solver++ that the whole way would have.

    Returns:
        Latents and timesteps for the step that learns; the target is the noise that it began with.
    """
    sampler: Any = DPMSolverMultistepScheduler.from_config(scheduler.config)
    sampler.set_timesteps(steps, device=noise.device)
    stop = int(torch.randint(steps // 2, steps, ()))
    latents = noise * sampler.init_noise_sigma
    with torch.no_grad():
        for time in sampler.timesteps[:stop]:
            found = predict(latents, time.expand(len(latents)))
            latents = sampler.step(found, time, latents).prev_sample
    return Noised(latents, sampler.timesteps[stop].expand(len(latents)), noise)
