import pytest
import torch
from diffusers import DDPMScheduler

from pipelines.training.diffusion.config import NoiseSettings
from pipelines.training.diffusion.loss import diffusion_loss, draw_timesteps, target_of

CPU = torch.device("cpu")


def scheduler(prediction: str) -> DDPMScheduler:
    return DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction,
    )


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    return torch.randn(4, 2, 3, 3), torch.randn(4, 2, 3, 3), torch.tensor([3, 250, 600, 999])


def test_the_target_is_the_noise_or_the_velocity():
    latents, noise, timesteps = batch()
    assert target_of(scheduler("epsilon"), latents, noise, timesteps) is noise
    kept = scheduler("v_prediction").alphas_cumprod[timesteps].view(-1, 1, 1, 1)
    velocity = kept.sqrt() * noise - (1 - kept).sqrt() * latents
    found = target_of(scheduler("v_prediction"), latents, noise, timesteps)
    assert torch.allclose(found, velocity, atol=1e-6)


def test_unweighted_it_is_the_mean_squared_error():
    predicted, target, timesteps = batch()
    found = diffusion_loss(predicted, target, timesteps, scheduler("epsilon"), NoiseSettings())
    assert torch.allclose(found, (predicted - target).square().mean())


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_min_snr_weighs_as_the_paper_says(prediction):
    predicted, target, timesteps = batch()
    schedule = scheduler(prediction)
    kept = schedule.alphas_cumprod[timesteps]
    ratio = kept / (1 - kept)
    below = ratio if prediction == "epsilon" else ratio + 1
    weights = torch.minimum(ratio, torch.tensor(5.0)) / below
    errors = (predicted - target).square().mean((1, 2, 3))
    found = diffusion_loss(predicted, target, timesteps, schedule, NoiseSettings(min_snr=5))
    assert torch.allclose(found, (weights * errors).mean())


@pytest.mark.parametrize(("kind", "share"), [("uniform", 0.5), ("middle", 0.536)])
def test_timesteps_are_drawn_from_the_whole_range_or_its_middle(kind, share):
    torch.manual_seed(0)
    drawn = draw_timesteps(20_000, 1000, NoiseSettings(timesteps=kind), CPU)
    assert drawn.dtype == torch.int64
    assert 0 <= drawn.min() < 60
    assert 940 < drawn.max() <= 999
    middle = ((drawn >= 250) & (drawn < 750)).float().mean()
    assert middle == pytest.approx(share, abs=0.015)
