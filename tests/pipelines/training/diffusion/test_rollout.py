"""A model that learns paints on its own way, down to a step of the later half."""

import torch
from diffusers import DDPMScheduler  # pyright: ignore[reportPrivateImportUsage]
from torch import Tensor

from pipelines.training.diffusion.loss import generate_partly, guess_of

SHAPE = (3, 4, 8, 8)
STEPS = 8


def test_it_stops_before_a_step_of_the_later_half_wherever_the_generator_says() -> None:
    scheduler = DDPMScheduler(prediction_type="v_prediction")
    called: list[int] = []

    def predict(noisy: Tensor, timesteps: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        assert timesteps.shape == (3,)
        called.append(int(timesteps[0]))
        return torch.zeros_like(noisy)

    stops = set()
    for seed in range(20):
        torch.manual_seed(seed)
        called.clear()
        seen = generate_partly(predict, scheduler, torch.randn(SHAPE), STEPS)
        assert called == sorted(called, reverse=True)
        assert int(seen.timesteps[0]) < called[-1]
        stops.add(len(called))
    assert stops == {4, 5, 6, 7}


def test_a_model_that_knows_the_image_paints_it() -> None:
    scheduler = DDPMScheduler(prediction_type="v_prediction")
    torch.manual_seed(1)
    image = torch.randn(SHAPE)

    def predict(noisy: Tensor, timesteps: Tensor) -> Tensor:
        kept = scheduler.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        return (kept.sqrt() * noisy - image) / (1 - kept).sqrt()  # the v of that image

    seen = generate_partly(predict, scheduler, torch.randn(SHAPE), 2 * STEPS)
    guess = guess_of(scheduler, seen, predict(seen.latents, seen.timesteps))
    torch.testing.assert_close(guess.latents, image, rtol=1e-3, atol=1e-3)
    kept = guess.signal.view(-1, 1, 1, 1)
    left = seen.latents - kept.sqrt() * image  # what is left of the noise it began with
    spread = (left / (1 - kept).sqrt()).std().item()
    assert 0.9 < spread < 1.1
